// What becomes of a packet on a router, and why: its own program says so. Nothing is sent.

import { read } from "../parts/api.js";
import { el, facts, replace } from "../parts/dom.js";
import { link as gatewayLink } from "../parts/gateway.js";
import { link as peerLink } from "../parts/peer.js";
import { trouble } from "../parts/say.js";
import { Search } from "../parts/search.js";
import { shown } from "../parts/text.js";
import { moment } from "../parts/time.js";

const FIELDS = [
  { of: "router", label: "Router", required: true },
  { of: "src", label: "From", required: true, hint: "an address" },
  { of: "dst", label: "To", required: true, hint: "a gateway's address" },
  { of: "proto", label: "Protocol", value: "udp", required: true, hint: "udp, tcp, esp, gre … or its number" },
  { of: "dport", label: "Port", kind: "number", min: 0, max: 65535, hint: "for udp and tcp" },
  { of: "now", label: "As of (UTC)", kind: "date", hint: "Empty: now." },
];

export function open(_, query) {
  const place = el("div", { "aria-live": "polite" });
  const ask = async () => {
    const { router, ...packet } = search.values;
    search.pointOut(null);
    if (router === undefined) {
      search.pointOut({ errors: [{ field: "router", rule: "name one: see Routers" }] });
      return;
    }
    replace(place, el("p", { class: "waiting" }, "Asking the router…"));
    try {
      const { content } = await read(`/v1/routers/${encodeURIComponent(router)}/explain`, packet);
      replace(place, account(content));
    } catch (problem) {
      problem.errors = search.pointOut(problem);
      replace(place, trouble(problem));
    }
  };
  const search = new Search("explain", FIELDS, query, ask, "Ask");
  const given = ["router", "src", "dst"].every((name) => query.has(name));
  return {
    title: "Explain",
    of: [],
    nodes: [
      el("p", { class: "hint" }, "What would become of a packet on this router, and why? Nothing is sent, and nothing is counted."),
      search.form, place,
    ],
    // Asked once: whoever wants to know again asks again.
    load: async () => {
      if (given && place.childElementCount === 0) await ask();
    },
  };
}

function account(found) {
  const { verdict, action, would_drop: wouldDrop } = found;
  const drops = action === "drop";
  return el("section", { "aria-label": "What becomes of it" },
    el("h2", {}, el("span", { class: `badge ${drops ? "expired" : wouldDrop ? "monitor" : "good"}` },
      drops ? "dropped" : wouldDrop ? "passes, would be dropped" : "passes"), " ", shown(verdict)),
    el("ul", {}, ...found.why.map((line) => el("li", {}, shown(line, 500)))),
    facts(
      ["Gateway", found.gateway === null ? "none" : gatewayLink(found.gateway)],
      ["As of", moment(found.now)],
      ["Revision", found.revision === null ? "none known there" : String(found.revision)],
      ["Peer", found.peer === null ? "" : registration(found.peer)],
      ["Nearest", found.nearest === null ? "" : registration(found.nearest)],
    ),
  );
}

function registration(found) {
  return el("span", {}, peerLink(found), ", ", shown(found.source), " ", shown(found.standing), ". ",
    shown(found.owner), ", ", shown(found.contact), ": ", shown(found.purpose));
}
