// A pad to draw sources on: exact colours, no blending. What was drawn is a list of strokes, which undo takes back and a link holds.

import { make } from "zeuxis/pictures.js";

/** @typedef {[number, number, number]} Colour */
/** @typedef {{tool: "brush" | "fill", colour: Colour, width: number, points: number[]}} Stroke points: x and y in turn, in pixels */

const MOST_STROKES = 400; // of older ones the pixels are kept alone
const MOST_POINTS = 4000; // of one stroke

export class Pad {
  /** @param {{drawn: () => void, picked: (colour: Colour) => void, shortcut: (key: string) => boolean}} told */
  constructor({ drawn, picked, shortcut }) {
    this.drawn = drawn;
    this.picked = picked;
    this.shortcut = shortcut;
    this.size = 0;
    this.tool = /** @type {Stroke["tool"]} */ ("brush");
    this.colour = /** @type {Colour} */ ([0, 0, 0]);
    this.width = 3;
    this.base = new ImageData(1, 1); // what the strokes are drawn on
    this.pixels = new ImageData(1, 1);
    this.strokes = /** @type {Stroke[]} */ ([]);
    this.whole = true; // whether the strokes and the base's own recipe are all that is on the pad
    this.cursor = { x: 0, y: 0, down: false };
    this.canvas = make("canvas", { className: "pad", tabIndex: 0, role: "application" });
    this.mark = make("span", { className: "pad-cursor", "aria-hidden": "true", hidden: true });
    this.root = make("div", { className: "pad-frame" }, this.canvas, this.mark);
    pointer(this);
    keys(this);
  }

  /** Begin anew on a picture.
   * @param {ImageData} picture
   * @param {Stroke[]} [strokes] */
  begin(picture, strokes = []) {
    this.base = picture;
    this.size = picture.width;
    this.strokes = strokes;
    this.whole = true;
    if (this.canvas.width !== this.size) this.canvas.width = this.canvas.height = this.size;
    this.cursor = { x: this.size >> 1, y: this.size >> 1, down: false };
    this.replay();
  }

  replay() {
    this.pixels = new ImageData(new Uint8ClampedArray(this.base.data), this.size, this.size);
    for (const stroke of this.strokes) paint(this.pixels, stroke, 0);
    this.show();
  }

  show() {
    this.canvas.getContext("2d")?.putImageData(this.pixels, 0, 0);
    this.drawn();
  }

  /** @param {number} x
   * @param {number} y */
  start(x, y) {
    if (this.strokes.length >= MOST_STROKES) {
      paint(this.base, this.strokes[0], 0);
      this.strokes.shift();
      this.whole = false;
    }
    this.strokes.push({ tool: this.tool, colour: this.colour, width: this.width, points: [x, y] });
    paint(this.pixels, this.strokes[this.strokes.length - 1], 0);
    this.show();
  }

  /** @param {number} x
   * @param {number} y */
  move(x, y) {
    const stroke = this.strokes[this.strokes.length - 1], { points } = stroke, from = points.length - 2;
    if (stroke.tool === "fill" || (points[from] === x && points[from + 1] === y) || points.length >= MOST_POINTS) return;
    points.push(x, y);
    paint(this.pixels, stroke, from);
    this.show();
  }

  /** @returns {boolean} whether there was a stroke */
  undo() {
    if (!this.strokes.pop()) return false;
    this.replay();
    return true;
  }

  /** The pixels as a request carries them.
   * @param {number} channels */
  bytes(channels) {
    const { data } = this.pixels, out = new Uint8Array((data.length / 4) * channels);
    for (let i = 0, at = 0; i < data.length; i += 4) {
      if (channels === 1) out[at++] = Math.round(0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2]);
      else for (let c = 0; c < channels; c++) out[at++] = data[i + c];
    }
    return out;
  }

  /** @param {number} x
   * @param {number} y
   * @returns {Colour} */
  at(x, y) {
    const i = 4 * (y * this.size + x), { data } = this.pixels;
    return [data[i], data[i + 1], data[i + 2]];
  }
}

/** Draw a stroke from one of its points on.
 * @param {ImageData} image
 * @param {Stroke} stroke
 * @param {number} from */
export function paint(image, { tool, colour, width, points }, from) {
  const value = (255 << 24) | (colour[2] << 16) | (colour[1] << 8) | colour[0];
  const pixels = new Uint32Array(image.data.buffer);
  if (tool === "fill") return flood(pixels, image.width, points[0], points[1], value);
  dab(pixels, image.width, points[from], points[from + 1], width, value);
  for (let i = from; i + 3 < points.length; i += 2) {
    const [x, y, nextX, nextY] = points.slice(i, i + 4), steps = Math.max(Math.abs(nextX - x), Math.abs(nextY - y), 1);
    for (let k = 1; k <= steps; k++) dab(pixels, image.width, Math.round(x + (k / steps) * (nextX - x)), Math.round(y + (k / steps) * (nextY - y)), width, value);
  }
}

