// Words for colours, so that a palette can be told apart by those who do not see it.

/** @type {[string, number, number, number][]} */
const NAMED = [
  ["black", 0, 0, 0], ["dark grey", 70, 70, 70], ["grey", 130, 130, 130], ["light grey", 200, 200, 200], ["white", 255, 255, 255],
  ["red", 220, 40, 40], ["dark red", 120, 20, 20], ["pink", 255, 170, 190], ["orange", 255, 150, 40], ["brown", 130, 80, 40],
  ["dark brown", 65, 42, 30], ["beige", 225, 190, 145], ["cream", 250, 240, 210], ["yellow", 255, 225, 60], ["olive", 130, 130, 40],
  ["light green", 160, 220, 120], ["green", 80, 170, 60], ["dark green", 30, 80, 40], ["turquoise", 60, 190, 180], ["light blue", 130, 200, 250],
  ["blue", 40, 90, 200], ["dark blue", 15, 25, 80], ["purple", 140, 70, 170], ["magenta", 220, 60, 180],
];

/** The word for a colour that is nearest to it.
 * @param {number[]} colour red, green, blue
 * @returns {string} */
export function wordFor([r, g, b]) {
  const far = (/** @type {[string, number, number, number]} */ [, x, y, z]) => 2 * (r - x) ** 2 + 4 * (g - y) ** 2 + 3 * (b - z) ** 2;
  return NAMED.reduce((best, one) => (far(one) < far(best) ? one : best))[0];
}
