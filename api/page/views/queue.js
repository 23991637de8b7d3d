// What waits for an approver: new peers, and changes of approved ones.

import { el } from "../parts/dom.js";
import { link as gatewayLink } from "../parts/gateway.js";
import { decisions, link } from "../parts/peer.js";
import { may } from "../parts/session.js";
import { Paged } from "../parts/table.js";
import { several, shown } from "../parts/text.js";
import { near } from "../parts/time.js";

export function open() {
  const load = () => Promise.all([asked.load(), proposed.load()]);
  const decide = may("decide") ? [{ name: "Decide", kind: "actions" }] : [];
  const decideOf = (peer) => (may("decide") ? [decisions(peer, load, { waiting: true })] : []);
  const asked = new Paged({
    path: "/v1/peers",
    // By id, in the order of an index: who was first waits longest.
    query: () => ({ state: "pending" }),
    caption: "New peers, the longest waiting first",
    columns: [{ name: "Peer" }, { name: "Gateway" }, { name: "Owner" }, { name: "Purpose" }, { name: "Sources" }, { name: "Asked for" }, ...decide],
    row: (peer) => [
      link(peer), gatewayLink(peer.gateway), shown(peer.owner, 80), shown(peer.purpose, 120), several(peer.sources, 3),
      [near(peer.created), " by ", shown(peer.created_by, 60)], ...decideOf(peer),
    ],
    empty: "Nobody waits.",
  });
  const proposed = new Paged({
    path: "/v1/peers",
    query: () => ({ proposed: true }),
    caption: "Changes of peers",
    columns: [{ name: "Peer" }, { name: "Gateway" }, { name: "What changes" }, { name: "Proposed" }, ...decide],
    row: (peer) => [
      link(peer), gatewayLink(peer.gateway), several(Object.keys(peer.proposal.fields)),
      [near(peer.proposal.proposed), " by ", shown(peer.proposal.proposed_by, 60)], ...decideOf(peer),
    ],
    empty: "No change is proposed.",
  });
  return {
    title: "Approval queue",
    of: ["peer", "policy", "revision"],
    nodes: [
      may("decide") ? null : el("p", { class: "hint" }, "Approvers decide here. Your role may look."),
      asked.place, proposed.place,
    ].filter(Boolean),
    load,
  };
}