/** A disc of an odd or even width about a pixel.
 * @param {Uint32Array} pixels
 * @param {number} size
 * @param {number} x
 * @param {number} y
 * @param {number} width
 * @param {number} value */
function dab(pixels, size, x, y, width, value) {
  const radius = width / 2, low = -Math.floor((width - 1) / 2), middle = width % 2 ? 0 : 0.5;
  for (let dy = low; dy < low + width; dy++) {
    for (let dx = low; dx < low + width; dx++) {
      const inside = Math.hypot(dx - middle, dy - middle) <= radius, at = [x + dx, y + dy];
      if (inside && at.every((place) => place >= 0 && place < size)) pixels[at[1] * size + at[0]] = value;
    }
  }
}

/** All pixels of one colour that are joined to one of them.
 * @param {Uint32Array} pixels
 * @param {number} size
 * @param {number} x
 * @param {number} y
 * @param {number} value */
function flood(pixels, size, x, y, value) {
  const old = pixels[y * size + x], waiting = [y * size + x];
  if (old === value >>> 0) return;
  while (waiting.length) {
    const at = /** @type {number} */ (waiting.pop());
    if (pixels[at] !== old) continue;
    pixels[at] = value;
    if (at % size) waiting.push(at - 1);
    if (at % size < size - 1) waiting.push(at + 1);
    if (at >= size) waiting.push(at - size);
    if (at < size * (size - 1)) waiting.push(at + size);
  }
}

/** @param {Pad} pad */
function pointer(pad) {
  const { canvas } = pad;
  let drawing = 0;
  /** @param {MouseEvent} event */
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const place = (/** @type {number} */ share) => Math.min(pad.size - 1, Math.max(0, Math.floor(share * pad.size)));
    return { x: place((event.clientX - box.left) / box.width), y: place((event.clientY - box.top) / box.height) };
  };
  canvas.addEventListener("pointerdown", (event) => {
    const { x, y } = at(event);
    if (event.button === 2 || event.altKey) return pad.picked(pad.at(x, y));
    if (event.button || drawing) return;
    canvas.setPointerCapture?.(event.pointerId);
    drawing = event.pointerId || 1;
    place(pad, x, y, false);
    pad.start(x, y);
  });
  canvas.addEventListener("pointermove", (event) => {
    for (const step of event.getCoalescedEvents?.() ?? []) if (drawing === (event.pointerId || 1)) pad.move(at(step).x, at(step).y);
    if (drawing === (event.pointerId || 1)) pad.move(at(event).x, at(event).y);
  });
  const up = (/** @type {PointerEvent} */ event) => {
    if (drawing === (event.pointerId || 1)) drawing = 0;
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
}

/** Arrows move a cursor, Enter draws a dot, and Space puts the pen down and lifts it again.
 * @param {Pad} pad */
function keys(pad) {
  const { canvas } = pad;
  const steps = /** @type {Record<string, [number, number]>} */ ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] });
  canvas.addEventListener("focus", () => (pad.mark.hidden = !canvas.matches(":focus-visible")));
  canvas.addEventListener("blur", () => {
    pad.mark.hidden = true;
    pad.cursor.down = false;
  });
  canvas.addEventListener("keydown", (event) => {
    const step = steps[event.key], { cursor } = pad;
    if (step && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const far = event.shiftKey ? 8 : 1;
      place(pad, cursor.x + far * step[0], cursor.y + far * step[1], true);
      if (cursor.down) pad.move(pad.cursor.x, pad.cursor.y);
    } else if (event.key === "Enter") pad.start(cursor.x, cursor.y);
    else if (event.key === " ") {
      cursor.down = !cursor.down;
      if (cursor.down) pad.start(cursor.x, cursor.y);
      place(pad, cursor.x, cursor.y, true);
    } else if (event.key === "p") pad.picked(pad.at(cursor.x, cursor.y));
    else if (!pad.shortcut(event.ctrlKey || event.metaKey ? `Ctrl+${event.key}` : event.key)) return;
    event.preventDefault();
  });
}

/** Put the cursor of the keyboard somewhere.
 * @param {Pad} pad
 * @param {number} x
 * @param {number} y
 * @param {boolean} seen */
function place(pad, x, y, seen) {
  const within = (/** @type {number} */ value) => Math.min(pad.size - 1, Math.max(0, value));
  Object.assign(pad.cursor, { x: within(x), y: within(y) });
  pad.mark.hidden = !seen;
  pad.mark.classList.toggle("down", pad.cursor.down);
  pad.mark.style.setProperty("--x", String((pad.cursor.x + 0.5) / pad.size));
  pad.mark.style.setProperty("--y", String((pad.cursor.y + 0.5) / pad.size));
  pad.mark.style.setProperty("--w", String(pad.width / pad.size));
}
