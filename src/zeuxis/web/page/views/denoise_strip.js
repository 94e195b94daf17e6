// The way from noise to image as rows of small pictures, with a slider over its levels.

import { make } from "zeuxis/pictures.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {"plain" | "fork"} Which */

const COLUMN = 52; // pixels that a small picture has at least
const NAMES = { noisy: "t", expected: "0" };

export class Strip {
  /** @param {Page} page
   * @param {(level: number) => void} looked */
  constructor(page, looked) {
    this.size = page.info.size;
    this.steps = 1;
    this.columns = 2;
    this.now = 0; // the level that is marked
    this.pictures = /** @type {Record<Which, Map<number, [ImageData, ImageData]>>} */ ({ plain: new Map(), fork: new Map() });
    this.rows = { plain: this.pair("plain"), fork: this.pair("fork") };
    this.slider = make("input", { type: "range", min: "0", max: "1", step: "1", "aria-label": "Level of noise" });
    this.slider.oninput = () => looked(Number(this.slider.value));
    this.marker = make("span", { className: "marker", "aria-hidden": "true" });
    this.body = make("div", { className: "strip-body" }, this.rows.plain.box, this.rows.fork.box, this.marker);
    this.root = make("div", { className: "strip" }, this.body, this.slider);
    this.rows.fork.box.hidden = true;
    this.scrub(looked);
    new ResizeObserver(() => this.resize()).observe(this.root);
  }

  /** @param {Which} which */
  pair(which) {
    const rows = Object.values(NAMES).map((index) => {
      const canvas = make("canvas", { className: "strip-row", role: "img", "aria-label": `x_${index} at all levels${which === "fork" ? ", of the fork" : ""}` });
      return { canvas, row: make("div", { className: "strip-line" }, make("span", { className: "strip-name" }, "x", make("sub", { textContent: index })), canvas) };
    });
    return { box: make("div", { className: `strip-pair ${which}` }, ...rows.map(({ row }) => row)), canvases: rows.map(({ canvas }) => canvas) };
  }

  /** A pointer on the pictures moves through the levels.
   * @param {(level: number) => void} looked */
  scrub(looked) {
    const at = (/** @type {PointerEvent} */ event) => {
      const { left, width } = this.rows.plain.canvases[0].getBoundingClientRect();
      const column = Math.max(0, Math.min(this.columns - 1, Math.floor((event.clientX - left) / width * this.columns)));
      looked(this.levelOf(column));
    };
    this.body.onpointerdown = (event) => {
      this.body.setPointerCapture(event.pointerId);
      at(event);
    };
    this.body.onpointermove = (event) => event.buttons && at(event);
  }

  /** @param {number} column */
  levelOf(column) {
    return Math.round(column * this.steps / (this.columns - 1));
  }

  /** @param {number} steps */
  begin(steps) {
    this.steps = steps;
    this.slider.max = String(steps);
    this.resize();
  }

  /** As many columns as have room. */
  resize() {
    const width = this.rows.plain.canvases[0].clientWidth;
    if (!width) return;
    this.columns = Math.max(2, Math.min(this.steps + 1, Math.floor(width / COLUMN)));
    for (const which of /** @type {Which[]} */ (["plain", "fork"])) {
      for (const canvas of this.rows[which].canvases) Object.assign(canvas, { width: this.columns * this.size, height: this.size });
      for (const level of this.pictures[which].keys()) this.paint(which, level);
    }
    this.mark(this.now, this.slider.getAttribute("aria-valuetext") ?? "");
  }

  /** @param {Which} which
   * @param {boolean} hidden */
  clear(which, hidden) {
    this.pictures[which].clear();
    this.rows[which].box.hidden = hidden;
    for (const canvas of this.rows[which].canvases) canvas.getContext("2d")?.clearRect(0, 0, canvas.width, canvas.height);
  }

  /** @param {Which} which
   * @param {number} level
   * @param {ImageData} noisy
   * @param {ImageData} expected */
  add(which, level, noisy, expected) {
    this.pictures[which].set(level, [noisy, expected]);
    this.paint(which, level);
  }

  /** @param {Which} which
   * @param {number} level */
  paint(which, level) {
    const pair = this.pictures[which].get(level);
    for (let column = 0; pair && column < this.columns; column++) {
      if (this.levelOf(column) !== level) continue;
      this.rows[which].canvases.forEach((canvas, k) => canvas.getContext("2d")?.putImageData(pair[k], column * this.size, 0));
    }
  }

  /** @param {number} level
   * @param {string} told what a screen reader says of it */
  mark(level, told) {
    this.now = level;
    this.slider.value = String(level);
    this.slider.setAttribute("aria-valuetext", told);
    const column = Math.round(level * (this.columns - 1) / this.steps), canvas = this.rows.plain.canvases[0];
    this.marker.style.left = `${canvas.offsetLeft + column / this.columns * canvas.clientWidth}px`;
    this.marker.style.width = `${canvas.clientWidth / this.columns}px`;
  }
}
