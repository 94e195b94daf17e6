// A map of the encoded training pictures: points coloured by class, thumbnails when it is zoomed.

import { make } from "zeuxis/pictures.js";
import { hue } from "zeuxis/views/hues.js";
import { listen, STEP } from "zeuxis/views/latent_map_gestures.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {{name: string, groups: string[]}} Grouping */

const ROOM = 1.08; // around all points at first
const MOST = 60; // how far it zooms in
const SHEET = 8; // thumbnails in a row of a sheet
const THUMB = 44; // pixels of a thumbnail on the map
const APART = 30; // pixels between neighbours from which thumbnails have room

export class EncodedMap {
  /** @param {Page} page
   * @param {(index: number) => void} looked */
  constructor(page, looked) {
    this.page = page;
    this.looked = looked;
    this.places = new Float32Array(); // x and y of each picture
    this.thumbs = /** @type {ImageBitmap[]} */ ([]); // sheets of 64
    this.side = 1; // pixels of a thumbnail on its sheet
    this.groupings = /** @type {Grouping[]} */ ([]);
    this.labels = /** @type {number[][]} */ ([]);
    this.by = 0; // the grouping that colours
    this.view = { x: 0, y: 0, scale: 0 }; // the place in the middle, and pixels for one unit; 0: all of it
    this.wanted = /** @type {any} */ (null); // the view of a link, until there is a map
    this.chosen = /** @type {number | null} */ (null);
    this.begun = false;
    this.canvas = make("canvas", { className: "encoded", tabIndex: 0, role: "application", "aria-label": "Map of the encoded training pictures. Arrow keys move, plus and minus zoom, Home shows all, Enter looks at the picture nearest to the middle." });
    this.told = make("p", { className: "hint", role: "status" });
    this.legend = make("div", { className: "legend" });
    this.groups = make("select", { id: "map-grouping", hidden: true, "aria-label": "Coloured by" });
    this.groups.onchange = () => this.colour(this.groups.selectedIndex);
    this.root = this.framed();
    listen(this);
    page.on("theme", () => this.restyle());
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  framed() {
    const zoom = make("span", { className: "zoom" },
      make("button", { textContent: "−", "aria-label": "Zoom out", onclick: () => this.zoom(1 / STEP) }),
      make("button", { textContent: "+", "aria-label": "Zoom in", onclick: () => this.zoom(STEP) }));
    const all = make("button", { textContent: "All", "aria-label": "Show the whole map", onclick: () => this.fit() });
    const bar = make("div", { className: "bar" }, make("h2", { textContent: "Encoded training pictures" }), make("span", { className: "push" }), this.groups, all, zoom);
    return make("section", { className: "part map", "aria-label": "Map" }, bar, make("div", { className: "frame" }, this.canvas), this.told, this.legend);
  }

  /** The map is asked for when it is first in sight. */
  async show() {
    this.draw();
    if (this.begun) return;
    this.begun = true;
    this.told.textContent = "Encoding the training pictures";
    await this.page.engine.lane("encodings").stream("encodings", {}, null, (answer) => this.receive(answer)).catch((error) => {
      this.told.textContent = error.message;
    });
  }

  /** @param {import("zeuxis/frames.js").Answer} answer */
  async receive({ fields, pictures, numbers }) {
    if (pictures.length) {
      const { start, count, of } = fields;
      if (start === 0) this.thumbs = [];
      this.side = pictures[0].width / SHEET;
      this.thumbs[start / SHEET ** 2] = await createImageBitmap(pictures[0]);
      this.told.textContent = `Encoding: ${(start + count).toLocaleString("en")} of ${of.toLocaleString("en")}`;
    }
    if (!fields.groupings) return;
    Object.assign(this, { places: numbers, groupings: fields.groupings, labels: fields.labels });
    const axes = fields.direct ? "Its axes are the two latents." : `Its axes are the first two principal components, with ${fields.explained.map((/** @type {number} */ share) => `${Math.round(100 * share)} %`).join(" and ")} of the variance.`;
    this.told.textContent = `${(numbers.length / 2).toLocaleString("en")} pictures by the mean of their posterior. ${axes}`;
    this.groups.replaceChildren(...this.groupings.map(({ name }) => make("option", { textContent: name })));
    this.groups.hidden = this.groupings.length < 2;
    this.colour(Math.min(this.by, Math.max(0, this.groupings.length - 1)));
    if (this.wanted) this.view = this.wanted;
    this.wanted = null;
    this.draw();
  }

  /** @param {number} by */
  colour(by) {
    this.by = by;
    this.groups.selectedIndex = by;
    this.restyle();
    this.page.remember();
  }

  /** Colours follow the theme. */
  restyle() {
    const { groups } = this.groupings[this.by] ?? { groups: [] };
    this.colours = groups.map((_, k) => hue(k, groups.length, this.page.theme()));
    this.legend.replaceChildren(...groups.map((name, k) => {
      const mark = make("span", { className: "mark" });
      mark.style.background = this.colours?.[k] ?? "";
      return make("span", { className: "group" }, mark, name);
    }));
    this.draw();
  }

  get count() {
    return this.places.length / 2;
  }

  fit() {
    this.view.scale = 0;
    this.draw();
    this.page.remember();
  }

  /** All of it, if no other view was chosen.
   * @param {number} width
   * @param {number} height */
  fitted(width, height) {
    let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < this.count; i++) {
      left = Math.min(left, this.places[2 * i]);
      right = Math.max(right, this.places[2 * i]);
      top = Math.min(top, this.places[2 * i + 1]);
      bottom = Math.max(bottom, this.places[2 * i + 1]);
    }
    this.least = Math.min(width / (ROOM * (right - left || 1)), height / (ROOM * (bottom - top || 1)));
    if (!this.view.scale) this.view = { x: (left + right) / 2, y: (top + bottom) / 2, scale: this.least };
  }

