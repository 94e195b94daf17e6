// A square of a photograph: moved and resized by mouse, by one finger or two, by the wheel, and by keys.

import { make } from "zeuxis/pictures.js";

/** @typedef {{width: number, height: number, preview: ImageData | null}} Whole */

const CORNER = 22; // css pixels around a corner, within which a drag resizes
const LEAST = 16; // pixels of the photograph
const STILL = 300; // ms without a change, after which a crop is settled
const KEYS = "Arrow keys move the square, plus and minus resize it, Home takes the largest one.";

/** The crop of a photograph that is shown on a canvas. */
export class Crop {
  /** @param {{changed: () => void, settled: () => void, most?: number}} told of each change, and when it rests */
  constructor({ changed, settled, most = Infinity }) {
    this.changed = changed;
    this.settled = settled;
    this.most = most;
    this.photo = /** @type {Whole} */ ({ width: 1, height: 1, preview: null });
    this.left = this.top = 0;
    this.side = 1;
    this.timer = 0;
    this.canvas = make("canvas", { className: "crop", tabIndex: 0, role: "application", "aria-label": `Crop. ${KEYS}` });
    this.root = make("div", { className: "cropper" }, this.canvas, this.buttons());
    listen(this);
  }

  buttons() {
    const step = (/** @type {string} */ text, /** @type {string} */ label, /** @type {number} */ by) =>
      make("button", { textContent: text, className: "outlined", "aria-label": label, onclick: () => this.resize(by) });
    return make("div", { className: "crop-size" }, make("span", { className: "hint", textContent: "Square" }),
      step("−", "Smaller square", 1 / 1.15), step("+", "Larger square", 1.15));
  }

  get largest() {
    return Math.min(this.photo.width, this.photo.height, this.most);
  }

  /** @returns {[number, number, number]} left, top and side in pixels of the photograph */
  get box() {
    const side = Math.min(this.largest, Math.max(1, Math.round(this.side)));
    const within = (/** @type {number} */ at, /** @type {number} */ length) => Math.min(length - side, Math.max(0, Math.round(at)));
    return [within(this.left, this.photo.width), within(this.top, this.photo.height), side];
  }

  /** Show a photograph, with the largest square of its middle.
   * @param {Whole} photo */
  take(photo) {
    this.photo = photo;
    const { preview } = photo;
    if (preview) {
      this.picture = new OffscreenCanvas(preview.width, preview.height);
      this.picture.getContext("2d")?.putImageData(preview, 0, 0);
    }
    this.side = this.largest;
    this.place((photo.width - this.side) / 2, (photo.height - this.side) / 2, false);
  }

  /** @param {number} left
   * @param {number} top
   * @param {boolean} [tell] */
  place(left, top, tell = true) {
    this.left = Math.min(this.photo.width - this.side, Math.max(0, left));
    this.top = Math.min(this.photo.height - this.side, Math.max(0, top));
    this.draw();
    if (tell) this.told();
  }

  /** Resize about the middle of the square, or about a corner that stays.
   * @param {number} by
   * @param {{x: number, y: number} | null} [fixed] as shares of the square */
  resize(by, fixed = { x: 0.5, y: 0.5 }) {
    const side = Math.min(this.largest, Math.max(Math.min(LEAST, this.largest), this.side * by)), more = side - this.side;
    this.side = side;
    this.place(this.left - more * (fixed?.x ?? 0), this.top - more * (fixed?.y ?? 0));
  }

  told() {
    this.changed();
    clearTimeout(this.timer);
    this.timer = setTimeout(this.settled, STILL);
  }

  /** Pixels of the canvas for each pixel of the photograph. */
  get scale() {
    return this.canvas.width / this.photo.width;
  }

