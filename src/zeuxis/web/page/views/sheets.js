// The contact sheets of a run on a scrubber: the same seeds at every step, the newest while it trains.

import { grouped } from "zeuxis/charts.js";
import { make, show } from "zeuxis/pictures.js";
import { ofSeed } from "zeuxis/recipes.js";

/** @typedef {import("zeuxis/page.js").Page} Page */

const KEPT = 40; // sheets
const FRAME = 160; // ms of each sheet when they are played
const GAP = 2; // pixels between the pictures of a sheet

/** The sheets of a run, the one of a step in sight. */
export class Sheets {
  /** @param {HTMLElement} root
   * @param {Page} page
   * @param {(step: number) => void} looked */
  constructor(root, page, looked) {
    this.page = page;
    this.looked = looked;
    this.lane = page.engine.lane("sheet");
    this.kinds = /** @type {Record<string, number[]>} */ ({});
    this.kind = "samples";
    this.chosen = /** @type {number | null} */ (null); // a step; null: the newest, also when another arrives
    this.known = /** @type {Map<string, Promise<ImageData | null>>} */ (new Map());
    this.playing = 0;
    this.marked = -1;
    this.title = make("h2", { textContent: titleFor(page) });
    this.choice = make("div", { className: "choice", role: "radiogroup", "aria-label": "Which contact sheet", hidden: true });
    this.when = make("p", { className: "hint" });
    this.canvas = make("canvas", { className: "sheet", role: "img" });
    this.box = make("div", { className: "box", hidden: true });
    this.none = make("p", { className: "hint", textContent: "The first contact sheet has not been drawn yet." });
    this.slider = make("input", { type: "range", min: "0", max: "0", value: "0", "aria-label": "Step of the contact sheet" });
    this.play = make("button", { textContent: "Play", onclick: () => (this.playing ? this.stop() : this.start()) });
    this.slider.oninput = () => {
      this.stop();
      this.choose(Number(this.slider.value));
    };
    const takes = this.takes();
    this.frame = make("div", { className: takes ? "sheet-frame takes" : "sheet-frame" }, this.canvas, this.box);
    if (takes) this.listen();
    root.append(make("div", { className: "bar" }, this.title, this.choice, make("span", { className: "push" }), this.when), this.frame, this.none,
      make("div", { className: "scrub" }, this.play, this.slider));
  }

  /** Whether a picture of the sheet can be taken into hand: it is that of a seed. */
  takes() {
    return Boolean(this.page.info.latent);
  }

  get steps() { return this.kinds[this.kind] ?? []; }
  get at() { return this.chosen === null ? this.steps.length - 1 : Math.max(0, nearest(this.steps, this.chosen)); }

  /** @param {Record<string, number[]>} kinds the steps that have a sheet
   * @param {number} step the newest of the run */
  hear(kinds, step) {
    const before = JSON.stringify(Object.keys(this.kinds)), newest = this.steps.at(-1);
    this.kinds = kinds;
    if (!this.steps.length) this.kind = Object.keys(kinds)[0] ?? "samples";
    if (JSON.stringify(Object.keys(kinds)) !== before) this.choices();
    this.none.hidden = this.steps.length > 0;
    this.slider.disabled = this.play.disabled = this.steps.length < 2;
    if (!this.steps.length) this.looked(step);
    else if (this.marked < 0 || newest !== this.steps.at(-1)) this.paint();
    else this.slider.max = String(this.steps.length - 1);
  }

  choices() {
    const buttons = Object.keys(this.kinds).map((kind) => make("button", {
      role: "radio", textContent: kind.replaceAll("-", " "), "aria-checked": String(kind === this.kind), onclick: () => this.use(kind),
    }));
    this.choice.replaceChildren(...buttons);
    this.choice.hidden = buttons.length < 2;
  }

  /** @param {string} kind */
  use(kind) {
    const step = this.steps[this.at];
    this.kind = kind;
    if (this.chosen !== null) this.chosen = step;
    this.choices();
    this.paint();
  }

  /** @param {number} index of the step */
  choose(index) {
    this.chosen = index >= this.steps.length - 1 ? null : this.steps[index];
    return this.paint();
  }

  /** @param {number} step the nearest sheet to it is shown */
  go(step) {
    this.stop();
    if (this.steps.length) this.choose(nearest(this.steps, step));
  }

  async start() {
    this.play.textContent = "Stop";
    const turn = (this.playing = performance.now());
    for (let i = this.at >= this.steps.length - 1 ? 0 : this.at; i < this.steps.length && this.playing === turn; i++) {
      await Promise.all([this.choose(i), new Promise((go) => setTimeout(go, FRAME))]);
    }
    if (this.playing === turn) this.stop();
  }

  stop() {
    this.playing = 0;
    this.play.textContent = "Play";
  }

