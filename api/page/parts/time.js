// Moments, as the registry writes them, in UTC; and how far away they are, by the registry's clock.

import { el } from "./dom.js";

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
// What ticks: elements that show how long it is to go. One timer for all.
const ticking = new Set();
let timer = null;
// Milliseconds that the registry's clock is ahead of the browser's.
let ahead = 0;

/** From an answer's `Date` header: this machine's clock may be anything. */
export function noteClock(date) {
  const said = Date.parse(date);
  // The header has whole seconds: what is less may be that.
  if (!Number.isNaN(said) && Math.abs(said - Date.now() - ahead) > 2000) ahead = said - Date.now();
}

export function now() {
  return Date.now() + ahead;
}

export function moment(text, otherwise = "") {
  if (text === null || text === undefined) return otherwise;
  const when = new Date(text);
  const written = when.toISOString();
  return el(
    "time",
    { datetime: written, title: distance(when) },
    `${written.slice(0, 10)} ${written.slice(11, 19)} UTC`,
  );
}

/** A moment with its distance beside it, which is kept true. */
export function near(text, otherwise = "") {
  if (text === null || text === undefined) return otherwise;
  const place = el("span", { class: "aside" });
  keep(place, () => {
    place.textContent = `(${distance(new Date(text))})`;
    return true;
  });
  return el("span", {}, moment(text), " ", place);
}

function distance(when) {
  const seconds = (when.getTime() - now()) / 1000;
  const long = span(Math.abs(seconds));
  return seconds >= 0 ? `in ${long}` : `${long} ago`;
}

/** Seconds, in the two largest units that they have. */
export function span(seconds) {
  const whole = Math.round(seconds);
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return `${Math.floor(whole / MINUTE)} min ${whole % MINUTE} s`;
  if (whole < DAY) return `${Math.floor(whole / HOUR)} h ${Math.floor((whole % HOUR) / MINUTE)} min`;
  return `${Math.floor(whole / DAY)} d ${Math.floor((whole % DAY) / HOUR)} h`;
}

/** Counts down to a moment; `then` is called once it is there. */
export function countdown(text, then) {
  const target = new Date(text).getTime();
  const place = el("span", { class: "countdown", role: "timer" });
  const tick = () => {
    const left = (target - now()) / 1000;
    place.textContent = left > 0 ? span(left) : "now";
    return left > 0;
  };
  keep(place, tick, then);
  return place;
}

/** `tick` is called each second while the place is shown, for as long as it answers true. */
function keep(place, tick, then) {
  if (!tick()) return;
  ticking.add({ place, tick, then, seen: false });
  timer ??= setInterval(() => ticking.forEach(advance), 1000);
}

function advance(entry) {
  // One that was never shown yet is made for what comes next.
  const gone = entry.seen && !entry.place.isConnected;
  entry.seen ||= entry.place.isConnected;
  if (gone) {
    ticking.delete(entry);
  } else if (!entry.tick()) {
    ticking.delete(entry);
    entry.then?.();
  }
}