  /** @param {number} factor
   * @param {number} [x] the pixel that stays where it is
   * @param {number} [y] */
  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const { view } = this, least = this.least ?? view.scale, scale = Math.max(least / 2, Math.min(least * MOST, view.scale * factor));
    const dx = x - this.canvas.clientWidth / 2, dy = y - this.canvas.clientHeight / 2;
    this.view = { x: view.x + dx / view.scale - dx / scale, y: view.y + dy / view.scale - dy / scale, scale };
    this.draw();
    this.page.remember();
  }

  /** @param {number} dx in pixels
   * @param {number} dy */
  move(dx, dy) {
    this.view = { ...this.view, x: this.view.x + dx / this.view.scale, y: this.view.y + dy / this.view.scale };
    this.draw();
    this.page.remember();
  }

  /** @param {number} x
   * @param {number} y
   * @param {number} most pixels away */
  pick(x, y, most) {
    let found = -1;
    for (let i = 0; i < this.count; i++) {
      const [px, py] = this.pixel(i), apart = Math.hypot(px - x, py - y);
      if (apart < most) [most, found] = [apart, i];
    }
    if (found >= 0) this.looked(found);
  }

  /** @param {number} i
   * @returns {[number, number]} */
  pixel(i) {
    const { x, y, scale } = this.view;
    return [(this.places[2 * i] - x) * scale + this.canvas.clientWidth / 2, (this.places[2 * i + 1] - y) * scale + this.canvas.clientHeight / 2];
  }

  /** @param {number | null} index */
  choose(index) {
    this.chosen = index;
    this.draw();
  }

  draw() {
    cancelAnimationFrame(this.later ?? 0);
    this.later = requestAnimationFrame(() => this.paint());
  }

  paint() {
    const { canvas } = this, { clientWidth: width, clientHeight: height } = canvas, dense = devicePixelRatio || 1, brush = canvas.getContext("2d");
    if (!width || !brush) return;
    Object.assign(canvas, { width: Math.round(width * dense), height: Math.round(height * dense) });
    brush.scale(dense, dense);
    if (!this.count) return;
    this.fitted(width, height);
    const seen = Array.from({ length: this.count }, (_, i) => ({ i, at: this.pixel(i) })).filter(({ at: [x, y] }) => x > -THUMB && y > -THUMB && x < width + THUMB && y < height + THUMB);
    if (seen.length && Math.sqrt(width * height / seen.length) > APART) this.pictures(brush, seen.sort((a, b) => this.isChosen(a.i) - this.isChosen(b.i)));
    else {
      this.points(brush, seen);
      if (this.chosen !== null && this.chosen < this.count) this.ring(brush, ...this.pixel(this.chosen));
    }
  }

  /** The chosen picture lies on top of the others.
   * @param {number} i */
  isChosen(i) {
    return Number(i === this.chosen);
  }

  /** @param {CanvasRenderingContext2D} brush
   * @param {{i: number, at: [number, number]}[]} seen */
  points(brush, seen) {
    const ink = getComputedStyle(this.canvas).color;
    for (const { i, at: [x, y] } of seen) {
      brush.fillStyle = this.colourOf(i) ?? ink;
      brush.beginPath();
      brush.arc(x, y, 3, 0, 7);
      brush.fill();
    }
  }

  /** @param {CanvasRenderingContext2D} brush
   * @param {{i: number, at: [number, number]}[]} seen */
  pictures(brush, seen) {
    brush.imageSmoothingEnabled = this.side >= THUMB / 2;
    const accent = getComputedStyle(this.canvas).getPropertyValue("--accent");
    for (const { i, at: [x, y] } of seen) {
      const sheet = this.thumbs[Math.floor(i / SHEET ** 2)], k = i % SHEET ** 2, chosen = i === this.chosen, frame = chosen ? 4 : 2;
      if (!sheet) continue;
      brush.fillStyle = chosen ? accent : this.colourOf(i) ?? "transparent";
      brush.fillRect(x - THUMB / 2 - frame, y - THUMB / 2 - frame, THUMB + 2 * frame, THUMB + 2 * frame);
      brush.drawImage(sheet, (k % SHEET) * this.side, Math.floor(k / SHEET) * this.side, this.side, this.side, x - THUMB / 2, y - THUMB / 2, THUMB, THUMB);
    }
  }

  /** @param {number} i */
  colourOf(i) {
    return this.colours?.[this.labels[this.by]?.[i]];
  }

  /** @param {CanvasRenderingContext2D} brush
   * @param {number} x
   * @param {number} y */
  ring(brush, x, y) {
    const style = getComputedStyle(this.canvas);
    for (const [width, colour] of /** @type {[number, string][]} */ ([[6, style.getPropertyValue("--paper")], [2.5, style.getPropertyValue("--accent")]])) {
      brush.lineWidth = width;
      brush.strokeStyle = colour;
      brush.beginPath();
      brush.arc(x, y, 13, 0, 7);
      brush.stroke();
    }
  }

  state() {
    return { view: this.count ? this.view : this.wanted, by: this.by };
  }

  /** @param {any} state from a link: checked piece by piece */
  restore(state) {
    const view = state?.view;
    if (view && [view.x, view.y, view.scale].every((value) => Number.isFinite(value)) && view.scale > 0) this.wanted = { x: view.x, y: view.y, scale: view.scale };
    if (Number.isSafeInteger(state?.by) && state.by >= 0) this.by = state.by;
  }
}
