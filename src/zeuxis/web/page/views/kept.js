// Kept pictures: a row of recipes that can be taken into hand, dragged, used by a key, and removed.

import { make, thumb } from "zeuxis/pictures.js";
import { nameOf } from "zeuxis/recipes.js";

/** @typedef {import("zeuxis/page.js").Page} Page */

const KEYS = /** @type {Record<string, import("zeuxis/page.js").Place>} */ ({ a: "A", b: "B", c: "C", s: "Start", e: "End" });

/** @param {HTMLElement} root
 * @param {Page} page */
export function mountKept(root, page) {
  const row = make("div", { className: "row", role: "group", "aria-label": "Kept pictures" });
  const hint = make("p", { className: "hint", textContent: "Drag one, or press A, B, C, S or E on it; Delete removes it." });
  root.append(make("div", { className: "bar" }, make("h2", { textContent: "Kept" }), hint), row);
  let drawn = /** @type {WeakMap<object, HTMLElement>} */ (new WeakMap());
  const fill = () => {
    row.replaceChildren(...page.kept.map((recipe) => {
      const known = drawn.get(recipe);
      if (known) return known;
      const button = thumb(recipe, page, `${nameOf(recipe)}, kept. A, B, C, S or E uses it, Delete removes it`);
      button.onkeydown = (event) => key(page, recipe, event);
      drawn.set(recipe, button);
      return button;
    }));
  };
  const mark = () => {
    const current = page.keptAs(page.hand);
    page.kept.forEach((recipe) => drawn.get(recipe)?.classList.toggle("current", recipe === current));
  };
  page.on("hand", mark);
  page.on("kept", () => {
    fill();
    mark();
  });
  page.on("label", () => {
    drawn = new WeakMap();
    fill();
    mark();
  });
  fill();
}

/** @param {Page} page
 * @param {import("zeuxis/recipes.js").Recipe} recipe
 * @param {KeyboardEvent} event */
function key(page, recipe, event) {
  const place = KEYS[event.key.toLowerCase()], button = /** @type {HTMLElement} */ (event.currentTarget);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (place) page.use(place, recipe);
  if (event.key !== "Delete" && event.key !== "Backspace") return;
  const next = /** @type {HTMLElement | null} */ (button.nextElementSibling ?? button.previousElementSibling);
  page.discard(recipe);
  next?.focus();
}
