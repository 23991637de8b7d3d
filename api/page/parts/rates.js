// Packets at a gateway: a chart of the last hours, and the sums that stand behind it.

import Plot from "../vendor/uplot/uPlot.esm.js";
import { read } from "./api.js";
import { el, replace } from "./dom.js";
import { field } from "./form.js";
import { trouble } from "./say.js";
import { table } from "./table.js";
import { number } from "./text.js";

const SPANS = [["60", "the last 3 hours, by minute"], ["600", "the last day, by ten minutes"]];
// Each counter keeps its colour and its dashes, whichever others there are.
const ORDER = ["registered_pass", "unregistered_drop", "unregistered_pass", "expired_drop", "unprotected_pass"];
const DASHES = [[], [8, 4], [2, 3], [12, 3, 2, 3], [4, 8], [6, 2]];
const DARK = matchMedia("(prefers-color-scheme: dark)");
const HEIGHT = 260;
// Where routers have told of little yet, no more than so many steps without a packet are shown before.
const FEWEST = 15;

export class Rates {
  constructor(path) {
    this.path = `${path}/rates`;
    const choice = field({ of: "seconds", label: "Shown", kind: "select", options: SPANS });
    this.choice = choice.querySelector("select");
    this.chart = el("div", { class: "chart" });
    this.said = el("div", {});
    this.place = el("section", { "aria-label": "Packets over time" },
      el("h2", {}, "Packets over time"), choice, this.chart, this.said,
    );
    this.again = () => this.draw();
    this.choice.addEventListener("change", () => this.load());
    DARK.addEventListener("change", this.again);
    addEventListener("resize", this.again);
  }

  async load() {
    try {
      this.found = (await read(this.path, { seconds: this.choice.value })).content;
    } catch (problem) {
      replace(this.said, trouble(problem));
      return;
    }
    replace(this.said, sums(this.found.total));
    this.draw();
  }

  draw() {
    if (this.found === undefined) return;
    const names = inOrder(Object.keys(this.found.counters));
    const { seconds, start } = this.found;
    // The last step is not over: it would look like a fall.
    const all = names.map((name) => this.found.counters[name].packets.slice(0, -1));
    const steps = all[0]?.length ?? 0;
    const begun = Math.min(...all.map((line) => line.findIndex((packets) => packets > 0)).filter((at) => at >= 0));
    const from = Math.max(Math.min(begun - 1, steps - FEWEST), 0);
    const first = Date.parse(start) / 1000;
    const times = Array.from({ length: steps }, (_, at) => first + at * seconds).slice(from);
    const lines = all.map((line) => line.slice(from).map((packets) => packets / seconds));
    this.plot?.destroy();
    this.plot = null;
    if (names.length === 0) {
      this.chart.replaceChildren(el("p", { class: "empty" }, "No packet came in this time, as far as routers have told."));
      return;
    }
    this.chart.replaceChildren();
    const width = Math.max(this.chart.clientWidth - 16, 200);
    this.plot = new Plot(optionsOf(names, width), [times, ...lines], this.chart);
    this.chart.setAttribute("role", "img");
    this.chart.setAttribute("aria-label", `Packets a second: ${names.map(words).join(", ")}. The sums are in the table below.`);
  }

  end() {
    this.plot?.destroy();
    DARK.removeEventListener("change", this.again);
    removeEventListener("resize", this.again);
  }
}

function optionsOf(names, width) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const clock = (seconds) => new Date(seconds * 1000).toISOString().slice(11, 16);
  const axis = { stroke: colour("--faint"), grid: { stroke: colour("--line") }, ticks: { stroke: colour("--line") } };
  return {
    width,
    height: HEIGHT,
    // As all times here.
    tzDate: (seconds) => new Date((seconds + new Date(seconds * 1000).getTimezoneOffset() * 60) * 1000),
    scales: { y: { range: (_, least, most) => [0, Math.max(most * 1.05, 1)] } },
    axes: [{ ...axis, values: (_, ticks) => ticks.map(clock) }, { ...axis, size: 70, values: (_, ticks) => ticks.map((each) => `${number(each)}/s`) }],
    legend: { live: width > 400 },
    series: [
      { label: "UTC", value: (_, seconds) => (seconds === null ? "" : clock(seconds)) },
      ...names.map((name) => {
        const at = place(name);
        return {
          label: words(name),
          stroke: colour(`--series-${at}`),
          dash: DASHES[at],
          width: 2,
          points: { show: false },
          value: (_, value) => (value === null ? "" : `${number(Math.round(value * 100) / 100)}/s`),
        };
      }),
    ],
  };
}

function place(name) {
  const known = ORDER.indexOf(name);
  return known === -1 ? ORDER.length : known;
}

function inOrder(names) {
  return [...names].sort((one, other) => place(one) - place(other) || (one < other ? -1 : 1));
}

/** `unregistered_pass`: a packet that only would have been dropped. */
export function words(counter) {
  const [verdict, action] = counter.split(/_(?=[^_]*$)/);
  const drops = ["unregistered", "expired", "malformed"].includes(verdict);
  return `${verdict}, ${action === "drop" ? "dropped" : drops ? "would drop" : "passed"}`;
}

function sums(total) {
  const rows = inOrder(Object.keys(total)).map((name) => [
    words(name), number(total[name].packets), number(total[name].bytes),
  ]);
  return table("In all, as routers count", [
    { name: "Packets" }, { name: "Number", kind: "number" }, { name: "Bytes", kind: "number" },
  ], rows, { empty: "No router has told of this gateway yet." });
}
