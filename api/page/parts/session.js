// Who is signed in. The secret is in a cookie that scripts do not see; nothing is stored here.

import { send } from "./api.js";

let current = null;

/** The session that the browser has, or null. */
export async function find() {
  current = await send("GET", "/v1/session").then(
    ({ content }) => content,
    (problem) => {
      if (problem.status === 401) return null;
      throw problem;
    },
  );
  return current;
}

export async function signIn(token) {
  current = (await send("POST", "/v1/session", { token })).content;
}

export async function signOut() {
  current = null;
  await send("DELETE", "/v1/session");
}

export function forget() {
  current = null;
}

export function who() {
  return current;
}

/** `what`: a permission, in the API's words. What the page does not offer the registry refuses. */
export function may(what) {
  return current?.may.includes(what) ?? false;
}
