// Interpolate: ten steps between two pictures, in one row or, as in the lecture's figure, in five.

import { painter } from "zeuxis/decoding.js";
import { columnWeights } from "zeuxis/latent.js";
import { draggable, droppable, make, show } from "zeuxis/pictures.js";
import { isRecipe, nameOf, ofSeed } from "zeuxis/recipes.js";
import { joined } from "zeuxis/space.js";
import { play } from "zeuxis/views/player.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {import("zeuxis/recipes.js").Recipe} Recipe */
/** @typedef {[Recipe, Recipe]} Ends */
/** @typedef {{button: HTMLButtonElement, canvas: HTMLCanvasElement}} Cell */

const COLUMNS = 10, ROWS = 5;
const WEIGHTS = columnWeights(COLUMNS);
const AT_FIRST = [[12, 33], [0, 3], [8, 20], [27, 5], [14, 41]];
const HINT = "Drop pictures on the ends.";

/** @param {HTMLElement} root
 * @param {Page} page */
export const mountInterpolate = (root, page) => new Interpolate(root, page);

class Interpolate {
  /** @param {HTMLElement} root
   * @param {Page} page */
  constructor(root, page) {
    this.page = page;
    this.ends = AT_FIRST.map((seeds) => /** @type {Ends} */ (seeds.map(ofSeed)));
    this.count = 1;
    this.active = 0; // the row whose ends the buttons and keys set
    this.steps = /** @type {Recipe[][]} */ ([]);
    this.table = make("div", { className: "rows", role: "group", "aria-label": "Interpolations" });
    this.rows = /** @type {Cell[][]} */ ([]);
    this.painters = AT_FIRST.map((_, k) => painter(page.engine, `line ${k}`, page.rough));
    this.choice = ["1 row", "5 rows"].map((text, i) => make("button", { textContent: text, role: "radio", onclick: () => this.show(i ? ROWS : 1) }));
    const choice = make("div", { className: "choice", role: "radiogroup", "aria-label": "Rows" }, ...this.choice);
    choice.onkeydown = ({ key }) => {
      if (!key.startsWith("Arrow")) return;
      this.show(this.count === 1 ? ROWS : 1);
      this.choice[this.count === 1 ? 0 : 1].focus();
    };
    const start = make("button", { textContent: "Play", onclick: () => play(page, this.ends.slice(0, this.count).flat()) });
    root.append(make("div", { className: "bar" }, make("h2", { textContent: "Interpolate" }), make("p", { className: "hint", textContent: HINT }),
      make("span", { className: "push" }), choice, start), this.table);
    page.on("use", ({ place, recipe }) => (place === "Start" || place === "End") && this.set(this.active, place === "End" ? 1 : 0, recipe));
    this.show(1);
  }

  /** One row or five.
   * @param {number} count */
  show(count) {
    this.count = count;
    this.active = Math.min(this.active, count - 1);
    this.choice.forEach((button, i) => {
      const chosen = count === (i ? ROWS : 1);
      button.setAttribute("aria-checked", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    });
    while (this.rows.length < count) this.rows.push(this.row(this.rows.length));
    this.table.replaceChildren(...this.rows.slice(0, count).map((cells, r) => {
      const line = make("div", { className: "ten" }, ...cells.map(({ button }) => button));
      for (const event of ["focusin", "pointerdown"]) line.addEventListener(event, () => this.choose(r));
      return line;
    }));
    this.choose(this.active);
    for (let r = 0; r < count; r++) this.draw(r);
    this.page.remember();
  }

  /** @param {number} r */
  choose(r) {
    this.active = r;
    [...this.table.children].forEach((line, i) => line.classList.toggle("active", i === r && this.count > 1));
  }

  /** @param {number} r
   * @returns {Cell[]} */
  row(r) {
    return WEIGHTS.map((_, k) => {
      const canvas = make("canvas", { width: this.page.info.size, height: this.page.info.size }), button = make("button", {}, canvas);
      button.onclick = () => this.page.take(this.steps[r][k]);
      draggable(button, () => this.steps[r][k]);
      if (k === 0 || k === COLUMNS - 1) droppable(button, (recipe) => this.set(r, k ? 1 : 0, recipe));
      return { button, canvas };
    });
  }

  /** @param {number} r
   * @param {number} which
   * @param {Recipe} recipe */
  set(r, which, recipe) {
    this.ends[r][which] = recipe;
    this.choose(r);
    this.draw(r);
    this.page.say(`${which ? "End" : "Start"}${this.count > 1 ? ` of row ${r + 1}` : ""} is ${nameOf(recipe)}`);
    this.page.remember();
  }

  /** @param {number} r */
  async draw(r) {
    const { space } = this.page, [from, to] = this.ends[r];
    if (!space) return;
    this.steps[r] = WEIGHTS.map((weight) => (weight === 1 ? from : weight === 0 ? to : { between: [from, to], weight }));
    this.rows[r].forEach(({ button }, k) => {
      const where = this.count > 1 ? `Row ${r + 1}, ` : "";
      const what = k === 0 ? `start: ${nameOf(from)}` : k === COLUMNS - 1 ? `end: ${nameOf(to)}` : `step ${k + 1} of ${COLUMNS}`;
      button.setAttribute("aria-label", where + what);
    });
    try {
      const latents = await Promise.all(this.steps[r].map((step) => space.of(step)));
      await this.painters[r](joined(latents), COLUMNS, (images) => this.rows[r].forEach(({ canvas }, k) => show(canvas, images[k])));
    } catch (error) {
      this.page.trouble(/** @type {Error} */ (error).message);
    }
  }

  state() {
    return { count: this.count, ends: this.ends };
  }

  /** @param {any} state */
  restore(state) {
    const pair = (/** @type {unknown} */ ends) => Array.isArray(ends) && ends.length === 2 && ends.every((end) => isRecipe(end));
    if (Array.isArray(state?.ends) && state.ends.length === ROWS && state.ends.every(pair)) this.ends = state.ends;
    this.show(state?.count === ROWS ? ROWS : 1);
  }
}
