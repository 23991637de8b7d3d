// What the page says beside its content: to eyes, and to screen readers.

import { button, el } from "./dom.js";
import { shown } from "./text.js";

const STAYS = 12_000;

/** Something was done. What was said before makes room. */
export function say(...parts) {
  const note = el("p", { class: "note" }, ...parts);
  note.append(button("×", () => note.remove(), { class: "close", "aria-label": "Close this note" }));
  document.getElementById("said").replaceChildren(note);
  setTimeout(() => note.remove(), STAYS);
}

/** A problem in words, with each wrong value. */
export function trouble(problem) {
  const box = el("div", { class: "trouble", role: "alert" }, el("p", {}, heading(problem)));
  box.append(el("p", {}, shown(problem.message, 1000)));
  if (problem.errors?.length > 0) {
    const lines = problem.errors.slice(0, 20).map((each) =>
      el("li", {}, shown(each.field), each.field ? ": " : "", each.value ? shown(each.value) : "",
        each.value ? ": " : "", shown(each.rule, 500)),
    );
    box.append(el("ul", {}, ...lines));
  }
  return box;
}

function heading(problem) {
  switch (problem.status) {
    case 0:
      return "Not connected";
    case 403:
      return "Your role does not allow this";
    case 404:
      return "Not there";
    case 412:
      return "Somebody changed this meanwhile: nothing was done";
    case 503:
      return "The registry cannot answer now";
    default:
      return "This was not done";
  }
}
