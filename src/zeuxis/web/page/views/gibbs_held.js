// Pixels of the visible units that are held fixed: drawn by pointer or keys, so that the chain completes the rest.

import { make } from "zeuxis/pictures.js";

/** @typedef {"white" | "black" | "free"} Tool */

const TOOLS = /** @type {[Tool, string][]} */ ([["white", "Hold white"], ["black", "Hold black"], ["free", "Let go"]]);

export class HeldPixels {
  /** @param {HTMLCanvasElement} canvas the visible units
   * @param {{size: number, channels: number}} form
   * @param {() => void} changed */
  constructor(canvas, { size, channels }, changed) {
    this.canvas = canvas;
    this.size = size;
    this.channels = channels;
    this.changed = changed;
    this.values = new Uint8Array(size * size * channels);
    this.held = new Uint8Array(size * size);
    this.tool = /** @type {Tool} */ ("white");
    this.cursor = /** @type {[number, number] | null} */ (null); // of the keyboard
    this.mask = make("canvas", { className: "mask", width: size, height: size, "aria-hidden": "true" });
    this.tools = TOOLS.map(([tool, text]) => make("button", { textContent: text, role: "radio", onclick: () => this.choose(tool) }));
    const choice = make("div", { className: "choice", role: "radiogroup", "aria-label": "What drawing does" }, ...this.tools);
    choice.onkeydown = ({ key }) => key.startsWith("Arrow") && this.next(key === "ArrowRight" || key === "ArrowDown" ? 1 : TOOLS.length - 1);
    const half = make("button", { textContent: "Hold the upper half", onclick: () => this.upper() });
    this.none = make("button", { textContent: "Let all go", disabled: true, onclick: () => this.clear() });
    this.root = make("div", { className: "bar held" }, choice, half, this.none);
    this.choose("white");
    this.listen();
  }

  /** @param {Tool} tool */
  choose(tool) {
    this.tool = tool;
    TOOLS.forEach(([one], k) => {
      this.tools[k].setAttribute("aria-checked", String(one === tool));
      this.tools[k].tabIndex = one === tool ? 0 : -1;
    });
  }

  /** @param {number} step */
  next(step) {
    const at = (TOOLS.findIndex(([one]) => one === this.tool) + step) % TOOLS.length;
    this.choose(TOOLS[at][0]);
    this.tools[at].focus();
  }

  listen() {
    const { canvas } = this;
    Object.assign(canvas, { tabIndex: 0 });
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", "Visible units. Draw to hold pixels; arrow keys move over the pixels, and Space draws.");
    let last = /** @type {[number, number] | null} */ (null);
    const draw = (/** @type {PointerEvent} */ event) => {
      const at = this.pixel(event);
      this.line(last ?? at, at);
      last = at;
    };
    canvas.onpointerdown = (event) => {
      canvas.setPointerCapture(event.pointerId);
      last = null;
      draw(event);
    };
    canvas.onpointermove = (event) => event.buttons && draw(event);
    canvas.onblur = () => {
      this.cursor = null;
      this.paint();
    };
    canvas.onkeydown = (event) => this.key(event);
  }

  /** @param {PointerEvent} event
   * @returns {[number, number]} */
  pixel({ clientX, clientY }) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    return [Math.floor((clientX - left) / width * this.size), Math.floor((clientY - top) / height * this.size)];
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const step = /** @type {Record<string, [number, number]>} */ ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], " ": [0, 0] })[event.key];
    if (!step) return;
    event.preventDefault();
    const [x, y] = this.cursor ?? [Math.floor(this.size / 2) - step[0], Math.floor(this.size / 2) - step[1]];
    const within = (/** @type {number} */ v) => Math.max(0, Math.min(this.size - 1, v));
    const at = /** @type {[number, number]} */ ([within(x + step[0]), within(y + step[1])]);
    this.cursor = at;
    if (event.key === " ") this.line(at, at);
    else this.paint();
  }

  /** The pixels from one place to another.
   * @param {[number, number]} from
   * @param {[number, number]} to */
  line([x0, y0], [x1, y1]) {
    const steps = Math.max(1, Math.abs(x1 - x0), Math.abs(y1 - y0)), wide = Math.max(1, Math.round(this.size / 20));
    for (let k = 0; k <= steps; k++) {
      const x = Math.round(x0 + (x1 - x0) * k / steps), y = Math.round(y0 + (y1 - y0) * k / steps);
      for (let dy = 0; dy < wide; dy++) for (let dx = 0; dx < wide; dx++) this.set(x + dx, y + dy);
    }
    this.paint();
    this.changed();
  }

  /** @param {number} x
   * @param {number} y */
  set(x, y) {
    if (x < 0 || y < 0 || x >= this.size || y >= this.size) return;
    const at = y * this.size + x;
    this.held[at] = this.tool === "free" ? 0 : 1;
    this.values.fill(this.tool === "white" ? 255 : 0, at * this.channels, (at + 1) * this.channels);
  }

  /** Hold the upper half as it is now. */
  upper() {
    const data = this.canvas.getContext("2d")?.getImageData(0, 0, this.size, this.size).data, count = Math.floor(this.size / 2) * this.size;
    for (let at = 0; data && at < count; at++) {
      this.held[at] = 1;
      for (let c = 0; c < this.channels; c++) this.values[at * this.channels + c] = data[4 * at + c];
    }
    this.paint();
    this.changed();
  }

  clear() {
    this.held.fill(0);
    this.paint();
    this.changed();
  }

  /** What is held, as a veil over the picture; the keyboard's place as a frame. */
  paint() {
    const brush = this.mask.getContext("2d"), style = getComputedStyle(this.mask);
    if (!brush) return;
    brush.clearRect(0, 0, this.size, this.size);
    brush.fillStyle = style.getPropertyValue("--accent");
    this.held.forEach((held, at) => {
      brush.globalAlpha = 0.45;
      if (held) brush.fillRect(at % this.size, Math.floor(at / this.size), 1, 1);
    });
    brush.globalAlpha = 1;
    if (this.cursor) brush.fillRect(...this.cursor, 1, 1);
    this.none.disabled = !this.held.some(Boolean);
  }

  /** Pixels and mask for the server; null where none is held. */
  payload() {
    if (!this.held.some(Boolean)) return null;
    const bytes = new Uint8Array(this.values.length + this.held.length);
    bytes.set(this.values);
    bytes.set(this.held, this.values.length);
    return bytes;
  }

  /** For a link: the held pixels as runs of "free", "black" and "white"; grey ones are rounded. */
  state() {
    if (!this.held.some(Boolean)) return null;
    return Array.from(this.held, (held, at) => (held ? (this.values[at * this.channels] > 127 ? "w" : "b") : ".")).join("")
      .replace(/(.)\1*/g, (run, letter) => `${run.length > 1 ? run.length : ""}${letter}`);
  }

  /** @param {unknown} state */
  restore(state) {
    if (typeof state !== "string" || state.length > 2 * this.held.length || !/^(\d{0,7}[wb.])*$/.test(state)) return;
    let at = 0;
    for (const [, count, letter] of state.matchAll(/(\d*)([wb.])/g)) {
      const end = Math.min(this.held.length, at + Number(count || 1));
      this.held.fill(letter === "." ? 0 : 1, at, end);
      this.values.fill(letter === "w" ? 255 : 0, at * this.channels, end * this.channels);
      at = end;
    }
    this.paint();
  }
}
