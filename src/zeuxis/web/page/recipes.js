// Recipes: how a picture is made, small enough for a link: a place of the atlas, a sum, edits, or (of a photograph) a latent.

import { nameOfPlace, placeOf } from "zeuxis/atlas.js";

/** @typedef {{at: [number, number]}} At a place of the atlas
 * @typedef {{from: Recipe, edits: Record<string, number>}} Edited
 * @typedef {{sum: Recipe[][], beside?: number}} Sum A - B + C, or neighbour 0 to 8 of it
 * @typedef {{between: [Recipe, Recipe], weight: number}} Between on the way from the first (1) to the second (0)
 * @typedef {{latent: string, name: string}} Found
 * @typedef {At | Edited | Sum | Between | Found} Recipe */

const MOST_DEPTH = 60; // of recipes in recipes

/** @param {number} seed
 * @returns {At} */
export const ofSeed = (seed) => ({ at: placeOf(seed) });

/** Whether something from outside (a link, a drop) is a recipe.
 * @param {any} it
 * @param {number} [depth]
 * @returns {it is Recipe} */
export function isRecipe(it, depth = 0) {
  if (!it || typeof it !== "object" || depth > MOST_DEPTH) return false;
  const inner = (/** @type {unknown} */ one) => isRecipe(one, depth + 1);
  if (Array.isArray(it.at)) return it.at.length === 2 && it.at.every((/** @type {unknown} */ v) => Number.isFinite(v) && Math.abs(Number(v)) < 5e7);
  if (it.from) return inner(it.from) && !!it.edits && Object.values(it.edits).every(Number.isFinite);
  if (Array.isArray(it.sum)) return it.sum.length === 3 && it.sum.every((/** @type {unknown} */ term) => Array.isArray(term) && term.every(inner)) && isNeighbour(it.beside);
  if (Array.isArray(it.between)) return it.between.length === 2 && it.between.every(inner) && Number.isFinite(it.weight);
  return typeof it.latent === "string" && typeof it.name === "string";
}

/** @param {unknown} beside */
const isNeighbour = (beside) => beside === undefined || (Number.isInteger(beside) && Number(beside) >= 0 && Number(beside) < 9);

/** What a caption says of a recipe.
 * @param {Recipe} recipe
 * @returns {string} */
export function nameOf(recipe) {
  if ("at" in recipe) return nameOfPlace(...recipe.at);
  if ("from" in recipe) return `${nameOf(recipe.from).replace(/, edited$/, "")}, edited`;
  if ("between" in recipe) return `${Math.round(100 * (1 - recipe.weight))} % of the way`;
  if ("latent" in recipe) return recipe.name;
  return recipe.beside === undefined ? "A − B + C" : "neighbour of A − B + C";
}

/** A caption that fits under a small picture.
 * @param {Recipe} recipe
 * @returns {string} */
export function shortName(recipe) {
  if ("from" in recipe) return "edited";
  return "beside" in recipe && recipe.beside !== undefined ? "neighbour" : nameOf(recipe).replace(/^between .*/, "between");
}
