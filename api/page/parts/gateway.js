// A gateway's mode as it is now, and what is planned.

import { el } from "./dom.js";
import { shown } from "./text.js";
import { countdown, moment, now } from "./time.js";

/** Whether it drops now: its mode, inside its window. */
export function enforces(gateway) {
  const { mode, enforce_from: from, enforce_until: until } = gateway;
  const begun = from === null || Date.parse(from) <= now();
  const over = until !== null && Date.parse(until) <= now();
  return mode === "enforce" && begun && !over;
}

export function mode(gateway) {
  const drops = enforces(gateway);
  return el("span", { class: `badge ${drops ? "enforce" : "monitor"}` }, drops ? "enforces" : "monitors");
}

/** What comes next of a cut-over, counted down; `then` is called when it has come. */
export function upcoming(gateway, then) {
  const { cutover } = gateway;
  if (cutover?.state === "planned") {
    return el("span", {}, "enforces in ", countdown(cutover.at, then), " (", moment(cutover.at), ")");
  }
  if (cutover?.state === "switched") {
    return el("span", { class: "urgent" }, "monitors again in ", countdown(cutover.until, then), ", unless confirmed");
  }
  if (gateway.enforce_until !== null && Date.parse(gateway.enforce_until) > now()) {
    return el("span", {}, "until ", moment(gateway.enforce_until));
  }
  if (cutover === null) return "";
  return el("span", { class: "aside" }, `cut-over ${cutover.state} `, moment(cutover.ended));
}

export function link(name) {
  return el("a", { href: `#/gateway/${encodeURIComponent(name)}`, "data-key": `gateway-${name}` }, shown(name));
}
