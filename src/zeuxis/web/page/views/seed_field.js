// A field for a seed, with its label: what is entered and is no seed is said to be none.

import { seedAt } from "zeuxis/atlas.js";
import { make } from "zeuxis/pictures.js";

/** @typedef {import("zeuxis/page.js").Page} Page */

let count = 0;

/** The seed whose picture a recipe is; null where it is another.
 * @param {import("zeuxis/recipes.js").Recipe} recipe */
export const seedOf = (recipe) => ("at" in recipe && recipe.at.every(Number.isInteger) ? seedAt(...recipe.at) : null);

/** Whether two recipes make the same picture.
 * @param {import("zeuxis/recipes.js").Recipe | null} one
 * @param {import("zeuxis/recipes.js").Recipe | null} other */
export const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** @param {Page} page
 * @param {string} label
 * @param {(seed: number) => void} chosen */
export function seedField(page, label, chosen) {
  const id = `seed-field-${++count}`;
  const input = make("input", { id, inputMode: "numeric", size: 6, autocomplete: "off" });
  const form = make("form", { className: "find" }, make("label", { htmlFor: id, textContent: label }), input);
  form.onsubmit = (event) => {
    event.preventDefault();
    const seed = Number(input.value.trim() || "0");
    if (Number.isSafeInteger(seed) && seed >= 0) chosen(seed);
    else page.trouble(`"${input.value}" is no seed; a seed is a whole number from 0 on`);
  };
  return { form, input };
}
