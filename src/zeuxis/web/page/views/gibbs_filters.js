// The wall of filters: the weights of hidden units as pictures, and for a chosen one the training pictures that turn it on.

import { make, show } from "zeuxis/pictures.js";
import { diverging } from "zeuxis/views/hues.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {{unit: number, norm: number, image: ImageData, canvas: HTMLCanvasElement, button: HTMLButtonElement}} Filter */

const FIRST = 96; // filters asked for at once

export class Filters {
  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    this.filters = /** @type {Filter[]} */ ([]);
    this.of = 0;
    this.unit = /** @type {number | null} */ (null);
    this.wall = make("div", { className: "filters", role: "group", "aria-label": "Filters of the hidden units, the largest weights first" });
    this.more = make("button", { className: "quiet", hidden: true, onclick: () => this.ask() });
    this.told = make("p", { className: "hint", role: "status", textContent: "Choose a filter to see the training pictures that turn its hidden unit on most." });
    this.examples = make("div", { className: "examples" });
    this.large = make("canvas", { className: "filter-large", role: "img", hidden: true, "aria-label": "The chosen filter" });
    const scale = make("p", { className: "scale" }, make("span", { className: "less", textContent: "−" }), make("span", { className: "ramp" }), make("span", { textContent: "+" }));
    this.root = make("section", { className: "part filters-part", "aria-label": "Filters" },
      make("div", { className: "bar" }, make("h2", { textContent: "Filters" }), make("p", { className: "hint", textContent: "Weights between a hidden unit and all pixels" }), make("span", { className: "push" }), scale),
      make("div", { className: "chosen" }, this.large, make("div", {}, this.told, this.examples)), this.wall, this.more);
    page.on("theme", () => this.filters.forEach((filter) => this.paint(filter)));
    page.on("theme", () => this.enlarge());
  }

  show() {
    if (!this.filters.length) this.ask();
  }

  async ask() {
    const first = this.filters.length;
    const found = await this.page.engine.lane("filters").ask("gibbs.filters", { first, count: FIRST }).catch((error) => this.page.trouble(error.message));
    if (!found || this.filters.length !== first) return;
    this.of = found.fields.of;
    found.pictures.forEach((image, k) => this.add(found.fields.units[k], found.fields.norms[k], image));
    const left = this.of - this.filters.length;
    this.more.hidden = left <= 0;
    this.more.textContent = left > FIRST ? `Show ${FIRST} more; ${left} are left` : `Show the last ${left}`;
  }

  /** @param {number} unit
   * @param {number} norm
   * @param {ImageData} image 128 is a weight of 0 */
  add(unit, norm, image) {
    const canvas = make("canvas"), button = make("button", { title: `hidden unit ${unit + 1}, norm ${norm.toFixed(2)}`, "aria-label": `Filter of hidden unit ${unit + 1}`, "aria-pressed": "false" }, canvas);
    button.onclick = () => this.look(unit);
    const filter = { unit, norm, image, canvas, button };
    this.filters.push(filter);
    this.wall.append(button);
    this.paint(filter);
    if (unit === this.unit) this.enlarge();
  }

  /** @param {Filter} filter */
  paint({ image, canvas }) {
    show(canvas, this.coloured(image));
  }

  /** Grey filters in diverging colours; those of colour images as they are.
   * @param {ImageData} image */
  coloured(image) {
    if (this.page.info.channels !== 1) return image;
    const out = new ImageData(image.width, image.height), theme = this.page.theme();
    for (let at = 0; at < image.data.length; at += 4) out.data.set([...diverging((image.data[at] - 128) / 127, theme), 255], at);
    return out;
  }

  enlarge() {
    const filter = this.filters.find(({ unit }) => unit === this.unit);
    this.large.hidden = !filter;
    if (filter) show(this.large, this.coloured(filter.image));
    for (const { unit, button } of this.filters) button.setAttribute("aria-pressed", String(unit === this.unit));
  }

  /** @param {number} unit */
  async look(unit) {
    this.unit = unit;
    this.enlarge();
    this.page.remember();
    this.told.textContent = `Hidden unit ${unit + 1}: looking through the training pictures`;
    try {
      const found = await this.page.engine.lane("unit").ask("gibbs.unit", { unit });
      if (!found || unit !== this.unit) return;
      const { mean, pictures_seen: seen, probabilities } = found.fields;
      this.told.textContent = `Hidden unit ${unit + 1} is on for ${(100 * mean).toFixed(mean < 0.1 ? 1 : 0)} % of ${seen.toLocaleString("en")} training pictures; these turn it on most:`;
      this.examples.replaceChildren(...found.pictures.map((image, k) => this.example(image, probabilities[k])));
    } catch (error) {
      this.examples.replaceChildren();
      this.told.textContent = /** @type {Error} */ (error).message;
    }
  }

  /** @param {ImageData} image
   * @param {number} probability */
  example(image, probability) {
    const said = `on with probability ${probability.toFixed(2)}`, canvas = make("canvas", { role: "img", title: said, "aria-label": `Training picture, ${said}` });
    show(canvas, image);
    return canvas;
  }
}
