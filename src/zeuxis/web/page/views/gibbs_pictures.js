// What a chain shows beside its pictures: the hidden units as a grid, and the free energy of its last steps.

import { make } from "zeuxis/pictures.js";

const LAST = 400; // steps of the trace

/** Hidden units as a square of cells: on in ink, off in paper.
 * @param {Float32Array} hidden
 * @param {"light" | "dark"} theme */
export function hiddenPicture(hidden, theme) {
  const side = Math.ceil(Math.sqrt(hidden.length)), image = new ImageData(side, Math.ceil(hidden.length / side));
  const [on, off] = theme === "dark" ? [235, 40] : [30, 228];
  hidden.forEach((value, k) => image.data.set([value > 0.5 ? on : off, value > 0.5 ? on : off, value > 0.5 ? on : off, 255], 4 * k));
  return image;
}

/** The free energy over the last steps, as a line. */
export class Trace {
  constructor() {
    this.values = /** @type {number[]} */ ([]);
    this.canvas = make("canvas", { className: "trace", role: "img", "aria-label": "Free energy of the last steps" });
  }

  clear() {
    this.values = [];
  }

  /** @param {number} value */
  add(value) {
    this.values = [...this.values, value].slice(-LAST);
    const { canvas, values } = this, { clientWidth: width, clientHeight: height } = canvas, dense = devicePixelRatio || 1, brush = canvas.getContext("2d");
    if (!width || !brush) return;
    Object.assign(canvas, { width: Math.round(width * dense), height: Math.round(height * dense) });
    brush.scale(dense, dense);
    const low = Math.min(...values), high = Math.max(...values), room = 4, style = getComputedStyle(canvas);
    brush.strokeStyle = style.color;
    brush.lineWidth = 1.5;
    brush.beginPath();
    values.forEach((one, k) => brush.lineTo(room + (width - 2 * room) * k / (LAST - 1), height - room - (height - 2 * room) * (one - low) / (high - low || 1)));
    brush.stroke();
  }
}
