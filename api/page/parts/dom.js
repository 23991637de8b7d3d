// Elements are made of names, attributes and text. There is no way from text to markup in here, and
// the document's policy has the browser refuse any other.

/**
 * An element. `on` holds listeners, `class` and all else are attributes: false and null leave one
 * out, true makes it empty. Children are nodes or text; null and false are left out.
 */
export function el(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "on") {
      for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    } else if (value !== false && value !== null && value !== undefined) {
      made.setAttribute(key, value === true ? "" : String(value));
    }
  }
  made.append(...present(children));
  return made;
}

function present(children) {
  return children.flat().filter((each) => each !== null && each !== false && each !== undefined);
}

/**
 * New content, with the focus where it was, and open what was open: elements that have the same
 * `data-key` are the same.
 */
export function replace(place, ...children) {
  const focused = place.contains(document.activeElement) ? document.activeElement : null;
  const key = focused?.dataset.key;
  const typed = focused instanceof HTMLInputElement ? focused.value : null;
  const open = [...place.querySelectorAll("details[open][data-key]")].map((each) => each.dataset.key);
  place.replaceChildren(...present(children));
  for (const each of place.querySelectorAll("details[data-key]")) {
    each.open = open.includes(each.dataset.key);
  }
  if (focused === null) return;
  const again = key && place.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (again && typed !== null) again.value = typed;
  // What had it may be gone: then on from the content's begin.
  (again || document.getElementById("main")).focus({ preventScroll: true });
}

export function button(label, onClick, properties = {}) {
  return el("button", { type: "button", on: { click: onClick }, ...properties }, label);
}

/** Terms with what is said of each; terms without anything are left out. */
export function facts(...pairs) {
  const list = el("dl", { class: "facts" });
  for (const [term, ...said] of pairs) {
    const what = present(said).filter((each) => each !== "");
    if (what.length > 0) list.append(el("dt", {}, term), el("dd", {}, ...what));
  }
  return list;
}
