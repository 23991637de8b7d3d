// Signing in with a token.

import { el } from "../parts/dom.js";
import { field } from "../parts/form.js";
import { trouble } from "../parts/say.js";
import { signIn } from "../parts/session.js";

/** `why` says why it is asked for; `then` goes on. */
export function signInForm(why, then) {
  const wrong = el("div", {});
  const form = el("form", { class: "sign-in" },
    el("h1", {}, "Sign in"),
    why ? el("p", { role: "status" }, why) : null,
    field({
      of: "token", label: "Token", kind: "password", required: true, autocomplete: "current-password",
      spellcheck: "false", hint: "An admin makes one: peergate token add NAME --role viewer",
    }),
    wrong,
    el("div", { class: "buttons" }, el("button", { type: "submit", class: "main" }, "Sign in")),
    globalThis.isSecureContext ? null
      : el("p", { class: "hint" }, "This page came without https: whoever is on the way can read your token."),
  );
  const input = form.elements.namedItem("token");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    wrong.replaceChildren();
    try {
      await signIn(input.value.trim());
    } catch (problem) {
      wrong.replaceChildren(trouble(problem));
      input.focus();
      return;
    } finally {
      input.value = "";
    }
    await then();
  });
  return form;
}
