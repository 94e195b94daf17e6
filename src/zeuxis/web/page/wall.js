// The wall: an endless plane of pictures with a pin in it. It is drawn here; `gestures.js` moves it, `tiles.js` fills it.

import { listen } from "zeuxis/gestures.js";
import { Tiles } from "zeuxis/tiles.js";

/** @typedef {{x: number, y: number}} Place of latent space, one unit from one seed to the next */
/** @typedef {object} Given
 * @property {HTMLCanvasElement} canvas
 * @property {HTMLElement} pin an element in the middle of the pin's ring
 * @property {import("zeuxis/engine.js").Lane[]} lanes
 * @property {(spots: import("zeuxis/tiles.js").Spot[], per: number) => void} [ahead] is told which places will be asked for
 * @property {number} size numbers in a latent
 * @property {boolean} rough whether rough pictures come first
 * @property {number} tile css pixels of a picture
 * @property {(x: number, y: number) => void} pinned is told where the pin is
 * @property {() => void} entered Enter, or a double click: keep the picture
 * @property {(error: Error) => void} failed */

export const PER = [1, 2, 3, 4, 6, 8, 12, 16]; // pictures from one seed to the next
const MARGIN = 1; // pictures beyond the edges that are there before the wall moves
const FADE = 160; // ms in which a picture appears

