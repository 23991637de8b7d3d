// Peers: searched, sorted, a page at a time.

import { link as gatewayLink } from "../parts/gateway.js";
import { badge, link, waits } from "../parts/peer.js";
import { Search } from "../parts/search.js";
import { Paged } from "../parts/table.js";
import { several, shown } from "../parts/text.js";
import { near, now } from "../parts/time.js";

const STATES = [
  ["", "any"], ["pending", "pending"], ["active", "active"], ["approved", "approved, active or not"],
  ["expired", "expired"], ["rejected", "rejected"], ["revoked", "revoked"],
];
const DAYS = [["", "whenever"], ["1", "within a day"], ["7", "within a week"], ["30", "within 30 days"]];
const ORDERS = [["", "first registered first"], ["-created", "last registered first"], ["name", "by name"], ["valid_until", "ends first"], ["-changed", "changed last first"]];
const FIELDS = [
  { of: "name_prefix", label: "Name begins", kind: "search" },
  { of: "source", label: "Source", kind: "search", hint: "an address or prefix" },
  { of: "gateway", label: "Gateway", kind: "search" },
  { of: "owner", label: "Owner", kind: "search", hint: "exactly" },
  { of: "state", label: "State", kind: "select", options: STATES },
  { of: "ends", label: "Ends", kind: "select", options: DAYS },
  { of: "sort", label: "Order", kind: "select", options: ORDERS },
];

export function open(_, query) {
  const list = new Paged({
    path: "/v1/peers",
    query: () => asked(search.values),
    caption: "Peers",
    columns: [
      { name: "Peer" }, { name: "State" }, { name: "Gateway" }, { name: "Owner" }, { name: "Sources" },
      { name: "Valid until" }, { name: "Last seen" },
    ],
    row: (peer) => [
      link(peer),
      waits(peer) ? [badge(peer.state), " ", "a change is proposed"] : badge(peer.state),
      gatewayLink(peer.gateway),
      shown(peer.owner, 80),
      several(peer.sources, 3),
      near(peer.valid_until, "no end"),
      near(peer.last_seen, "never"),
    ],
    empty: "No peer like this.",
  });
  const search = new Search("peers", FIELDS, query, () => list.first());
  return {
    title: "Peers",
    of: ["peer", "policy", "revision"],
    nodes: [search.form, list.place],
    load: () => list.load(),
  };
}

/** In the API's words. Only what is active has an end to come. */
function asked({ ends, ...values }) {
  if (!ends) return values;
  // To the minute: the pages of one list are asked for alike.
  const minute = Math.floor(now() / 60_000) * 60_000;
  const before = new Date(minute + Number(ends) * 86_400_000).toISOString();
  return { state: "active", ...values, valid_until_before: before, sort: values.sort ?? "valid_until" };
}
