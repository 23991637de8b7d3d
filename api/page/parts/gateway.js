// A gateway's mode as it is now, and what is planned.

import { el } from "./dom.js";
import { shown } from "./text.js";
import { countdown, moment, now } from "./time.js";

/** Whether it drops now: its mode, inside its window. */
export function enforces(gateway) {
  const { mode, enforce_from: from, enforce_until: until, cutover } = gateway;
  // What the registry says has begun is not measured again: the clock here may be a second behind.
  const begun = cutover?.state === "switched" || !isToCome(from);
  const over = until !== null && Date.parse(until) <= now();
  return mode === "enforce" && begun && !over;
}

export function mode(gateway) {
  const drops = enforces(gateway);
  return el("span", { class: `badge ${drops ? "enforce" : "monitor"}` }, drops ? "enforces" : "monitors");
}

/**
 * What comes next of a cut-over, or of a window set by hand, counted down; `then` is called when it
 * has come. The gateway may be the same by then: what is shown is not.
 */
export function upcoming(gateway, then) {
  const { cutover, enforce_from: from, enforce_until: until } = gateway;
  if (cutover?.state === "planned") {
    return el("span", {}, "enforces in ", countdown(cutover.at, then), " (", moment(cutover.at), ")");
  }
  if (cutover?.state === "switched") {
    return el("span", { class: "urgent" }, "monitors again in ", countdown(cutover.until, then), ", unless confirmed");
  }
  if (gateway.mode === "enforce" && isToCome(from)) {
    const end = until === null ? [] : [", until ", moment(until)];
    return el("span", {}, "enforces in ", countdown(from, then), " (", moment(from), ")", ...end);
  }
  if (gateway.mode === "enforce" && isToCome(until)) {
    return el("span", {}, "monitors again in ", countdown(until, then), " (", moment(until), ")");
  }
  if (cutover === null) return "";
  return el("span", { class: "aside" }, `cut-over ${cutover.state} `, moment(cutover.ended));
}

function isToCome(moment) {
  return moment !== null && Date.parse(moment) > now();
}

export function link(name) {
  return el("a", { href: `#/gateway/${encodeURIComponent(name)}`, "data-key": `gateway-${name}` }, shown(name));
}
