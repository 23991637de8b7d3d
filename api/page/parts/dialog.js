// One thing is decided at a time, in a dialog: what it is about, what it would do, a form, two buttons.

import { onceKey } from "./api.js";
import { button, el } from "./dom.js";
import { field, filled, pointOut } from "./form.js";
import { trouble } from "./say.js";

/**
 * Opens a dialog, and answers what `submit` does, or null where it was left.
 *
 * `about` is nodes, or promises them; `submit` gets what was filled in, and a key that stays the same
 * when it is sent again.
 */
export function decide({ title, about, fields = [], action, danger = false, submit }) {
  return new Promise((resolve) => {
    const wrong = el("div", {});
    const heading = el("h2", { id: "dialog-title", tabindex: "-1" }, title);
    const send = el("button", { class: danger ? "danger" : "main", type: "submit" }, action);
    const told = el("div", { class: "about" }, el("p", { class: "waiting", role: "status" }, "Asking the registry…"));
    const form = el("form", { novalidate: true },
      heading, told, ...fields.map(field), wrong,
      el("div", { class: "buttons" }, button("Not now", () => dialog.close()), send),
    );
    const dialog = el("dialog", { "aria-labelledby": "dialog-title" }, form);
    const once = onceKey();
    let done = null;
    // Nobody decides before it is told what that would do.
    send.disabled = true;
    Promise.resolve(about).then(
      (node) => {
        told.replaceChildren(...[node].flat().filter(Boolean));
        send.disabled = false;
      },
      (problem) => told.replaceChildren(trouble(problem)),
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (send.disabled) return;
      send.disabled = true;
      wrong.replaceChildren();
      try {
        done = await submit(filled(form), once);
        dialog.close();
      } catch (problem) {
        problem.errors = pointOut(form, problem.errors ?? []);
        wrong.replaceChildren(trouble(problem));
        send.disabled = false;
      }
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      // Where it was opened from may be gone by now.
      if (document.activeElement === document.body) document.getElementById("main").focus();
      resolve(done);
    });
    document.body.append(dialog);
    dialog.showModal();
    (form.querySelector("input, textarea, select") ?? heading).focus();
  });
}