  draw() {
    const { canvas, picture, photo } = this, context = canvas.getContext("2d");
    if (!picture || !context) return;
    if (canvas.width !== picture.width || canvas.height !== picture.height) Object.assign(canvas, { width: picture.width, height: picture.height });
    canvas.style.setProperty("--wide", String(photo.width / photo.height));
    const [left, top, side] = this.box.map((value) => value * this.scale), style = getComputedStyle(canvas);
    context.globalAlpha = 1;
    context.drawImage(picture, 0, 0);
    context.fillStyle = style.getPropertyValue("--paper");
    context.globalAlpha = 0.62;
    context.beginPath();
    context.rect(0, 0, canvas.width, canvas.height);
    context.rect(left, top, side, side);
    context.fill("evenodd");
    context.globalAlpha = 1;
    const line = (canvas.width / Math.max(1, canvas.clientWidth || canvas.width)) * 2;
    context.lineWidth = line;
    context.strokeStyle = style.getPropertyValue("--accent");
    context.strokeRect(left + line / 2, top + line / 2, side - line, side - line);
    context.fillStyle = context.strokeStyle;
    for (const [x, y] of [[0, 0], [1, 0], [0, 1], [1, 1]]) context.fillRect(left + x * (side - 4 * line), top + y * (side - 4 * line), 4 * line, 4 * line);
  }
}

/** @param {Crop} crop */
function listen(crop) {
  const { canvas } = crop, down = /** @type {Map<number, {x: number, y: number}>} */ (new Map());
  let corner = /** @type {{x: number, y: number} | null} */ (null);
  /** @param {MouseEvent} event */
  const at = (event) => {
    const box = canvas.getBoundingClientRect(), per = crop.photo.width / box.width;
    return { x: (event.clientX - box.left) * per, y: (event.clientY - box.top) * per, near: CORNER * per };
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture?.(event.pointerId);
    const point = at(event);
    down.set(event.pointerId, point);
    corner = cornerNear(crop, point);
    const { left, top, side } = crop, inside = point.x >= left && point.y >= top && point.x <= left + side && point.y <= top + side;
    if (!corner && !inside) crop.place(point.x - side / 2, point.y - side / 2);
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId), now = at(event);
    if (!before) {
      const found = cornerNear(crop, now);
      canvas.dataset.over = found ? (found.x === found.y ? "falling" : "rising") : "";
      return;
    }
    const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
    down.set(event.pointerId, now);
    if (other) {
      crop.resize(Math.hypot(now.x - other.x, now.y - other.y) / Math.max(1, Math.hypot(before.x - other.x, before.y - other.y)));
    } else if (corner) {
      const fixed = { x: 1 - corner.x, y: 1 - corner.y };
      const stays = { x: crop.left + fixed.x * crop.side, y: crop.top + fixed.y * crop.side };
      const side = Math.max(Math.abs(now.x - stays.x), Math.abs(now.y - stays.y));
      crop.resize(side / crop.side, fixed);
    } else crop.place(crop.left + now.x - before.x, crop.top + now.y - before.y);
  });
  const up = (/** @type {PointerEvent} */ event) => {
    down.delete(event.pointerId);
    corner = null;
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    crop.resize(Math.exp(event.deltaY / 800));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => key(crop, event) && event.preventDefault());
}

/** The corner of the square that a point is near to, as shares of its side.
 * @param {Crop} crop
 * @param {{x: number, y: number, near: number}} point */
function cornerNear({ left, top, side }, { x, y, near }) {
  const reach = Math.min(near, side / 3);
  return [{ x: 0, y: 0 }, { x: 1, y: 0 }, { x: 0, y: 1 }, { x: 1, y: 1 }]
    .find((one) => Math.abs(x - left - one.x * side) < reach && Math.abs(y - top - one.y * side) < reach) ?? null;
}

/** @param {Crop} crop
 * @param {KeyboardEvent} event
 * @returns {boolean} whether the key meant something */
function key(crop, { key: name, shiftKey, ctrlKey, metaKey, altKey }) {
  const far = crop.side * (shiftKey ? 0.2 : 0.03), { left, top } = crop;
  if (ctrlKey || metaKey || altKey) return false;
  switch (name) {
    case "ArrowLeft": crop.place(left - far, top); break;
    case "ArrowRight": crop.place(left + far, top); break;
    case "ArrowUp": crop.place(left, top - far); break;
    case "ArrowDown": crop.place(left, top + far); break;
    case "+": case "=": crop.resize(1.08); break;
    case "-": crop.resize(1 / 1.08); break;
    case "Home": crop.take(crop.photo); crop.told(); break;
    default: return false;
  }
  return true;
}
