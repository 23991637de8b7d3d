// Fields with their labels and what is wrong with them.

import { el } from "./dom.js";

let made = 0;

/**
 * A field: `kind` is text, date, select, area, check or search; `options` of a select are pairs of
 * value and label. `of` is its name in the API.
 */
export function field({ of, label, kind = "text", hint, value, options, required, ...more }) {
  const id = `field-${++made}`;
  const input = inputOf(kind, options, {
    id, name: of, required, "aria-describedby": hint ? `${id}-hint` : null, ...more,
  });
  if (kind === "check") input.checked = value ?? false;
  else if (value !== undefined && value !== null) input.value = value;
  const parts = [el("label", { for: id }, label), input];
  if (kind === "check") parts.reverse();
  return el("div", { class: `field ${kind}` }, ...parts,
    hint ? el("p", { class: "hint", id: `${id}-hint` }, hint) : null,
    el("p", { class: "wrong", id: `${id}-wrong` }),
  );
}

function inputOf(kind, options, properties) {
  if (kind === "select") {
    return el("select", properties, ...options.map(([value, label]) => el("option", { value }, label)));
  }
  if (kind === "area") return el("textarea", { rows: 3, ...properties });
  const type = { check: "checkbox", date: "datetime-local", number: "number", search: "search" }[kind];
  return el("input", { type: type ?? kind, ...properties });
}

/** What was filled in, by name; times in UTC, as the API takes them; what is empty is left out. */
export function filled(form) {
  const values = {};
  for (const input of form.elements) {
    if (!input.name) continue;
    if (input.type === "checkbox") values[input.name] = input.checked;
    else if (input.value !== "") values[input.name] = inputValue(input);
  }
  return values;
}

function inputValue(input) {
  if (input.type === "datetime-local") return `${input.value}${input.value.length === 16 ? ":00" : ""}Z`;
  if (input.type === "number") return Number(input.value);
  return input.value.trim();
}

/** Puts each refused value beside its field; answers those that have none. */
export function pointOut(form, errors) {
  for (const input of form.elements) mark(input, "");
  const left = [];
  for (const error of errors) {
    const name = String(error.field).replace(/\[.*/, "").split(".")[0];
    const input = form.elements.namedItem(name);
    if (input instanceof HTMLElement) mark(input, error.rule);
    else left.push(error);
  }
  form.querySelector("[aria-invalid]")?.focus();
  return left;
}

function mark(input, rule) {
  const place = document.getElementById(`${input.id}-wrong`);
  if (place === null) return;
  place.textContent = rule;
  if (rule === "") input.removeAttribute("aria-invalid");
  else input.setAttribute("aria-invalid", "true");
  const hint = document.getElementById(`${input.id}-hint`) ? `${input.id}-hint ` : "";
  input.setAttribute("aria-describedby", `${hint}${place.id}`);
}
