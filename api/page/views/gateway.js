// One gateway: mode, cut-over, its packets over time, and who carries it.

import { read, send } from "../parts/api.js";
import { Rates } from "../parts/rates.js";
import { decide } from "../parts/dialog.js";
import { button, el, facts, replace } from "../parts/dom.js";
import { mode, upcoming } from "../parts/gateway.js";
import { say, trouble } from "../parts/say.js";
import { may } from "../parts/session.js";
import { table } from "../parts/table.js";
import { number, several, shown } from "../parts/text.js";
import { moment } from "../parts/time.js";

export function open([name]) {
  const path = `/v1/gateways/${encodeURIComponent(name)}`;
  const place = el("div", {});
  const over = el("div", {});
  const rates = new Rates(path);
  let told = "";
  const load = async () => {
    try {
      const { content: gateway, version } = await read(path);
      const cutover = gateway.cutover && (await read(`${path}/cutover`)).content;
      // Where nothing changed but how long it is to go, what was unfolded stays.
      const text = JSON.stringify([gateway, cutover], (key, value) => (key === "seconds" ? null : value));
      if (text !== told) {
        replace(place, about(gateway, again));
        replace(over, cutoverOf(gateway, cutover, version, path, load));
        told = text;
      }
    } catch (problem) {
      replace(place, trouble(problem));
      told = "";
      return;
    }
    await rates.load();
  };
  // Its window has begun or ended, of which the registry's answer says nothing new.
  const again = () => {
    told = "";
    return load();
  };
  return {
    title: name ?? "Gateway",
    of: ["gateway", "cutover", "policy", "revision"],
    nodes: [place, rates.place, over],
    load,
    end: () => rates.end(),
  };
}

function about(gateway, again) {
  const at = encodeURIComponent(gateway.name);
  return el("section", { "aria-label": "What it is" },
    facts(
      ["Now", mode(gateway), " ", upcoming(gateway, again)],
      ["Addresses", several(gateway.addresses)],
      ["Services", several(gateway.services)],
      ["Routers", labels(gateway.routers)],
      ["Changed", moment(gateway.changed)],
    ),
    ...gateway.warnings.map((text) => el("p", { class: "warning" }, shown(text))),
    el("p", { class: "links" },
      el("a", { href: `#/peers?gateway=${at}` }, "Its peers"), " ",
      el("a", { href: `#/strangers?gateway=${at}` }, "Its strangers")),
  );
}

function labels(found) {
  const texts = Object.entries(found).map(([key, value]) => `${key}=${value}`);
  return texts.length === 0 ? "all" : several(texts);
}

function cutoverOf(gateway, cutover, version, path, load) {
  if (cutover === null) return null;
  const { state, days, min_minutes } = cutover;
  const underWay = state === "planned" || state === "switched";
  return el("section", { "aria-label": "Cut-over" },
    el("h2", {}, "Cut-over"),
    facts(
      ["State", el("span", { class: `badge ${state}` }, state)],
      ["Enforces from", moment(cutover.at)],
      ["Monitors again at", state === "confirmed" ? "" : moment(cutover.until)],
      ["Planned", moment(cutover.planned), " by ", shown(cutover.planned_by)],
      ["Ended", ...(cutover.ended === null ? [] : [moment(cutover.ended), " by ", shown(cutover.ended_by)])],
      ["Why", cutover.reason === null ? "" : shown(cutover.reason)],
      ["In spite of strangers", cutover.override === null ? "" : shown(cutover.override)],
      ["Strangers counted", days === 7 && min_minutes === 1 ? "" : `seen in the last ${number(days)} days, in ${number(min_minutes)} minutes or more`],
      ["Strangers left", underWay ? number(cutover.strangers) : ""],
      ...(state === "switched" ? dropped(cutover) : []),
    ),
    ...buttons(gateway, state, version, path, load),
    cutover.routers.length === 0 ? null : table("Routers that carry it",
      [{ name: "Router" }, { name: "Latest step" }, { name: "Wrong there" }],
      cutover.routers.map((router) => [
        shown(router.name), router.has_it ? "in force" : "not there yet", several(router.warnings),
      ])),
  );
}

function dropped({ dropped_sources: sources, most_dropped_sources: most, dropped: first }) {
  const bound = most === 0 ? "however many, it is not taken back for that" : `more than ${number(most)} take it back`;
  return [
    ["Dropped since", `${number(sources)} sources that passed before; ${bound}`],
    ["Of these", first.length > 0 ? several(first) : ""],
  ];
}

function buttons(gateway, state, version, path, load) {
  if (!may("cutover")) return [];
  const offered = [];
  if (state === "switched") {
    offered.push(button("Confirm", () => step(gateway, "confirm", "Confirm", version, path, load), { class: "main", "data-key": "confirm" }));
  }
  if (["planned", "switched", "confirmed"].includes(state)) {
    const label = state === "planned" ? "Cancel the cut-over" : "Back to monitor";
    offered.push(button(label, () => step(gateway, "return", label, version, path, load), { class: "danger", "data-key": "return" }));
  }
  return offered.length > 0 ? [el("div", { class: "buttons" }, ...offered)] : [];
}

async function step(gateway, action, label, version, path, load) {
  const back = action === "return";
  const done = await decide({
    title: `${label}: ${gateway.name}`,
    about: [el("p", {}, back
      ? "From now on it drops nobody. Routers have that in seconds."
      : "It enforces for good. Not confirmed, it would monitor again by itself.")],
    fields: back ? [{ of: "reason", label: "Reason", maxlength: 500 }] : [],
    action: label,
    danger: back,
    submit: async (values, once) => {
      const body = back ? values : undefined;
      await send("POST", `${path}/cutover/${action}`, { body, version, once });
      say("Gateway ", shown(gateway.name), back ? ": it monitors." : ": confirmed.");
      return true;
    },
  });
  if (done) await load();
}
