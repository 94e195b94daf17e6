// Gibbs: the Markov chain of a Boltzmann machine running, with held pixels, and the wall of its filters.

import { latentText } from "zeuxis/link.js";
import { draggable, droppable, make, show } from "zeuxis/pictures.js";
import { isRecipe, nameOf, ofSeed } from "zeuxis/recipes.js";
import { Filters } from "zeuxis/views/gibbs_filters.js";
import { HeldPixels } from "zeuxis/views/gibbs_held.js";
import { hiddenPicture, Trace } from "zeuxis/views/gibbs_pictures.js";
import { seedField, seedOf } from "zeuxis/views/seed_field.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {import("zeuxis/recipes.js").Recipe} Recipe */
/** @typedef {import("zeuxis/frames.js").Answer} Answer */

const SPEEDS = [1, 2, 5, 10, 20, 50, 100, 250, 500, 1000]; // Gibbs steps a second
const PICTURES = 25; // a second, at most
const MOST_STEPS = 1000; // of one request
const WARM = 8; // the largest temperature; the smallest is its inverse but for rounding

/** @type {import("zeuxis/app.js").View} */
export const view = {
  id: "gibbs",
  title: "Gibbs",
  available: (info, engine) => engine.live && info.capabilities.includes("rbm"),
  mount(root, page) {
    const gibbs = new Gibbs(root, page);
    return {
      show: () => gibbs.show(),
      hide: () => gibbs.run(false),
      state: () => gibbs.state(),
      restore: (state) => gibbs.restore(state),
    };
  },
};

class Gibbs {
  /** @param {HTMLElement} root
   * @param {Page} page */
  constructor(root, page) {
    this.page = page;
    this.lane = page.engine.lane("gibbs");
    this.start = /** @type {Recipe | null} */ (ofSeed(0)); // null: from independent pixels
    this.seed = 0; // of the noise
    this.hidden = /** @type {Float32Array | null} */ (null);
    this.position = 0;
    this.running = this.begun = false;
    this.drawn = 0; // 2: pixels were drawn and no step has shown it, 1: one is under way
    this.turn = 0; // a newer one ends what an older one waits for
    const { size } = page.info;
    this.visible = make("canvas", { className: "visible", width: size, height: size });
    this.expected = make("canvas", { role: "img", width: size, height: size, "aria-label": "Expected image p(v|h)" });
    this.units = make("canvas", { role: "img", "aria-label": "Hidden units" });
    this.trace = new Trace();
    this.held = new HeldPixels(this.visible, page.info, () => this.changed());
    this.tools = this.controls();
    this.filters = new Filters(page);
    this.frame(root);
  }

  /** @param {HTMLElement} root */
  frame(root) {
    root.classList.add("gibbs");
    const figure = (/** @type {HTMLElement} */ shown, /** @type {string} */ caption) => make("figure", {}, shown, make("figcaption", { textContent: caption }));
    const chain = make("section", { className: "part chain", "aria-label": "Markov chain" }, this.tools.row,
      make("div", { className: "states" },
        figure(make("div", { className: "drawn" }, this.visible, this.held.mask), "v, visible units: draw to hold pixels"),
        figure(this.expected, "p(v|h), expected image"), figure(this.units, `h, ${this.page.info.latent?.shape[0] ?? 0} hidden units`)),
      this.held.root, this.tools.starts, this.tools.knobs,
      make("div", { className: "energy" }, this.tools.told, this.trace.canvas));
    droppable(chain, (recipe) => this.restart(recipe));
    draggable(this.expected, () => this.found());
    root.append(chain, this.filters.root);
  }

  controls() {
    const go = make("button", { className: "strong", textContent: "Run", onclick: () => this.run(!this.running) });
    const step = make("button", { textContent: "One step", onclick: () => { this.run(false); this.step(1); } });
    const slider = (/** @type {string} */ id, /** @type {string} */ name, /** @type {number} */ min, /** @type {number} */ max, /** @type {number} */ value, /** @type {string} */ step) => {
      const input = make("input", { id: `gibbs-${id}`, type: "range", min: String(min), max: String(max), step, value: String(value) }), said = make("output", { htmlFor: `gibbs-${id}` });
      input.oninput = () => this.told();
      return { input, said, box: make("span", { className: "knob" }, make("label", { htmlFor: input.id, textContent: name }), input, said) };
    };
    const speed = slider("speed", "Speed", 0, SPEEDS.length - 1, 3, "1"), warmth = slider("temperature", "Temperature", -2, 3, 0, "0.1");
    const row = make("div", { className: "bar" }, make("h2", { textContent: "Gibbs sampling" }), make("span", { className: "push" }), go, step);
    const knobs = make("div", { className: "bar knobs" }, speed.box, warmth.box);
    const seed = seedField(this.page, "Seed", (value) => this.restart(ofSeed(value)));
    const hand = make("button", { textContent: "The picture in hand", onclick: () => this.restart(this.page.hand ?? ofSeed(0)) });
    const noise = make("button", { textContent: "Noise", onclick: () => this.restart(null) });
    const take = make("button", { textContent: "Take into hand", onclick: () => this.found() && this.page.take(/** @type {Recipe} */ (this.found())) });
    const starts = make("div", { className: "bar starts" }, make("span", { className: "hint", textContent: "Start again from" }), noise, hand, seed.form, make("span", { className: "push" }), take);
    return { row, knobs, starts, go, speed, warmth, seed: seed.input, told: make("p", { className: "hint", textContent: " " }) };
  }

