// Interpolate: ten steps between two pictures, in one row or five.

import { painter } from "zeuxis/decoding.js";
import { columnWeights } from "zeuxis/latent.js";
import { draggable, droppable, make, show } from "zeuxis/pictures.js";
import { isRecipe, nameOf, ofSeed } from "zeuxis/recipes.js";
import { joined } from "zeuxis/space.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {import("zeuxis/recipes.js").Recipe} Recipe */

const COLUMNS = 10;
const WEIGHTS = columnWeights(COLUMNS);

/** @param {HTMLElement} root
 * @param {Page} page */
export function mountInterpolate(root, page) {
  const ends = /** @type {Recipe[]} */ ([ofSeed(12), ofSeed(33)]);
  const paint = painter(page.engine, "line", page.rough), row = make("div", { className: "ten" });
  const recipes = () => WEIGHTS.map((weight) => /** @type {Recipe} */ ({ between: [ends[0], ends[1]], weight }));
  let steps = recipes();
  const cells = WEIGHTS.map((_, k) => {
    const canvas = make("canvas"), end = k === 0 || k === COLUMNS - 1;
    const button = make("button", { className: end ? "end" : "" }, canvas);
    button.onclick = () => page.take(steps[k]);
    draggable(button, () => steps[k]);
    if (end) droppable(button, (recipe) => set(k ? 1 : 0, recipe));
    return { button, canvas };
  });
  const set = (/** @type {number} */ which, /** @type {Recipe} */ recipe) => {
    ends[which] = recipe;
    draw();
    page.remember();
  };
  const draw = async () => {
    if (!page.space) return;
    const { space } = page;
    steps = recipes();
    cells.forEach(({ button }, k) => button.setAttribute("aria-label", k === 0 ? `Start: ${nameOf(ends[0])}` : k === COLUMNS - 1 ? `End: ${nameOf(ends[1])}` : `Step ${k + 1} of ${COLUMNS}`));
    const latents = await Promise.all(steps.map((step) => space.of(step)));
    await paint(joined(latents), COLUMNS, (images) => cells.forEach(({ canvas }, k) => show(canvas, images[k])));
  };
  row.append(...cells.map(({ button }) => button));
  root.append(make("div", { className: "bar" }, make("h2", { textContent: "Interpolate" }), make("p", { className: "hint", textContent: "Drop pictures on both ends." })), row);
  page.on("use", ({ place, recipe }) => place === "Start" ? set(0, recipe) : place === "End" && set(1, recipe));
  draw();
  return {
    state: () => ends,
    /** @param {any} state */
    restore(state) {
      if (Array.isArray(state) && state.length === 2 && state.every((end) => isRecipe(end))) ends.splice(0, 2, ...state);
      draw();
    },
  };
}