/** An endless plane of pictures. */
export class Wall {
  /** @param {Given} given */
  constructor(given) {
    const { canvas, pin, tile, pinned, entered } = given;
    this.canvas = canvas;
    this.pin = pin;
    this.tile = tile;
    this.margin = given.rough ? 0 : MARGIN;
    this.pinned = pinned;
    this.entered = entered;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false }));
    this.tiles = new Tiles(given.lanes, { ...given, arrived: () => this.draw() });
    this.centre = { x: 0, y: 0 };
    this.zoom = 2;
    this.hover = /** @type {Place | null} */ (null);
    this.held = /** @type {Place | null} */ (null); // a place that was clicked
    this.label = /** @type {(x: number, y: number) => number | null} */ (() => null);
    this.width = this.height = 0;
    this.ratio = 1;
    this.under = /** @type {number | null} */ (null); // the zoom before, seen until this one is whole
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.colours = { wall: "", paper: "", ink: "" };
    this.font = "";
    this.frame = 0;
    new ResizeObserver(() => this.resize()).observe(canvas);
    listen(this);
  }

  get per() { return PER[this.zoom]; }
  get unit() { return this.tile * this.per; }
  get place() { return this.hover ?? this.held ?? this.centre; }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas, ratio = devicePixelRatio || 1;
    if (!width || !height) return;
    Object.assign(this, { width, height, ratio });
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.tiles.side = Math.round(this.tile * ratio);
    this.restyle();
    this.changed();
    this.paint(performance.now()); // a canvas that was resized is blank until the next frame
  }

  /** The colours and the typeface of the page, read once, since a style is costly to ask for at each frame. */
  restyle() {
    const style = getComputedStyle(this.canvas);
    this.colours = { wall: style.getPropertyValue("--wall"), paper: style.getPropertyValue("--paper"), ink: style.getPropertyValue("--ink") };
    this.font = `11px ${style.fontFamily}`;
    this.draw();
  }

  /** Another meaning of the places.
   * @param {import("zeuxis/tiles.js").LatentAt} latentAt
   * @param {(x: number, y: number) => number | null} label the number in a picture's corner */
  reset(latentAt, label) {
    this.label = label;
    this.under = null;
    this.tiles.reset(latentAt);
    this.changed();
  }

  /** @param {number} x
   * @param {number} y
   * @param {number} [zoom] */
  go(x, y, zoom = this.zoom) {
    this.centre = { x, y };
    if (zoom !== this.zoom) Object.assign(this, { zoom, under: null });
    this.hover = this.held = null;
    this.told();
  }

  /** @param {Place | null} place */
  look(place) {
    this.hover = place;
    this.tiles.hurry();
    this.movePin();
    this.pinned(this.place.x, this.place.y);
  }

  /** @param {Place} place that was clicked: the pin stays there when the pointer leaves */
  hold(place) {
    this.held = place;
    this.look(this.hover);
  }

  /** @param {number} dx
   * @param {number} dy css pixels */
  drag(dx, dy) {
    this.centre = { x: this.centre.x - dx / this.unit, y: this.centre.y - dy / this.unit };
    this.tiles.hurry();
    this.held = null;
    this.changed();
  }

  told() {
    this.changed();
    this.pinned(this.place.x, this.place.y);
  }

  changed() {
    if (!this.width) return;
    this.tiles.want(this.sight(this.tile, this.per, this.margin), this.per);
    this.draw();
    this.movePin();
  }

  /** The pin is an element of its own, so that a hover repaints no picture. */
  movePin() {
    const { x, y } = this.toScreen(this.place);
    this.pin.style.transform = `translate(${x}px, ${y}px)`;
  }

  /** @param {Place} place */
  toScreen({ x, y }) {
    return { x: (x - this.centre.x) * this.unit + this.width / 2, y: (y - this.centre.y) * this.unit + this.height / 2 };
  }

  /** @param {number} left
   * @param {number} top
   * @returns {Place} */
  toPlace(left, top) {
    return { x: (left - this.width / 2) / this.unit + this.centre.x, y: (top - this.height / 2) / this.unit + this.centre.y };
  }

  /** The pictures in sight at a size, nearest to the middle first; then those in a margin around them.
   * @param {number} [tile]
   * @param {number} [per]
   * @param {number} [margin] */
  sight(tile = this.tile, per = this.per, margin = 0) {
    const x = this.centre.x * per, y = this.centre.y * per, found = [];
    const right = this.width / 2 / tile + 0.5, down = this.height / 2 / tile + 0.5, most = right + down;
    for (let i = Math.ceil(x - right - margin); i <= x + right + margin; i++)
      for (let j = Math.ceil(y - down - margin); j <= y + down + margin; j++) {
        const beyond = Math.abs(i - x) > right || Math.abs(j - y) > down;
        found.push({ i, j, far: Math.hypot(i - x, j - y) + (beyond ? most : 0) });
      }
    return found.sort((a, b) => a.far - b.far);
  }

  /** Whether every picture in sight is there. */
  get whole() {
    return this.width > 0 && this.sight().every(({ i, j }) => this.tiles.at(i, j, this.per));
  }

  /** Nearer or farther by so many steps; the place under the pointer stays where it is.
   * @param {number} step
   * @param {Place} [about] */
  zoomBy(step, about = this.centre) {
    const zoom = Math.min(PER.length - 1, Math.max(0, this.zoom + step)), before = this.per;
    if (zoom === this.zoom) return;
    this.under = before;
    this.zoom = zoom;
    const kept = before / this.per;
    this.centre = { x: about.x + (this.centre.x - about.x) * kept, y: about.y + (this.centre.y - about.y) * kept };
    this.told();
  }

  draw() {
    this.frame ||= requestAnimationFrame((now) => {
      this.frame = 0;
      this.paint(now);
    });
  }

  /** @param {number} now */
  paint(now) {
    if (!this.width) return;
    const { context, ratio } = this;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = this.colours.wall;
    context.fillRect(0, 0, this.width, this.height);
    if (this.under && this.tiles.whole) this.under = null;
    if (this.under) this.paintTiles(this.under, (this.tile * this.per) / this.under, now);
    if (this.paintTiles(this.per, this.tile, now)) this.draw();
    if (this.per > 1) this.paintLabels();
  }

  /** The pictures of a zoom at a size; true while some still fade in.
   * @param {number} per
   * @param {number} tile
   * @param {number} now */
  paintTiles(per, tile, now) {
    const { context, ratio } = this, left = this.snapped(-this.centre.x * this.unit + this.width / 2 - tile / 2);
    const top = this.snapped(-this.centre.y * this.unit + this.height / 2 - tile / 2);
    const fade = this.calm.matches ? 0 : FADE, side = Math.round(tile * ratio) / ratio;
    let fading = false;
    for (const { i, j } of this.sight(tile, per)) {
      const found = this.tiles.at(i, j, per), age = fade && found ? (now - found.born) / fade : 1;
      if (!found) continue;
      if (age < 1) fading = true;
      context.globalAlpha = Math.max(0, Math.min(1, age));
      context.drawImage(found.bitmap, this.snapped(left + i * tile), this.snapped(top + j * tile), side, side);
    }
    context.globalAlpha = 1;
    return fading;
  }

  /** @param {number} length in css pixels, to whole pixels of the device */
  snapped(length) {
    return Math.round(length * this.ratio) / this.ratio;
  }

  /** The seeds, in the corners of their pictures. */
  paintLabels() {
    const { context, tile, per, colours } = this, x0 = this.toScreen({ x: 0, y: 0 });
    context.font = this.font;
    for (const { i, j } of this.sight()) {
      const name = i % per || j % per ? null : this.label(i / per, j / per);
      if (name === null || !this.tiles.at(i, j, per)) continue;
      const text = String(name), left = this.snapped(x0.x + i * tile - tile / 2), bottom = this.snapped(x0.y + j * tile + tile / 2);
      context.fillStyle = colours.paper;
      context.fillRect(left, bottom - 15, Math.ceil(context.measureText(text).width) + 8, 15);
      context.fillStyle = colours.ink;
      context.fillText(text, left + 4, bottom - 4);
    }
  }
}