  async paint() {
    const step = this.steps[this.at], kind = this.kind;
    if (step === undefined) return;
    Object.assign(this.slider, { max: String(this.steps.length - 1), value: String(this.at) });
    this.slider.setAttribute("aria-valuetext", `step ${grouped.format(step)}`);
    this.when.textContent = `step ${grouped.format(step)}${this.chosen === null ? ", the newest" : ""}`;
    this.marked = step;
    this.looked(step);
    const image = await this.fetch(kind, step).catch((error) => this.page.trouble(error.message));
    if (!image || this.marked !== step || this.kind !== kind) return;
    show(this.canvas, image);
    this.canvas.setAttribute("aria-label", `${kind} at step ${grouped.format(step)}`);
  }

  /** @param {string} kind
   * @param {number} step
   * @returns {Promise<ImageData | null>} */
  fetch(kind, step) {
    const name = `${kind}/${step}`, found = this.known.get(name);
    if (found) return found;
    const asked = this.lane.ask("run.sheet", { kind, step }).then((said) => ungapped(said?.pictures[0] ?? null, this.page.info.size));
    this.known.set(name, asked);
    asked.then((image) => image || this.known.delete(name), () => this.known.delete(name));
    const oldest = this.known.keys().next().value;
    if (this.known.size > KEPT && oldest) this.known.delete(oldest);
    return asked;
  }

  /** A click, or arrows and Enter, take the picture of a seed into hand. */
  listen() {
    const frame = this.frame;
    let seed = 0;
    Object.assign(frame, { tabIndex: 0, role: "application" });
    frame.setAttribute("role", "application");
    frame.setAttribute("aria-label", "Samples: arrows choose a seed, Enter takes it into hand");
    const mark = (/** @type {number} */ next) => {
      const count = this.columns() ** 2;
      seed = Math.min(count - 1, Math.max(0, next));
      this.boxed(seed);
    };
    frame.onpointermove = (event) => this.kind === "samples" && mark(this.seedUnder(event));
    frame.onpointerleave = () => (this.box.hidden = true);
    frame.onclick = () => this.kind === "samples" && this.page.take(ofSeed(seed));
    frame.onblur = () => (this.box.hidden = true);
    frame.onkeydown = (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns(), ArrowUp: -this.columns() }[event.key];
      if (this.kind !== "samples" || (!move && event.key !== "Enter")) return;
      event.preventDefault();
      if (!move) return this.page.take(ofSeed(seed));
      mark(seed + move);
      this.page.say(`seed ${seed}`);
    };
  }

  /** Pictures in a row of the sheet. */
  columns() {
    return Math.max(1, Math.round((this.canvas.width - GAP) / (this.page.info.size + GAP)));
  }

  /** @param {PointerEvent} event */
  seedUnder(event) {
    const box = this.canvas.getBoundingClientRect(), columns = this.columns();
    const column = Math.min(columns - 1, Math.floor(((event.clientX - box.left) / box.width) * columns));
    return Math.floor(((event.clientY - box.top) / box.height) * columns) * columns + column;
  }

  /** @param {number} seed */
  boxed(seed) {
    const columns = this.columns(), side = 100 / columns, box = this.box;
    box.hidden = false;
    Object.assign(box.style, { left: `${(seed % columns) * side}%`, top: `${Math.floor(seed / columns) * side}%`, width: `${side}%`, height: `${side}%` });
    box.title = `seed ${seed}`;
  }

  state() {
    return { kind: this.kind, step: this.chosen };
  }

  /** @param {any} state */
  restore(state) {
    if (typeof state.kind === "string") this.kind = state.kind;
    if (Number.isInteger(state.step)) this.chosen = state.step;
  }
}

/** What the contact sheets show.
 * @param {Page} page */
function titleFor({ info }) {
  if (info.capabilities.includes("translator")) return "Source, translation, target";
  return info.latent ? "Samples of fixed seeds" : "Samples";
}

/** The sheet with its white gaps seen through, so that it stands on the page's own paper.
 * @param {ImageData | null} image
 * @param {number} size of a picture on it */
function ungapped(image, size) {
  const each = size + GAP;
  if (!image || (image.width - GAP) % each || (image.height - GAP) % each) return image;
  for (let y = 0; y < image.height; y++)
    for (let x = 0; x < image.width; x++) if (y % each < GAP || x % each < GAP) image.data[4 * (y * image.width + x) + 3] = 0;
  return image;
}

/** The place of the number nearest to one, among ascending ones.
 * @param {number[]} steps
 * @param {number} step */
function nearest(steps, step) {
  let best = 0;
  steps.forEach((one, i) => {
    if (Math.abs(one - step) < Math.abs(steps[best] - step)) best = i;
  });
  return best;
}
