// Upscale: a photograph enlarged tile by tile; a wipe shows what bicubic interpolation makes of the same pixels.

import { Crop } from "zeuxis/crop.js";
import { make, savePng } from "zeuxis/pictures.js";
import { Photograph, picker } from "zeuxis/photograph.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {import("zeuxis/frames.js").Answer} Answer */

const MOST = 512; // pixels, height and width, of what the server upscales on the page
const SCALES = /** @type {[string, string][]} */ ([["fit", "Fit"], ["1", "1 : 1"], ["2", "2 : 1"], ["4", "4 : 1"]]);

/** @type {import("zeuxis/app.js").View} */
export const view = {
  id: "upscale",
  title: "Upscale",
  available: (info, engine) => engine.live && info.capabilities.includes("super_resolution"),
  mount(root, page) {
    const upscale = new Upscale(root, page);
    return { show: () => upscale.crop.draw(), hide: () => {}, state: () => upscale.state(), restore: (state) => upscale.restore(state) };
  },
};

class Upscale {
  /** @param {HTMLElement} root
   * @param {Page} page */
  constructor(root, page) {
    this.page = page;
    this.root = root;
    this.times = page.info.scale ?? 4;
    this.lane = page.engine.lane("tiles");
    this.photo = new Photograph(page);
    this.turn = 0;
    this.wipe = 0.5;
    this.scale = "fit";
    this.crop = new Crop({ changed: () => {}, settled: () => this.start(), most: MOST });
    this.crop.root.hidden = true;
    this.before = make("canvas", { className: "before", "aria-hidden": "true" });
    this.after = make("canvas", { className: "after", role: "img", "aria-label": "Upscaled picture: none yet" });
    this.told = make("p", { className: "told" });
    this.bar = make("progress", { max: 1, value: 0, hidden: true, "aria-label": "Tiles that are done" });
    this.ending = make("button", { textContent: "Stop", className: "outlined", hidden: true, onclick: () => this.stop() });
    this.saving = make("button", { textContent: "Save PNG", disabled: true, onclick: () => savePng(this.after, `${this.photo.name} upscaled`) });
    this.slider = make("input", { type: "range", id: "wipe", min: "0", max: "1", step: "0.01", value: "0.5", "aria-label": "Bicubic on the left, the model on the right of" });
    this.slider.oninput = () => this.part(Number(this.slider.value));
    this.lens = this.framed();
    this.source = make("section", { className: "part empty", "aria-label": "Photograph" });
    this.layout(root);
    page.on("theme", () => this.crop.draw());
  }

  /** Both pictures over each other, and the line between them that is dragged. */
  framed() {
    const words = ["bicubic", "model"].map((word) => make("span", { className: `word ${word}`, textContent: word === "bicubic" ? "Bicubic" : "Model" }));
    const line = make("span", { className: "wipe-line", "aria-hidden": "true" });
    const pictures = make("div", { className: "wiped" }, this.before, this.after, line, ...words);
    const lens = make("div", { className: "lens", hidden: true }, pictures);
    let held = false;
    /** @param {PointerEvent} event */
    const to = (event) => {
      const box = pictures.getBoundingClientRect();
      this.part((event.clientX - box.left) / box.width);
    };
    pictures.addEventListener("pointerdown", (event) => {
      pictures.setPointerCapture?.(event.pointerId);
      held = true;
      to(event);
    });
    pictures.addEventListener("pointermove", (event) => (held || event.pointerType === "mouse") && to(event));
    for (const end of /** @type {const} */ (["pointerup", "pointercancel"])) pictures.addEventListener(end, () => (held = false));
    return lens;
  }

