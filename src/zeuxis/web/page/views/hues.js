// Colours for classes: as far apart in hue as they can be, and as light as the paper asks.

/** @param {number} k which of them
 * @param {number} count
 * @param {"light" | "dark"} theme */
export function hue(k, count, theme) {
  const angle = 30 + 360 * k / Math.max(1, count), light = [0.52, 0.64][k % 2] + (theme === "dark" ? 0.14 : 0);
  return `oklch(${light} 0.15 ${angle.toFixed(0)})`;
}

/** A weight from -1 to 1 as a colour: blue below 0, paper at 0, red above.
 * @param {number} value
 * @param {"light" | "dark"} theme
 * @returns {[number, number, number]} */
export function diverging(value, theme) {
  const paper = theme === "dark" ? [32, 33, 37] : [250, 250, 248], end = value < 0 ? (theme === "dark" ? [98, 160, 255] : [24, 84, 172]) : theme === "dark" ? [255, 119, 89] : [200, 64, 44];
  const share = Math.min(1, Math.abs(value));
  const [red, green, blue] = paper.map((from, c) => Math.round(from + (end[c] - from) * share));
  return [red, green, blue];
}