  get temperature() {
    return Math.min(WARM, Math.round(100 * 2 ** Number(this.tools.warmth.input.value)) / 100);
  }

  get speed() {
    return SPEEDS[Number(this.tools.speed.input.value)] ?? 10;
  }

  told() {
    const { speed, warmth } = this.tools;
    speed.said.textContent = `${this.speed.toLocaleString("en")}/s`;
    warmth.said.textContent = this.temperature.toFixed(2);
    speed.input.setAttribute("aria-valuetext", `${this.speed} steps a second`);
    warmth.input.setAttribute("aria-valuetext", this.temperature.toFixed(2));
    this.page.remember();
  }

  show() {
    this.told();
    this.filters.show();
    if (!this.begun) this.restart(this.page.hand ?? this.start);
  }

  /** @param {Recipe | null} recipe the picture that the chain starts from; null: independent pixels */
  async restart(recipe) {
    const turn = ++this.turn;
    this.begun = true;
    this.start = recipe;
    const seed = recipe && seedOf(recipe);
    this.seed = seed ?? Math.floor(Math.random() * 2 ** 31);
    this.tools.seed.value = String(seed ?? "");
    this.page.remember();
    this.page.say(`The chain starts again from ${recipe ? nameOf(recipe) : "noise"}`);
    try {
      const z = recipe && (await this.page.latent(recipe));
      if (turn !== this.turn) return;
      this.hidden = z && z.map((value) => Math.max(0, Math.min(1, value)));
      this.position = 0;
      this.trace.clear();
      await this.step(1);
      this.go();
    } catch (error) {
      this.page.trouble(/** @type {Error} */ (error).message);
    }
  }

  /** @param {boolean} on */
  run(on) {
    this.running = on;
    this.tools.go.textContent = on ? "Pause" : "Run";
    this.turn += 1;
    this.go();
  }

  /** One request after another, as long as the chain runs; few steps each where it is slow. */
  async go() {
    const turn = ++this.turn;
    let due = performance.now();
    while (this.running && turn === this.turn) {
      const steps = Math.max(1, Math.min(MOST_STEPS, Math.round(this.speed / PICTURES)));
      due = Math.max(performance.now() - 100, due + 1000 * steps / this.speed);
      await this.step(steps);
      await new Promise((then) => setTimeout(then, Math.max(0, due - performance.now())));
    }
  }

  /** @param {number} steps */
  async step(steps) {
    const { hidden, position, page } = this, held = this.held.payload(), start = this.start;
    const bytes = new Uint8Array((hidden ? hidden.byteLength : 0) + (held?.length ?? 0));
    if (hidden) bytes.set(new Uint8Array(hidden.buffer, hidden.byteOffset, hidden.byteLength));
    if (held) bytes.set(held, hidden?.byteLength ?? 0);
    const fields = { steps, temperature: this.temperature, seed: this.seed, position, hidden: hidden ? 1 : 0, held: held ? 1 : 0 };
    const answer = await this.lane.ask("gibbs", fields, bytes).catch((error) => {
      this.run(false);
      page.trouble(error.message);
    });
    if (answer && start === this.start && position === this.position) this.receive(answer);
  }

  /** @param {Answer} answer */
  receive({ fields, pictures, numbers }) {
    this.hidden = numbers;
    this.position = fields.position;
    show(this.visible, pictures[0]);
    show(this.expected, pictures[1]);
    show(this.units, hiddenPicture(numbers, this.page.theme()));
    this.trace.add(fields.free_energy);
    this.tools.told.textContent = `Step ${this.position.toLocaleString("en")}, free energy ${fields.free_energy.toFixed(1)} nats`;
  }

  /** Pixels are held or let go: without a running chain a step shows it, and one more what was drawn meanwhile. */
  async changed() {
    const busy = this.drawn !== 0;
    this.drawn = 2;
    while (!busy && this.drawn) {
      this.drawn -= 1;
      if (this.drawn && !this.running) await this.step(1);
    }
  }

  /** @returns {Recipe | null} */
  found() {
    return this.hidden && { latent: latentText(this.hidden), name: `chain, step ${this.position}` };
  }

  state() {
    return { start: this.start, speed: Number(this.tools.speed.input.value), warmth: Number(this.tools.warmth.input.value), unit: this.filters.unit, held: this.held.state() };
  }

  /** @param {any} state from a link: checked piece by piece */
  restore(state) {
    const within = (/** @type {unknown} */ v, /** @type {number} */ low, /** @type {number} */ high) => Number.isFinite(v) && Number(v) >= low && Number(v) <= high;
    if (within(state.speed, 0, SPEEDS.length - 1)) this.tools.speed.input.value = String(state.speed);
    if (within(state.warmth, -2, 3)) this.tools.warmth.input.value = String(state.warmth);
    this.held.restore(state.held);
    if (Number.isSafeInteger(state.unit) && state.unit >= 0) this.filters.look(state.unit);
    if (state.start === null || isRecipe(state.start)) this.restart(state.start);
  }
}