  /** @param {HTMLElement} root */
  layout(root) {
    const hint = "or drop one here, or paste it. It is held in memory and never written.";
    this.source.append(make("div", { className: "bar" }, make("h2", { textContent: "Upscale" }), make("p", { className: "hint", textContent: `${this.times} times as high and as wide` })),
      picker(root, hint, (file) => this.open(file)), this.crop.root);
    this.scales = SCALES.map(([scale, textContent]) => make("button", { textContent, role: "radio", value: scale, onclick: () => this.zoom(scale) }));
    const zoom = make("div", { className: "choice", role: "radiogroup", "aria-label": "Size on the screen" }, ...this.scales);
    zoom.onkeydown = ({ key }) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[key], all = SCALES.map(([scale]) => scale);
      if (!step) return;
      this.zoom(all[(all.indexOf(this.scale) + step + all.length) % all.length]);
      this.scales?.[all.indexOf(this.scale)].focus();
    };
    const wipe = make("div", { className: "wipe", hidden: true }, make("span", { textContent: "Bicubic" }), this.slider, make("span", { textContent: "Model" }));
    this.wiping = wipe;
    root.classList.add("upscale");
    root.append(this.source, make("section", { className: "part", "aria-label": "Upscaled picture" },
      make("div", { className: "bar" }, make("h2", { textContent: "Bicubic and model" }), make("span", { className: "push" }), zoom, this.saving),
      this.lens, wipe, make("div", { className: "finding" }, this.bar, this.told, this.ending)));
    this.zoom("fit");
    this.part(0.5);
    this.told.textContent = "The upscaled picture comes here, tile by tile.";
  }

  /** @param {number} at share of the width that shows bicubic */
  part(at) {
    this.wipe = Math.min(1, Math.max(0, at));
    this.slider.value = String(this.wipe);
    this.slider.setAttribute("aria-valuetext", `${Math.round(100 * this.wipe)} % bicubic`);
    this.lens?.style.setProperty("--wipe", String(this.wipe));
  }

  /** @param {string} scale */
  zoom(scale) {
    this.scale = SCALES.some(([one]) => one === scale) ? scale : "fit";
    this.lens.dataset.scale = this.scale;
    this.lens.style.setProperty("--scale", this.scale === "fit" ? "1" : this.scale);
    this.lens.scrollTo((this.lens.scrollWidth - this.lens.clientWidth) / 2, (this.lens.scrollHeight - this.lens.clientHeight) / 2);
    this.scales?.forEach((button) => {
      const chosen = button.value === this.scale;
      button.setAttribute("aria-checked", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    });
    this.page.remember();
  }

  /** @param {Blob} file */
  async open(file) {
    if (!(await this.photo.open(file))) return;
    const { width, height } = this.photo;
    this.source.classList.remove("empty");
    this.crop.root.hidden = false;
    this.whole = Math.max(width, height) <= MOST;
    this.crop.root.classList.toggle("whole", this.whole);
    this.crop.take(this.photo);
    this.start();
  }

  /** All of a small photograph, or the square of a large one. */
  get box() {
    const [left, top, side] = this.crop.box;
    return this.whole ? [0, 0, this.photo.width, this.photo.height] : [left, top, side, side];
  }

  async start() {
    const turn = ++this.turn, photo = await this.photo.held(), crop = this.box;
    if (!photo || turn !== this.turn) return;
    this.blank(crop[2] * this.times, crop[3] * this.times);
    this.ending.hidden = this.bar.hidden = false;
    try {
      await this.lane.stream("upscale", { photo, crop }, null, (answer) => turn === this.turn && this.see(answer));
      if (turn === this.turn) this.done();
    } catch (error) {
      if (turn !== this.turn) return;
      this.done();
      this.page.trouble(/** @type {Error} */ (error).message);
    }
  }

  /** What the photograph shows, smoothed by the browser, until the tiles come.
   * @param {number} width
   * @param {number} height */
  blank(width, height) {
    Object.assign(this.before, { width, height });
    Object.assign(this.after, { width, height });
    this.root.style.setProperty("--wide", String(width / height));
    this.lens.style.setProperty("--width", `${width}px`);
    this.lens.hidden = false;
    if (this.wiping) this.wiping.hidden = false;
    this.bar.value = 0;
    this.saving.disabled = true;
    const { picture } = this.crop, per = (picture?.width ?? 0) / this.photo.width, [left, top, wide, high] = this.box.map((value) => value * per);
    for (const canvas of [this.before, this.after]) if (picture) canvas.getContext("2d")?.drawImage(picture, left, top, wide, high, 0, 0, width, height);
  }

  /** @param {Answer} answer a tile: bicubic, and the model's */
  see({ fields, pictures }) {
    if (!pictures.length) return;
    [this.before, this.after].forEach((canvas, i) => canvas.getContext("2d")?.putImageData(pictures[i], fields.x, fields.y));
    this.bar.value = fields.done_tiles / fields.tiles;
    this.told.textContent = `${fields.width} × ${fields.height} pixels, tile ${fields.done_tiles} of ${fields.tiles}`;
    this.after.setAttribute("aria-label", `${this.photo.name}, upscaled to ${fields.width} by ${fields.height} pixels`);
  }

  done() {
    this.ending.hidden = this.bar.hidden = true;
    this.saving.disabled = false;
    this.told.textContent = `${this.after.width} × ${this.after.height} pixels. Drag over the picture to compare.`;
    this.page.say(`Upscaled to ${this.after.width} by ${this.after.height} pixels`);
  }

  stop() {
    this.turn++;
    this.lane.ask("stop").catch(() => null);
    this.done();
  }

  state() {
    return { wipe: this.wipe, scale: this.scale };
  }

  /** @param {any} state from a link, which holds no photograph */
  restore(state) {
    if (Number.isFinite(state.wipe)) this.part(state.wipe);
    this.zoom(String(state.scale));
  }
}
