// Signing in with a token.

import { read } from "../parts/api.js";
import { el } from "../parts/dom.js";
import { field } from "../parts/form.js";
import { trouble } from "../parts/say.js";
import { signIn } from "../parts/session.js";
import { shown } from "../parts/text.js";

// What the identity provider's way ended in, by the word in the address.
const REFUSED = {
  role: "You are known, but nothing that your identity provider says of you stands for a role here.",
  away: "The identity provider does not answer now, or too many tried from here. Try again later.",
  again: "That took too long, or was begun elsewhere. Try again.",
  none: "Nobody signs in through an identity provider here.",
};

/** `why` says why it is asked for; `then` goes on. */
export function signInForm(why, then) {
  const wrong = el("div", {});
  const provider = el("div", {});
  offer(provider);
  const form = el("form", { class: "sign-in" },
    el("h1", {}, "Sign in"),
    why || refused() ? el("p", { role: "status" }, why || refused()) : null,
    provider,
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

function refused() {
  const [, word] = /^#\/refused\/([a-z]+)$/.exec(location.hash) ?? [];
  return REFUSED[word];
}

async function offer(place) {
  const { content } = await read("/sign-in/offer").catch(() => ({ content: { issuer: null } }));
  if (content.issuer === null) return;
  const { host } = new URL(content.issuer);
  place.append(el("p", {}, el("a", { class: "main", href: "/sign-in" }, "Sign in through ", shown(host))),
    el("p", { class: "hint" }, "or with a token:"));
}
