// Translate: a source is drawn, dropped or taken from the data, and the model's translation of it follows.

import { make, savePng, show } from "zeuxis/pictures.js";
import { Source } from "zeuxis/views/source.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {import("zeuxis/engine.js").Translation} Translation */

const LAST_SEED = 2 ** 31 - 1;

/** @type {import("zeuxis/app.js").View} */
export const view = {
  id: "translate",
  title: "Translate",
  available: (info, engine) => engine.live && !!info.translate && !info.capabilities.includes("super_resolution"),
  mount(root, page) {
    const translate = new Translate(root, page);
    return { show: () => translate.source.show(), hide: () => {}, state: () => translate.state(), restore: (state) => translate.restore(state) };
  },
};

/** @param {string} name */
const titleOf = (name) => ({ forward: "Source to target", back: "Target to source" })[name] ?? name;

class Translate {
  /** @param {HTMLElement} root
   * @param {Page} page */
  constructor(root, page) {
    this.page = page;
    this.lane = page.engine.lane("hand");
    this.ways = page.info.translate?.directions ?? [];
    this.way = this.ways[0];
    this.seed = 0;
    const { size } = page.info;
    this.canvas = make("canvas", { className: "translation", role: "img", width: size, height: size, "aria-label": "Translation" });
    this.choices = this.ways.map((way) => make("button", { textContent: titleOf(way.name), role: "radio", onclick: () => this.turn(way) }));
    const result = make("section", { className: "part translated", "aria-label": "Translation" }, this.bar(), this.canvas);
    this.source = new Source(root, page, this.direction(), () => this.draw());
    root.classList.add("translate");
    root.append(this.source.drawing, result, this.source.beginning);
    this.turn(this.way, true);
  }

  /** Which way the model goes, where it goes both. */
  direction() {
    const choice = make("div", { className: "choice", role: "radiogroup", "aria-label": "Direction" }, ...this.choices);
    choice.onkeydown = ({ key }) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[key], { length } = this.ways;
      if (!step) return;
      this.turn(this.ways[(this.ways.indexOf(this.way) + step + length) % length]);
      this.choices[this.ways.indexOf(this.way)].focus();
    };
    choice.hidden = this.ways.length < 2;
    return choice;
  }

  bar() {
    const seed = make("input", { id: "noise-seed", inputMode: "numeric", size: 6, value: "0", autocomplete: "off" });
    seed.onchange = () => this.sow(Number(seed.value));
    const next = make("button", { textContent: "Next seed", className: "outlined", onclick: () => this.sow(this.seed + 1) });
    const noise = make("span", { className: "find", hidden: !this.way?.stochastic }, make("label", { htmlFor: seed.id, textContent: "Seed", title: "of the noise" }), seed, next);
    this.input = seed;
    this.back = make("button", { textContent: "Translate it back", className: "outlined", hidden: this.ways.length < 2, onclick: () => this.turnRound() });
    return make("div", { className: "bar" }, make("h2", { textContent: "Translation" }), noise, make("span", { className: "push" }), this.back,
      make("button", { textContent: "Save PNG", onclick: () => savePng(this.canvas, `${this.page.info.name} ${this.way.name}`) }));
  }

  /** @param {number} seed */
  sow(seed) {
    this.seed = Number.isSafeInteger(seed) && seed >= 0 ? Math.min(seed, LAST_SEED) : this.seed;
    if (this.input) this.input.value = String(this.seed);
    this.draw();
  }

  /** @param {Translation} way
   * @param {boolean} [first] */
  turn(way, first = false) {
    if (way === this.way && !first) return;
    this.way = way;
    this.mark();
    this.source.turn(way);
  }

  mark() {
    this.choices.forEach((button, i) => {
      const chosen = this.ways[i] === this.way;
      button.setAttribute("aria-checked", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    });
  }

  /** The translation becomes the source of the other direction. */
  turnRound() {
    const picture = this.canvas.getContext("2d")?.getImageData(0, 0, this.canvas.width, this.canvas.height);
    const other = this.ways[(this.ways.indexOf(this.way) + 1) % this.ways.length];
    if (!picture) return;
    this.way = other;
    this.mark();
    this.source.turn(other, picture);
  }

  /** The translation of what is on the pad; of several that are asked for the newest is shown. */
  async draw() {
    const { way, source } = this, { size } = source.pad;
    if (!size) return;
    try {
      const fields = { direction: way.name, seed: this.seed, h: size, w: size, c: way.channels };
      const told = await this.lane.ask("translate", fields, source.pad.bytes(way.channels));
      if (told && way === this.way) show(this.canvas, told.pictures[0]);
    } catch (error) {
      this.page.trouble(/** @type {Error} */ (error).message);
    }
    this.page.remember();
  }

  state() {
    return { direction: this.way?.name, seed: this.seed, ...this.source.state() };
  }

  /** @param {any} state from a link: checked piece by piece */
  restore(state) {
    this.way = this.ways.find(({ name }) => name === state.direction) ?? this.ways[0];
    if (Number.isSafeInteger(state.seed) && state.seed >= 0) this.seed = Math.min(state.seed, LAST_SEED);
    if (this.input) this.input.value = String(this.seed);
    this.mark();
    this.source.restore(this.way, state);
  }
}
