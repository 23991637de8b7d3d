// Text from outside: anybody may have written it. It is shown as text, apart from what stands around
// it, with all that could not be seen, or would turn the line round, made visible.

import { button, el } from "./dom.js";

// Control and format characters, the overrides of direction among them; separators of lines, what is
// private, unassigned, or half of a pair; blanks that nobody sees, and what fills no place.
const ODD = /[\p{C}\p{Zl}\p{Zp}\u00a0\u115f\u1160\u2000-\u200a\u202f\u205f\u2800\u3000\u3164\uffa0]/u;
const MOST = 160;

/** A text from outside; the whole of a long one on demand. */
export function shown(text, most = MOST) {
  const characters = [...String(text ?? "")];
  const place = el("bdi", { class: "data" }, ...visible(characters.slice(0, most)));
  if (characters.length <= most) return place;
  const more = button(
    `… all ${characters.length.toLocaleString("en")} characters`,
    () => place.replaceChildren(...visible(characters)),
    { class: "more" },
  );
  place.append(more);
  return place;
}

/** The same without elements, for where only text may stand: titles, options, labels. */
export function plain(text, most = MOST) {
  const characters = [...String(text ?? "")];
  const cut = characters.slice(0, most).map((each) => (ODD.test(each) ? code(each) : each)).join("");
  const whole = `${cut}${characters.length > most ? "…" : ""}`;
  // What is written from right to left ends at its own end.
  return /[^ -~]/.test(cut) ? `\u2068${whole}\u2069` : whole;
}

function visible(characters) {
  const parts = [];
  let run = "";
  for (const each of characters) {
    if (!ODD.test(each)) {
      run += each;
      continue;
    }
    parts.push(run, el("span", { class: "odd", title: "a character that cannot be seen" }, code(each)));
    run = "";
  }
  parts.push(run);
  return parts.filter((each) => each !== "");
}

function code(character) {
  return `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
}

/** Each in a line of its own, the first few, and how many more there are. */
export function several(texts, most = 4) {
  const items = texts.slice(0, most).map((each) => el("li", {}, shown(each)));
  if (texts.length > most) {
    const list = el("ul", { class: "plain" }, ...items);
    const rest = texts.length - most;
    list.append(
      el("li", {}, button(`${number(rest)} more`, (event) => {
        event.target.closest("li").replaceWith(
          ...texts.slice(most, 1000).map((each) => el("li", {}, shown(each))),
        );
      }, { class: "more" })),
    );
    return list;
  }
  return el("ul", { class: "plain" }, ...items);
}

export function number(value) {
  return Number(value).toLocaleString("en");
}
