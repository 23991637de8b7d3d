// A peer as people see it, and what can be decided about it.

import { read, send } from "./api.js";
import { decide } from "./dialog.js";
import { button, el, facts } from "./dom.js";
import { link as gatewayLink } from "./gateway.js";
import { impact } from "./impact.js";
import { say } from "./say.js";
import { may } from "./session.js";
import { plain, several, shown } from "./text.js";
import { moment, near } from "./time.js";

const REASON = {
  of: "reason", label: "Reason", required: true, maxlength: 500, hint: "It stands in the audit trail.",
};

export function badge(state) {
  return el("span", { class: `badge ${state}` }, state);
}

export function link(peer) {
  return el("a", { href: `#/peer/${peer.id}`, "data-key": `peer-${peer.id}` }, shown(peer.name));
}

export function about(peer) {
  return facts(
    ["State", badge(peer.state)],
    ["Gateway", gatewayLink(peer.gateway)],
    ["Owner", shown(peer.owner)],
    ["Contact", shown(peer.contact)],
    ["Purpose", shown(peer.purpose)],
    ["Sources", several(peer.sources)],
    ["Valid from", near(peer.valid_from)],
    ["Valid until", near(peer.valid_until, "no end")],
    ["Last seen", near(peer.last_seen, "by no router yet")],
    ["Asked for", moment(peer.created), " by ", shown(peer.created_by)],
    ["Decided", ...(peer.decided === null ? [] : [moment(peer.decided), " by ", shown(peer.decided_by)])],
    ["Reason", peer.reason === null ? "" : shown(peer.reason)],
    ["Terms", peer.terms === null ? "" : shown(peer.terms)],
  );
}

export function proposal(peer) {
  const found = peer.proposal;
  if (found === null) return null;
  const fields = Object.entries(found.fields).map(([name, value]) => [
    name, shown(peer[name] === undefined ? "" : written(peer[name])), " → ", shown(written(value)),
  ]);
  return el("section", { class: "proposal", "aria-label": "Proposed change" },
    el("h3", {}, found.declined === null ? "A change is proposed" : "A change was declined"),
    el("p", {}, moment(found.proposed), " by ", shown(found.proposed_by)),
    found.reason === null ? null : el("p", {}, "Reason: ", shown(found.reason)),
    facts(...fields),
    found.declined === null ? null
      : el("p", {}, "Declined by ", shown(found.declined_by), ": ", shown(found.declined)),
  );
}

function written(value) {
  if (value === null) return "none";
  return Array.isArray(value) ? value.join(", ") : typeof value === "object" ? JSON.stringify(value) : value;
}

/**
 * Buttons for what this person may decide of a peer as it is; `then` is called once it is done.
 * `waiting`: only of what waits for that.
 */
export function decisions(peer, then, { waiting = false } = {}) {
  const offered = [];
  const offer = (label, work, properties = {}) => offered.push(
    button(label, async () => {
      if ((await work()) !== null) then();
    }, {
      "data-key": `${label}-${peer.id}`,
      // In a list there is one of each in every row: which is which is read out, too.
      "aria-label": `${label} ${plain(peer.name)}`,
      ...properties,
    }),
  );
  if (!may("decide")) return offered;
  if (peer.state === "pending") {
    offer("Approve", () => act(peer, "approve", "Approve", "approved", { dry: {} }), { class: "main" });
    offer("Reject", () => act(peer, "reject", "Reject", "rejected", { fields: [REASON] }));
  }
  if (waits(peer)) {
    offer("Grant", () => act(peer, "grant", "Grant the change of", "granted a change", { dry: {} }), { class: "main" });
    offer("Decline", () => act(peer, "decline", "Decline the change of", "declined a change", { fields: [REASON] }));
  }
  if (!waiting && ["approved", "active", "expired"].includes(peer.state)) {
    offer("Renew", () => renew(peer));
    if (peer.state !== "expired") {
      offer("Revoke", () => act(peer, "revoke", "Revoke", "revoked", {
        dry: { reason: "seen before it is done" }, fields: [REASON], danger: true,
      }), { class: "danger" });
    }
  }
  return offered;
}

export function waits(peer) {
  return peer.proposal !== null && peer.proposal.declined === null;
}

function act(peer, action, title, done, { dry, fields, danger }) {
  let version;
  const path = `/v1/peers/${peer.id}`;
  return decide({
    title: `${title} ${peer.name}`,
    about: look(path, action, dry, (found) => { version = found; }),
    fields,
    action: title.split(" ")[0],
    danger,
    submit: async (values, once) => {
      const body = fields ? values : undefined;
      await send("POST", `${path}/${action}`, { body, version, once });
      say("Peer ", shown(peer.name), `: ${done}.`);
      return true;
    },
  });
}

function renew(peer) {
  let version;
  const path = `/v1/peers/${peer.id}`;
  return decide({
    title: `Renew ${peer.name}`,
    about: look(path, "renew", undefined, (found) => { version = found; }),
    fields: [{ of: "valid_until", label: "Valid until (UTC)", kind: "date", hint: "Empty: no end." }],
    action: "Renew",
    submit: async ({ valid_until = null }, once) => {
      await send("POST", `${path}/renew`, { body: { valid_until }, version, once });
      say("Peer ", shown(peer.name), ": renewed.");
      return true;
    },
  });
}

/** The peer as it is now, and what the change would do to everybody. */
async function look(path, action, dry, note) {
  const { content: peer, version } = await read(path);
  note(version);
  if (dry === undefined) return [about(peer), proposal(peer)];
  const body = Object.keys(dry).length > 0 ? dry : undefined;
  const query = { dry_run: true };
  const { content } = await send("POST", `${path}/${action}`, { query, body, version });
  return [impact(content.impact), about(peer), proposal(peer)];
}
