// Tables of any length: a page at a time, by the registry's cursors.

import { read } from "./api.js";
import { button, el, replace } from "./dom.js";
import { trouble } from "./say.js";

const ROWS = 50;

/** Rows of cells; on a narrow screen each row is a card, and its cells have the columns' names. */
export function table(caption, columns, rows, { empty = "Nothing here." } = {}) {
  if (rows.length === 0) return el("p", { class: "empty" }, empty);
  // Said outright: what the style makes of a table must not change what it is.
  const head = columns.map(({ name, kind }) =>
    el("th", { scope: "col", role: "columnheader", class: kind }, name),
  );
  const body = rows.map((cells) =>
    el("tr", { role: "row" }, ...cells.map((cell, at) => {
      const { name, kind } = columns[at];
      const first = at === 0;
      const properties = { role: first ? "rowheader" : "cell", class: kind, "data-label": name };
      if (first) properties.scope = "row";
      return el(first ? "th" : "td", properties, ...[cell].flat());
    })),
  );
  return el("div", { class: "scroll" },
    el("table", { role: "table" },
      el("caption", {}, caption),
      el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...head)),
      el("tbody", { role: "rowgroup" }, ...body),
    ),
  );
}

/** A list of the API, of which it shows one page at a time. */
export class Paged {
  /** `row` makes the cells of an item; `query` is asked each time. */
  constructor({ path, query, caption, columns, row, empty }) {
    Object.assign(this, { path, query, caption, columns, row, empty });
    this.place = el("div", { class: "paged" });
    // The cursors of the pages up to this one; the first page has none.
    this.cursors = [undefined];
  }

  /** Back to the first page, as after another search. */
  async first() {
    this.cursors = [undefined];
    await this.load();
  }

  /** The same page again. */
  async load() {
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    try {
      const query = { ...this.query(), limit: ROWS, cursor: this.cursors.at(-1) };
      const { content } = await read(this.path, query, asking.signal);
      if (!asking.signal.aborted) this.show(content);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      replace(this.place, trouble(problem));
    }
  }

  /** As it is now, where the time alone has changed what is shown. */
  again() {
    this.text = undefined;
    return this.load();
  }

  show(content) {
    // Where nothing changed, what was unfolded and chosen stays.
    const text = JSON.stringify(content);
    if (text === this.text && this.place.querySelector(".trouble") === null) return;
    this.text = text;
    const { items, next } = content;
    const rows = items.map((item) => this.row(item));
    const shown = table(this.caption, this.columns, rows, { empty: this.empty });
    replace(this.place, shown, this.steps(next));
  }

  steps(next) {
    if (this.cursors.length === 1 && next === null) return null;
    const go = (cursors) => {
      this.cursors = cursors;
      return this.load();
    };
    const onward = [...this.cursors, next];
    // From where the list is by then, not from what is shown: who presses twice goes back twice.
    const back = () => go(this.cursors.slice(0, Math.max(1, this.cursors.length - 1)));
    return el("nav", { class: "steps", "aria-label": `Pages of: ${this.caption}` },
      button("Previous", back, {
        "data-key": "previous", disabled: this.cursors.length === 1,
      }),
      el("span", { "aria-live": "polite" }, `Page ${this.cursors.length}`),
      button("Next", () => go(onward), { "data-key": "next", disabled: next === null }),
    );
  }
}
