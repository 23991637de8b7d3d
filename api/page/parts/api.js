// The registry's API, with the session's cookie, which no script sees.

import { noteClock } from "./time.js";

/** What the registry refused, or why it could not be asked; `errors` name fields and their rules. */
export class Problem extends Error {
  constructor(status, kind, detail, errors = []) {
    super(detail);
    this.status = status;
    this.kind = kind;
    this.errors = errors;
  }
}

let signedOut = () => {};

/** `handler` is called once the session has ended, whoever ended it. */
export function onSignedOut(handler) {
  signedOut = handler;
}

export function read(path, query = {}, signal = undefined) {
  return send("GET", path, { query, signal });
}

/** A key that makes a POST that is sent twice be carried out once. */
export function onceKey() {
  // randomUUID is there over https alone.
  return [...crypto.getRandomValues(new Uint32Array(4))].map((n) => n.toString(36)).join("-");
}

/**
 * Answers `{content, version}`; the version is the ETag. Raises Problem. `version` goes into
 * If-Match, `once` is the request's Idempotency-Key, `token` stands in for the session.
 */
export async function send(method, path, { query = {}, body, version, once, token, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["Peergate-Page"] = "yes";
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (version !== undefined) headers["If-Match"] = version;
  if (once !== undefined) headers["Idempotency-Key"] = once;
  if (token !== undefined) headers.Authorization = `Bearer ${token}`;
  const answered = await fetch(withQuery(path, query), {
    method,
    headers,
    signal,
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
    redirect: "error",
  }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "away", "The registry does not answer. What is shown may be old.");
  });
  noteClock(answered.headers.get("Date"));
  if (!answered.ok) throw await problemOf(answered, token !== undefined);
  const content = answered.status === 204 ? null : await answered.json();
  return { content, version: answered.headers.get("ETag") ?? undefined };
}

function withQuery(path, query) {
  const given = Object.entries(query).filter(([, v]) => v !== "" && v !== null && v !== undefined);
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`;
}

async function problemOf(answered, withToken) {
  const said = await answered.json().catch(() => ({}));
  if (answered.status === 401 && !withToken) signedOut();
  const detail = said.detail ?? `The registry answered ${answered.status}.`;
  const kind = String(said.type ?? "").split("/").pop();
  return new Problem(answered.status, kind, detail, said.errors ?? []);
}
