// Routers: how far each is behind, and what is wrong there.

import { el } from "../parts/dom.js";
import { Paged } from "../parts/table.js";
import { number, several, shown } from "../parts/text.js";
import { near } from "../parts/time.js";

export function open() {
  const list = new Paged({
    path: "/v1/routers",
    query: () => ({}),
    caption: "Routers by name",
    columns: [
      { name: "Router" }, { name: "Health" }, { name: "Revision", kind: "number" }, { name: "Behind" },
      { name: "Reported" }, { name: "Interfaces" }, { name: "Runs" }, { name: "What to do" },
    ],
    row: (router) => [
      [el("a", { href: `#/explain?router=${encodeURIComponent(router.name)}`, "data-key": router.name, title: "Ask it of a packet" }, shown(router.name)), labels(router)],
      el("span", { class: `badge ${router.health}` }, router.health),
      router.report === null ? "" : number(router.report.revision),
      behind(router),
      near(router.received, "never"),
      router.report === null ? "" : interfaces(router.report.interfaces),
      router.report === null ? "" : [shown(router.report.version), el("span", { class: "aside" }, " Linux ", shown(router.report.kernel))],
      several(router.warnings),
    ],
    empty: "No router yet: peergate router add NAME",
  });
  return {
    title: "Routers",
    of: ["router", "revision", "rollout"],
    nodes: [list.place],
    load: () => list.load(),
  };
}

function labels(router) {
  const texts = Object.entries(router.labels).map(([key, value]) => `${key}=${value}`);
  if (router.stage !== null) texts.push(`stage: ${router.stage}`);
  return texts.length === 0 ? null : el("div", { class: "aside" }, several(texts));
}

function behind(router) {
  if (router.lag === null) return "";
  if (router.lag === 0) return "up to date";
  return [`${number(router.lag)} revisions `, router.behind_since === null ? "" : near(router.behind_since)];
}

function interfaces(found) {
  return el("ul", { class: "plain" }, ...found.map((each) => el("li", {},
    shown(each.name), ": ",
    el("span", { class: each.attached ? "" : "urgent" }, each.attached ? each.attach : "not attached"),
  )));
}
