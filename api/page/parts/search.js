// What a list is asked for: fields above it, kept in the address so that it can be gone back to.

import { el } from "./dom.js";
import { field, filled, pointOut } from "./form.js";

/**
 * A form above what it asks for; `found` is called once it is sent. What is filled in stands behind
 * the `?` of the address, under `path`.
 */
export class Search {
  constructor(path, fields, query, found, label = "Search") {
    const known = fields.map((each) => ({ ...each, value: valueIn(query, each) }));
    this.form = el("form", { class: "finder", role: "search", novalidate: true },
      ...known.map(field),
      el("div", { class: "buttons" }, el("button", { type: "submit" }, label)),
    );
    // What is being typed is nothing yet: lists look again by themselves.
    this.values = valuesOf(this.form);
    this.form.addEventListener("submit", async (event) => {
      event.preventDefault();
      this.values = valuesOf(this.form);
      const asked = new URLSearchParams(Object.entries(this.values));
      // Not a new view: only where to come back to.
      history.replaceState(null, "", `#/${path}${asked.size > 0 ? `?${asked}` : ""}`);
      await found();
    });
    this.form.addEventListener("change", (event) => {
      if (event.target.matches("select, [type=checkbox]")) this.form.requestSubmit();
    });
  }

  pointOut(problem) {
    return pointOut(this.form, problem?.errors ?? []);
  }
}

/** What is filled in; boxes that are not ticked are left out. */
function valuesOf(form) {
  return Object.fromEntries(Object.entries(filled(form)).filter(([, value]) => value !== false));
}

function valueIn(query, { of, kind, value }) {
  if (!query.has(of)) return value;
  const text = query.get(of);
  if (kind === "check") return text === "true";
  // Such a field has no place for the zone.
  return kind === "date" ? text.replace(/Z$/, "") : text;
}
