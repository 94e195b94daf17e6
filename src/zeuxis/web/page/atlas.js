// The atlas: a seed at every lattice point of the plane, and between four seeds their mixture. Its weights are divided
// as the prior needs it, so that every place is a fair draw.

import { divided } from "zeuxis/latent.js";

/** @typedef {{seed: number, weight: number}} Corner */

/** The seed at a lattice point: 0 in the middle, the others in a square spiral around it, none left out.
 * @param {number} x
 * @param {number} y
 * @returns {number} */
export function seedAt(x, y) {
  const ring = Math.max(Math.abs(x), Math.abs(y));
  if (ring === 0) return 0;
  const start = (2 * ring - 1) ** 2, side = 2 * ring;
  if (x === ring && y > -ring) return start + (ring - y);
  if (y === -ring && x > -ring) return start + side + (ring - x);
  if (x === -ring && y < ring) return start + 2 * side + (y + ring);
  return start + 3 * side + (x + ring);
}

/** The lattice point of a seed: what `seedAt` takes back.
 * @param {number} seed
 * @returns {[number, number]} */
export function placeOf(seed) {
  if (seed === 0) return [0, 0];
  let root = Math.floor(Math.sqrt(seed));
  if (root * root > seed) root -= 1; // of a large seed the root is rounded
  const ring = Math.floor((root + 1) / 2);
  const side = 2 * ring, k = seed - (2 * ring - 1) ** 2, done = k % side;
  switch (Math.floor(k / side)) {
    case 0: return [ring, ring - done];
    case 1: return [ring - done, -ring];
    case 2: return [-ring, done - ring];
    default: return [done - ring, ring];
  }
}

/** The seeds that meet at a place, one, two or four, with their weights.
 * @param {number} x
 * @param {number} y
 * @param {import("zeuxis/latent.js").Mixture} mixture
 * @returns {Corner[]} */
export function cornersAt(x, y, mixture) {
  const left = Math.floor(x), top = Math.floor(y), u = x - left, v = y - top;
  const found = [[0, 0, (1 - u) * (1 - v)], [1, 0, u * (1 - v)], [0, 1, (1 - u) * v], [1, 1, u * v]]
    .filter(([, , weight]) => weight > 1e-9);
  const weights = divided(found.map(([, , weight]) => weight), mixture);
  return found.map(([dx, dy], i) => ({ seed: seedAt(left + dx, top + dy), weight: weights[i] }));
}

/** What a caption says of a place: "seed 12", or "between 4, 12 and 3", the heaviest first.
 * @param {number} x
 * @param {number} y */
export function nameOfPlace(x, y) {
  const seeds = cornersAt(x, y, "sum").sort((a, b) => b.weight - a.weight).map((corner) => corner.seed);
  const last = seeds.pop();
  return seeds.length ? `between ${seeds.join(", ")} and ${last}` : `seed ${last}`;
}
