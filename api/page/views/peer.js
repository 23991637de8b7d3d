// One peer: all that is registered, and what may be decided.

import { read } from "../parts/api.js";
import { el, replace } from "../parts/dom.js";
import { about, decisions, proposal } from "../parts/peer.js";
import { trouble } from "../parts/say.js";
import { may } from "../parts/session.js";
import { shown } from "../parts/text.js";

export function open([number]) {
  const place = el("div", {});
  let told = "";
  const load = async () => {
    try {
      const { content: peer } = await read(`/v1/peers/${encodeURIComponent(number)}`);
      // Where nothing changed, what was unfolded stays, and so does the focus.
      const text = JSON.stringify(peer);
      if (text === told) return;
      const offered = decisions(peer, load);
      replace(place,
        el("h2", {}, shown(peer.name)),
        about(peer),
        proposal(peer),
        offered.length > 0 ? el("div", { class: "buttons" }, ...offered) : null,
        may("audit") ? el("p", { class: "links" }, el("a", { href: `#/audit?subject=peer/${peer.id}`, "data-key": "audit" }, "What was done to it")) : null,
      );
      told = text;
    } catch (problem) {
      replace(place, trouble(problem));
      told = "";
    }
  };
  return { title: `Peer ${number}`, of: ["peer", "policy", "revision"], nodes: [place], load };
}
