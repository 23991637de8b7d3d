// The audit trail: what was changed, by whom, from where, and from what to what.

import { el } from "../parts/dom.js";
import { Search } from "../parts/search.js";
import { Paged } from "../parts/table.js";
import { shown } from "../parts/text.js";
import { moment } from "../parts/time.js";

const FIELDS = [
  { of: "subject", label: "Subject", kind: "search", hint: "as in peer/17" },
  { of: "actor", label: "Who", kind: "search", hint: "a token's name" },
  { of: "action", label: "Action", kind: "search", hint: "as in peer.approve" },
  { of: "since", label: "Since (UTC)", kind: "date" },
];

export function open(_, query) {
  const list = new Paged({
    path: "/v1/audit",
    query: () => search.values,
    caption: "Audit trail, the latest first",
    columns: [{ name: "Number", kind: "number" }, { name: "When" }, { name: "Who" }, { name: "From" }, { name: "Action" }, { name: "Subject" }, { name: "Changed" }],
    row: (record) => [
      String(record.number),
      moment(record.time),
      [shown(record.actor.name, 80), el("span", { class: "aside" }, ` ${record.actor.role ?? ""}`)],
      shown(record.from ?? ""),
      shown(record.action),
      shown(record.subject),
      changes(record),
    ],
    empty: "No record like this.",
  });
  const search = new Search("audit", FIELDS, query, () => list.first());
  return {
    title: "Audit",
    of: ["peer", "gateway", "cutover", "policy", "rules", "rollout", "router", "stranger", "revision"],
    nodes: [search.form, list.place],
    load: () => list.load(),
  };
}

/** Of what differs, before and after. */
function changes({ before, after, number }) {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  const differs = names.filter((name) => JSON.stringify(before?.[name]) !== JSON.stringify(after?.[name]));
  if (differs.length === 0) return "";
  return el("details", { "data-key": `record-${number}` },
    el("summary", {}, before === null ? "new" : after === null ? "gone" : shown(differs.join(", "), 60)),
    el("dl", { class: "facts" }, ...differs.flatMap((name) => [
      el("dt", {}, shown(name)), el("dd", {}, written(before?.[name]), " → ", written(after?.[name])),
    ])),
  );
}

function written(value) {
  if (value === undefined || value === null) return "none";
  return shown(typeof value === "string" ? value : JSON.stringify(value), 200);
}
