// The page: who is signed in, which view is shown, and when it looks again.

import { onSignedOut } from "./parts/api.js";
import { button, el } from "./parts/dom.js";
import { say, trouble } from "./parts/say.js";
import * as session from "./parts/session.js";
import { Stream } from "./parts/stream.js";
import { plain, shown } from "./parts/text.js";
import { VIEWS } from "./views.js";
import { signInForm } from "./views/sign_in.js";

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const whoPlace = document.getElementById("who");
const live = el("span", { class: "live", role: "status" });
// Seconds between two looks at what no event tells of, and milliseconds in which events are gathered.
const EVERY = 10;
const GATHERED = 400;

let view = null;
let soon = null;

const LIVE = {
  live: "Live",
  connecting: "Connecting again…",
  paused: "Paused",
};

const stream = new Stream(
  (kind) => {
    if (kind === "all" || (view?.of ?? []).includes(kind)) lookSoon();
  },
  (state) => {
    live.textContent = LIVE[state];
    live.dataset.state = state;
  },
  async () => {
    try {
      return (await session.find()) !== null || askToSignIn("Your session has ended.");
    } catch {
      return true;
    }
  },
);

function lookSoon() {
  soon ??= setTimeout(() => {
    soon = null;
    view?.load();
  }, GATHERED);
}

setInterval(() => {
  // Nothing changes under somebody who decides.
  if (!document.hidden && document.querySelector("dialog[open]") === null) view?.load();
}, EVERY * 1000);

function leave() {
  view?.end?.();
  view = null;
}

function askToSignIn(why = "") {
  leave();
  stream.stop();
  session.forget();
  document.querySelectorAll("dialog").forEach((each) => each.close());
  nav.hidden = true;
  whoPlace.hidden = true;
  document.title = "Sign in · peergate";
  main.replaceChildren(signInForm(why, start));
  main.querySelector("input")?.focus();
  return false;
}

function start() {
  const { name, role } = session.who();
  const links = VIEWS.filter((each) => each.label && (!each.needs || session.may(each.needs)));
  nav.replaceChildren(
    el("ul", {}, ...links.map((each) =>
      el("li", {}, el("a", { href: `#/${each.path}`, "data-path": each.path }, each.label)))),
  );
  nav.hidden = false;
  whoPlace.replaceChildren(
    live,
    el("span", { class: "name" }, shown(name, 40), el("span", { class: "aside" }, ` ${role}`)),
    button("Sign out", signOut),
  );
  whoPlace.hidden = false;
  stream.start();
  return go();
}

async function signOut() {
  try {
    await session.signOut();
  } catch (problem) {
    if (problem.status !== 401) return say(shown(problem.message));
  }
  return askToSignIn("You are signed out.");
}

async function go() {
  if (session.who() === null) return;
  const [path, ...rest] = location.hash.replace(/^#\/?/, "").split("?")[0].split("/").map(decoded);
  const query = new URLSearchParams(location.hash.split("?")[1] ?? "");
  const found = VIEWS.find((each) => each.path === path) ?? VIEWS[0];
  leave();
  for (const link of nav.querySelectorAll("a")) {
    if (link.dataset.path === (found.within ?? found.path)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  view = found.open(rest, query);
  document.title = `${plain(view.title)} · peergate`;
  const heading = el("h1", { tabindex: "-1" }, shown(view.title));
  main.replaceChildren(heading, ...view.nodes);
  heading.focus();
  scrollTo(0, 0);
  await view.load();
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

document.getElementById("skip").addEventListener("click", () => main.focus());
addEventListener("hashchange", go);
onSignedOut(() => {
  if (session.who() !== null) askToSignIn("Your session has ended: its time is over, or its token was revoked.");
});

try {
  if ((await session.find()) === null) askToSignIn();
  else await start();
} catch (problem) {
  main.replaceChildren(trouble(problem), button("Try again", () => location.reload()));
}
