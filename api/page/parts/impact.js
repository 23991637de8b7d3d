// What a change would do, as the registry says it before the change is made.

import { el } from "./dom.js";
import { several, number, shown } from "./text.js";
import { moment } from "./time.js";

const NAMED = 20;

/** Of a dry run's `impact`. */
export function impact(found) {
  const lines = [
    count(found.peers_let_in, "peer gains sources", "peers gain sources"),
    count(found.peers_cut, "peer loses sources", "peers lose sources",
      found.peers_cut_seen > 0 ? `, ${number(found.peers_cut_seen)} of them seen by a router` : ""),
    count(found.strangers_let_in, "stranger would pass, or be registered",
      "strangers would pass, or be registered"),
    count(found.strangers_cut, "stranger would be dropped", "strangers would be dropped"),
  ].filter(Boolean);
  const danger = found.peers_cut_seen > 0 || found.strangers_cut > 0;
  return el("section", { class: danger ? "impact danger" : "impact", "aria-label": "What this would do" },
    el("h3", {}, "What this would do"),
    lines.length === 0
      ? el("p", {}, "Nobody is cut off, and nobody is let in.")
      : el("ul", {}, ...lines.map((line) => el("li", {}, line))),
    ...found.effects.slice(0, NAMED).map(effect),
    ...found.strangers.slice(0, NAMED).map(knock),
    rest(found),
    ...found.unknown.map((text) => el("p", { class: "hint" }, shown(text))),
    found.exact ? null : el("p", { class: "hint" }, "There is too much to look at all of it: these are at least so many."),
  );
}

function count(value, one, many, more = "") {
  return value > 0 ? `${number(value)} ${value === 1 ? one : many}${more}` : null;
}

function effect(found) {
  const cut = found.cut.length > 0;
  return el("div", { class: "effect" },
    el("p", {}, el("strong", {}, cut ? "Cut off: " : "Let in: "), shown(found.name), " at ", shown(found.gateway),
      found.effective_from === null ? "" : " from ", moment(found.effective_from),
      found.effective_until === null ? "" : " until ", moment(found.effective_until),
      cut && found.last_seen !== null ? [", last seen ", moment(found.last_seen)] : ""),
    several(cut ? found.cut : found.let_in),
  );
}

function knock(found) {
  const becomes = {
    registered: "becomes registered", passed: "would pass", dropped: "would be dropped",
  }[found.becomes];
  return el("p", { class: "effect" }, "Stranger ", shown(found.source), ", ", shown(found.service), " at ",
    shown(found.gateway), `: ${becomes}. Last seen `, moment(found.last_seen),
    `, in ${number(found.minutes)} minutes.`);
}

function rest(found) {
  const more = Math.max(found.effects.length - NAMED, 0) + Math.max(found.strangers.length - NAMED, 0);
  return more > 0 ? el("p", { class: "hint" }, `${number(more)} more are not named here.`) : null;
}
