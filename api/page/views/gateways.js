// All gateways: what each does now, and when that changes.

import { el } from "../parts/dom.js";
import { link, mode, upcoming } from "../parts/gateway.js";
import { Paged } from "../parts/table.js";
import { several } from "../parts/text.js";

export function open() {
  const list = new Paged({
    path: "/v1/gateways",
    query: () => ({}),
    caption: "Gateways by name",
    columns: [{ name: "Gateway" }, { name: "Now" }, { name: "Next" }, { name: "Addresses" }, { name: "Services" }, { name: "Strangers" }],
    row: (gateway) => [
      link(gateway.name),
      mode(gateway),
      upcoming(gateway, () => list.again()),
      several(gateway.addresses),
      several(gateway.services),
      el("a", { href: `#/strangers?gateway=${encodeURIComponent(gateway.name)}` }, "who knocks"),
    ],
    empty: "No gateway is declared yet: peergate gateway add NAME --address ADDRESS --service wireguard",
  });
  return {
    title: "Gateways",
    of: ["gateway", "cutover", "policy", "revision"],
    nodes: [list.place],
    load: () => list.load(),
  };
}
