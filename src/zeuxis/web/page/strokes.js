// Strokes of a pad as short lists of whole numbers, as a link holds them.

/** @typedef {import("zeuxis/pad.js").Stroke} Stroke */

const MOST = 400; // strokes
const TOOLS = /** @type {Stroke["tool"][]} */ (["brush", "fill"]);
const HEAD = 5; // tool, red, green, blue, width; then x and y in turn

/** @param {Stroke[]} strokes
 * @returns {number[][]} */
export function packedStrokes(strokes) {
  return strokes.map(({ tool, colour, width, points }) => [TOOLS.indexOf(tool), ...colour, width, ...points]);
}

/** The strokes in a link; those that are not whole are left out.
 * @param {unknown} lists
 * @param {number} size of the pad
 * @returns {Stroke[]} */
export function unpackedStrokes(lists, size) {
  const found = /** @type {Stroke[]} */ ([]);
  for (const list of Array.isArray(lists) ? lists.slice(0, MOST) : []) {
    const whole = Array.isArray(list) && list.length >= HEAD + 2 && list.length % 2 === 1 && list.every((value) => Number.isSafeInteger(value) && value >= 0);
    if (!whole) continue;
    const [tool, r, g, b, width, ...points] = /** @type {number[]} */ (list);
    const fits = TOOLS[tool] && Math.max(r, g, b) < 256 && width >= 1 && width <= size && points.every((value) => value < size);
    if (fits) found.push({ tool: TOOLS[tool], colour: [r, g, b], width, points });
  }
  return found;
}
