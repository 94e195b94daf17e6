// The tools of the pad: brush or fill, a colour of the palette, and the width of the brush.

import { wordFor } from "zeuxis/colours.js";
import { make } from "zeuxis/pictures.js";

/** @typedef {import("zeuxis/pad.js").Pad} Pad */
/** @typedef {import("zeuxis/pad.js").Colour} Colour */

const TOOLS = /** @type {const} */ ({ brush: "Brush", fill: "Fill" });
const WIDEST = 4; // of the brush: the pad's width divided by this

/** @param {Pad} pad
 * @returns {Tools} */
export const mountTools = (pad) => new Tools(pad);

class Tools {
  /** @param {Pad} pad */
  constructor(pad) {
    this.pad = pad;
    this.palette = /** @type {Colour[]} */ ([[255, 255, 255], [0, 0, 0]]);
    this.kinds = Object.entries(TOOLS).map(([tool, title]) =>
      make("button", { textContent: title, role: "radio", onclick: () => this.take(/** @type {keyof typeof TOOLS} */ (tool)) }));
    const kinds = make("div", { className: "choice", role: "radiogroup", "aria-label": "Tool" }, ...this.kinds);
    kinds.onkeydown = ({ key }) => {
      if (!key.startsWith("Arrow")) return;
      this.take(pad.tool === "brush" ? "fill" : "brush");
      this.kinds[pad.tool === "brush" ? 0 : 1].focus();
    };
    this.swatches = make("div", { className: "swatches", role: "radiogroup", "aria-label": "Colour" });
    this.swatches.onkeydown = (event) => this.step(event);
    this.other = make("input", { type: "color", className: "other", "aria-label": "Another colour", title: "Another colour" });
    this.other.oninput = () => this.choose(parsed(this.other.value));
    this.width = make("input", { type: "range", id: "brush-width", min: "1", step: "1" });
    this.width.oninput = () => this.widen(Number(this.width.value));
    const width = make("div", { className: "width" }, make("label", { htmlFor: this.width.id, textContent: "Width" }), this.width);
    this.root = make("div", { className: "tools-row" }, kinds, this.swatches, this.other, width);
    this.take("brush");
  }

  /** @returns {Colour} */
  get background() {
    return this.palette[0];
  }

  /** @param {keyof typeof TOOLS} tool */
  take(tool) {
    this.pad.tool = tool;
    Object.keys(TOOLS).forEach((name, i) => {
      this.kinds[i].setAttribute("aria-checked", String(name === tool));
      this.kinds[i].tabIndex = name === tool ? 0 : -1;
    });
  }

  /** The colours of the data, and a brush that suits them.
   * @param {Colour[]} palette
   * @param {string} kind
   * @param {number} size of the pad
   * @param {boolean} anew choose a colour and a width */
  colours(palette, kind, size, anew) {
    this.palette = palette;
    this.width.max = String(Math.max(2, Math.floor(size / WIDEST)));
    this.other.hidden = kind === "edges";
    this.swatches.replaceChildren(...palette.map((colour, k) => {
      const word = kind === "edges" ? ["rubber", "pen"][k] : `${wordFor(colour)}, colour ${k + 1}`;
      const swatch = make("button", { role: "radio", className: "swatch", title: word, "aria-label": word, onclick: () => this.choose(colour) });
      swatch.style.setProperty("--colour", `rgb(${colour.join(" ")})`);
      return swatch;
    }));
    if (!anew) return this.choose(this.pad.colour);
    this.choose(palette[1] ?? palette[0]);
    this.widen(kind === "edges" ? Math.ceil(size / 64) : Math.ceil(size / 12));
  }

  /** @param {Colour} colour */
  choose(colour) {
    this.pad.colour = colour;
    this.other.value = `#${colour.map((level) => level.toString(16).padStart(2, "0")).join("")}`;
    const at = this.palette.findIndex((one) => one.join() === colour.join());
    [...this.swatches.children].forEach((swatch, k) => {
      swatch.setAttribute("aria-checked", String(k === at));
      /** @type {HTMLElement} */ (swatch).tabIndex = k === Math.max(0, at) ? 0 : -1;
    });
  }

  /** @param {number} width */
  widen(width) {
    this.pad.width = Math.min(Number(this.width.max), Math.max(1, width));
    this.width.value = String(this.pad.width);
    this.width.setAttribute("aria-valuetext", `${this.pad.width} pixels`);
  }

  /** Arrows move among the colours.
   * @param {KeyboardEvent} event */
  step(event) {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key], { length } = this.palette;
    if (!by) return;
    const at = this.palette.findIndex((one) => one.join() === this.pad.colour.join()), next = (at + by + length) % length;
    this.choose(this.palette[next]);
    /** @type {HTMLElement} */ (this.swatches.children[next]).focus();
    event.preventDefault();
  }

  /** @param {string} key
   * @returns {boolean} whether the key meant something */
  key(key) {
    const colour = /^[1-9]$/.test(key) ? this.palette[Number(key) - 1] : null;
    if (colour) this.choose(colour);
    else if (key === "[" || key === "]") this.widen(this.pad.width + (key === "]" ? 1 : -1));
    else if (key === "b" || key === "f") this.take(key === "b" ? "brush" : "fill");
    else return false;
    return true;
  }
}

/** @param {string} text as #rrggbb
 * @returns {Colour} */
function parsed(text) {
  const value = parseInt(text.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}
