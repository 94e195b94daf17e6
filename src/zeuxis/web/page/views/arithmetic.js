// Arithmetic: A - B + C by drop, by button and by key; several pictures in one place are averaged; nine of the result.

import { painter } from "zeuxis/decoding.js";
import { latentText } from "zeuxis/link.js";
import { draggable, droppable, make, show } from "zeuxis/pictures.js";
import { isRecipe, ofSeed, shortName } from "zeuxis/recipes.js";
import { joined } from "zeuxis/space.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {import("zeuxis/recipes.js").Recipe} Recipe */

const LETTERS = /** @type {("A" | "B" | "C")[]} */ (["A", "B", "C"]);
const LONGEST = 60; // characters of a term's name in a link
const NAMES = ["upper left", "above", "upper right", "left", "the result", "right", "lower left", "below", "lower right"];

/** @param {HTMLElement} root
 * @param {Page} page */
export function mountArithmetic(root, page) {
  const arithmetic = new Arithmetic(root, page);
  arithmetic.draw();
  arithmetic.ofAttributes();
  return arithmetic;
}

class Arithmetic {
  /** @param {HTMLElement} root
   * @param {Page} page */
  constructor(root, page) {
    this.page = page;
    this.terms = /** @type {Recipe[][]} */ ((page.info.sum ?? [[1], [2], [3]]).map((seeds) => seeds.map(ofSeed)));
    this.examples = new Set([0, 1, 2]); // the first picture dropped on an example replaces it; the next ones join it
    this.names = ["", "", ""]; // of terms that were found by the attributes of the data
    this.untouched = true;
    this.results = /** @type {Recipe[]} */ ([]);
    this.paint = painter(page.engine, "sum", page.rough);
    this.slots = LETTERS.map((letter, i) => this.slot(letter, i));
    this.nine = NAMES.map((name, k) => this.neighbour(name, k));
    const nine = make("div", { className: "nine", role: "group", "aria-label": "The result, in the middle, and its neighbours" }, ...this.nine.map(({ button }) => button));
    const signs = ["−", "+", "="].map((sign) => make("span", { className: "sign", textContent: sign }));
    root.append(
      make("div", { className: "bar" }, make("h2", { textContent: "Arithmetic" }), make("p", { className: "hint", textContent: "Drop pictures on A, B and C; several in one place are averaged." })),
      make("div", { className: "equation" }, ...this.slots.flatMap(({ box }, i) => [box, signs[i]]), nine));
    page.on("use", ({ place, recipe }) => this.use(place, recipe));
  }

  /** @param {"A" | "B" | "C"} letter
   * @param {number} i */
  slot(letter, i) {
    const { size } = this.page.info, canvas = make("canvas", { role: "img", width: size, height: size, "aria-label": `${letter}: empty` });
    const text = make("span"), clear = make("button", { className: "clear", textContent: "×", "aria-label": `Empty ${letter}`, onclick: () => this.empty(i) });
    const box = make("div", { className: "term" }, make("div", { className: "slot" }, canvas), make("p", {}, make("b", { textContent: letter }), text), clear);
    droppable(box, (recipe) => this.add(i, recipe));
    draggable(canvas, () => (this.terms[i].length === 1 ? this.terms[i][0] : null));
    return { box, canvas, text, clear };
  }

  /** @param {string} name
   * @param {number} k */
  neighbour(name, k) {
    const { size } = this.page.info, canvas = make("canvas", { width: size, height: size });
    const button = make("button", { "aria-label": k === 4 ? "The result: A − B + C" : `Neighbour ${name}` }, canvas);
    button.onclick = () => this.results[k] && this.page.take(this.results[k]);
    draggable(button, () => this.results[k] ?? null);
    return { button, canvas };
  }

  /** The lecture's sum in the words of the data, once their attributes are known; not where somebody has begun another. */
  async ofAttributes() {
    const { page } = this;
    if (!page.engine.live || !(await page.directions.of("attributes")).length) return;
    const found = await page.engine.lane("first sum").ask("sum").catch(() => null), names = found?.fields.names ?? [];
    if (!found || names.length !== LETTERS.length || !this.untouched) return;
    const { seeds } = found.fields, size = found.numbers.length / LETTERS.length;
    this.terms = LETTERS.map((_, i) => (seeds ? seeds[i].map(ofSeed) : [{ latent: latentText(found.numbers.subarray(i * size, (i + 1) * size)), name: names[i] }]));
    this.names = names;
    this.draw();
    page.remember();
  }

  /** @param {import("zeuxis/page.js").Place} place
   * @param {Recipe} recipe */
  use(place, recipe) {
    const i = LETTERS.findIndex((letter) => letter === place);
    if (i >= 0) this.add(i, recipe);
  }

  /** @param {number} i
   * @param {Recipe} recipe */
  add(i, recipe) {
    this.terms[i] = this.examples.delete(i) ? [recipe] : [...this.terms[i], recipe];
    this.names[i] = "";
    this.changed(`${LETTERS[i]} is ${this.said(i)}`);
  }

  /** @param {number} i */
  empty(i) {
    this.terms[i] = [];
    this.names[i] = "";
    this.changed(`${LETTERS[i]} is empty`);
  }

  /** @param {string} text */
  changed(text) {
    this.untouched = false;
    this.page.say(text);
    this.draw();
    this.page.remember();
  }

  /** @param {number} i */
  said(i) {
    const term = this.terms[i];
    if (this.names[i]) return this.names[i];
    return term.length === 1 ? shortName(term[0]) : term.length ? `mean of ${term.length}` : "drop a picture";
  }

  async draw() {
    const { space } = this.page, sum = this.terms.map((term) => term.slice());
    if (!space) return;
    this.results = NAMES.map((_, k) => (k === 4 ? { sum } : { sum, beside: k }));
    const shown = sum.map((term, i) => ({ term, i })).filter(({ term }) => term.length);
    this.slots.forEach(({ box, text, canvas }, i) => {
      box.classList.toggle("empty", !sum[i].length);
      text.textContent = this.said(i);
      canvas.setAttribute("aria-label", `${LETTERS[i]}: ${this.said(i)}`);
    });
    try {
      const averages = shown.map(({ term }) => space.average(term)), results = this.results.map((recipe) => space.of(recipe));
      const latents = await Promise.all([...averages, ...results]);
      await this.paint(joined(latents), latents.length, (images) => {
        shown.forEach(({ i }, k) => show(this.slots[i].canvas, images[k]));
        this.nine.forEach(({ canvas }, k) => show(canvas, images[shown.length + k]));
      });
    } catch (error) {
      this.page.trouble(/** @type {Error} */ (error).message);
    }
  }

  state() {
    return { terms: this.terms, examples: [...this.examples], names: this.names };
  }

  /** @param {any} state */
  restore(state) {
    if (isRecipe({ sum: state?.terms })) {
      this.terms = state.terms;
      this.examples = new Set(Array.isArray(state.examples) ? state.examples : []);
      if (Array.isArray(state.names)) this.names = LETTERS.map((_, i) => String(state.names[i] ?? "").slice(0, LONGEST));
      this.untouched = false;
    }
    this.draw();
  }
}
