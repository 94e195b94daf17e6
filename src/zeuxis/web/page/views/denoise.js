// Denoise: a picture's way from noise, level by level, and beside it another future from any level on.

import { latentText } from "zeuxis/link.js";
import { draggable, droppable, make, show } from "zeuxis/pictures.js";
import { isRecipe, nameOf, ofSeed } from "zeuxis/recipes.js";
import { classChoice } from "zeuxis/views/class_choice.js";
import { futureOf } from "zeuxis/views/denoise_future.js";
import { Strip } from "zeuxis/views/denoise_strip.js";
import { pixelsOf } from "zeuxis/views/own_pixels.js";
import { same, seedField, seedOf } from "zeuxis/views/seed_field.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {import("zeuxis/recipes.js").Recipe} Recipe */
/** @typedef {import("zeuxis/frames.js").Answer} Answer */
/** @typedef {{sigma: number, noisy: ImageData, expected: ImageData}} Moment */
/** @typedef {{from: number, seed: number}} Fork */

const SAMPLERS = ["dpm++2m", "heun", "euler", "ddim", "ddpm"];
const MOST_STEPS = 200;
const COARSE = 32; // pixels of a picture whose pixels are shown as squares
const FRAME = 120; // ms of a level when played

/** @type {import("zeuxis/app.js").View} */
export const view = {
  id: "denoise",
  title: "Denoise",
  available: (info, engine) => engine.live && info.capabilities.includes("diffusion"),
  mount(root, page) {
    const denoise = new Denoise(root, page);
    return {
      show: () => denoise.show(),
      hide: () => denoise.play(false),
      state: () => denoise.state(),
      restore: (state) => denoise.restore(state),
    };
  },
};

class Denoise {
  /** @param {HTMLElement} root
   * @param {Page} page */
  constructor(root, page) {
    this.page = page;
    this.recipe = /** @type {Recipe} */ (ofSeed(0));
    this.seen = /** @type {Recipe | null} */ (null); // the picture in hand that was last looked at here
    this.steps = 0; // 0: as many as the model has
    this.sampler = ""; // "": the model's own
    this.level = Infinity; // that is looked at; Infinity: the newest
    this.fork = /** @type {Fork | null} */ (null);
    this.ways = { plain: /** @type {Moment[]} */ ([]), fork: /** @type {Moment[]} */ ([]) };
    this.playing = 0;
    this.begun = false;
    this.bar = this.controls();
    this.branching = this.forking();
    this.plain = futureOf(page.info.size, "Take this picture into hand", () => this.take("plain"));
    this.other = futureOf(page.info.size, "Take the fork's picture into hand", () => this.take("fork"));
    this.strip = new Strip(page, (level) => this.look(level));
    this.other.box.hidden = true;
    this.frame(root);
    page.on("label", () => (root.hidden ? (this.begun = false) : this.run()));
  }

  /** @param {HTMLElement} root */
  frame(root) {
    root.classList.add("denoise");
    root.classList.toggle("coarse", this.page.info.size <= COARSE); // else noise of a few pixels looks like smoke
    const stage = make("section", { className: "part stage", "aria-label": "The level that is looked at" }, this.plain.box, this.other.box);
    droppable(stage, (recipe) => this.set(recipe));
    draggable(this.plain.button, () => this.recipe);
    root.append(
      make("section", { className: "part", "aria-label": "Sampling" }, this.bar.row), stage,
      make("section", { className: "part strips", "aria-label": "The way from noise to image" }, this.branching.row, this.strip.root));
  }

  /** The bar: whose way it is, by how many steps of which sampler. */
  controls() {
    const seed = seedField(this.page, "Seed", (value) => this.set(ofSeed(value)));
    const steps = make("input", { id: "denoise-steps", type: "number", min: "1", max: String(MOST_STEPS), inputMode: "numeric" });
    steps.onchange = () => {
      this.steps = Math.max(1, Math.min(MOST_STEPS, Math.round(Number(steps.value) || 1)));
      this.fork = null;
      this.run();
    };
    const sampler = make("select", { id: "denoise-sampler" }, ...SAMPLERS.map((name) => make("option", { value: name, textContent: name })));
    sampler.onchange = () => {
      this.sampler = sampler.value;
      this.run();
    };
    const row = make("div", { className: "bar" }, make("h2", { textContent: "Denoise" }),
      make("p", { className: "hint wide", textContent: "A picture's way from noise to image. Drop another picture here." }), make("span", { className: "push" }), ...classChoice(this.page, "denoise"), seed.form,
      make("span", { className: "find" }, make("label", { htmlFor: steps.id, textContent: "Steps" }), steps),
      make("span", { className: "find" }, make("label", { htmlFor: sampler.id, textContent: "Sampler" }), sampler));
    return { row, seed: seed.input, steps, sampler };
  }

  /** The bar over the strips: playing, and the fork. */
  forking() {
    const play = make("button", { textContent: "Play", onclick: () => this.play(!this.playing) });
    const seed = seedField(this.page, "noise of seed", (value) => this.branch(value));
    seed.input.value = "1";
    const go = make("button", { textContent: "Fork at this level", className: "strong" });
    go.onclick = () => seed.form.requestSubmit();
    const drop = make("button", { textContent: "Remove the fork", className: "quiet", hidden: true, onclick: () => this.branch(null) });
    const told = make("p", { className: "level", role: "status" });
    const row = make("div", { className: "bar" }, play, told, make("span", { className: "push" }), go, seed.form, drop);
    return { row, play, drop, told };
  }

  show() {
    const { hand } = this.page;
    if (hand && !same(hand, this.seen)) {
      this.seen = hand;
      this.set(hand);
    } else if (!this.begun) this.run();
    this.strip.resize();
  }

  /** @param {Recipe} recipe whose way is looked at */
  set(recipe) {
    this.recipe = recipe;
    this.fork = null;
    this.run();
  }

  /** Ask for the whole way; a newer call ends the older stream. */
  async run() {
    const { page, recipe } = this, lane = page.engine.lane("denoise");
    this.begun = true;
    this.clear("plain");
    this.level = Infinity;
    this.caption();
    page.remember();
    try {
      const { fields, z } = await this.source();
      if (recipe !== this.recipe) return;
      if (this.fork) this.runFork();
      else this.clear("fork");
      await lane.stream("denoise", fields, z, (answer) => this.add("plain", answer));
    } catch (error) {
      page.trouble(/** @type {Error} */ (error).message);
    }
  }

  async runFork() {
    const { page, fork } = this;
    if (!fork) return;
    this.clear("fork");
    try {
      const { fields, z } = await this.source();
      if (fork !== this.fork) return;
      await page.engine.lane("denoise fork").stream("denoise", { ...fields, from: fork.from, fork_seed: fork.seed }, z, (answer) => this.add("fork", answer));
    } catch (error) {
      page.trouble(/** @type {Error} */ (error).message);
    }
  }

  /** What the server starts from: a seed by its number, any other picture by its latent. */
  async source() {
    const chosen = { ...(this.steps && { steps: this.steps }), ...(this.sampler && { sampler: this.sampler }) }, seed = seedOf(this.recipe);
    return seed === null ? { fields: chosen, z: await this.page.latent(this.recipe) } : { fields: { ...chosen, seed }, z: null };
  }

  /** @param {"plain" | "fork"} which */
  clear(which) {
    this.ways[which] = [];
    const { button, result, box } = which === "plain" ? this.plain : this.other;
    button.disabled = true;
    result.width = result.height = this.page.info.size;
    if (which === "fork") box.hidden = !this.fork;
    this.strip.clear(which, which === "fork" && !this.fork);
  }

  /** @param {"plain" | "fork"} which
   * @param {Answer} answer */
  add(which, { fields, pictures }) {
    if (fields.level === undefined) return; // ended by a newer request
    if (which === "plain" && fields.level === 0) this.first(fields.steps, fields.sampler);
    if (pictures.length < 2) return;
    const [noisy, expected] = pictures;
    this.ways[which][fields.level] = { sigma: fields.sigma, noisy, expected };
    this.strip.add(which, fields.level, noisy, expected);
    const { button, result } = which === "plain" ? this.plain : this.other;
    if (fields.level === fields.steps) {
      show(result, expected);
      button.disabled = false;
    }
    this.paint();
  }

  /** @param {number} steps
   * @param {string} sampler the model's own, unless another was chosen */
  first(steps, sampler) {
    this.bar.steps.value = String(steps);
    this.bar.sampler.value = sampler;
    this.strip.begin(steps);
  }

  /** @param {number} level */
  look(level) {
    this.play(false);
    this.level = level;
    this.paint();
    this.page.remember();
  }

  /** The level that is looked at, or the newest one before it. */
  paint() {
    const { plain, fork } = this.ways, last = plain.length - 1;
    if (last < 0) return;
    const level = Math.min(this.level, last), moment = plain[level], beside = fork[level] ?? (this.fork && level < this.fork.from ? moment : null);
    show(this.plain.noisy, moment.noisy);
    show(this.plain.expected, moment.expected);
    if (beside) {
      show(this.other.noisy, beside.noisy);
      show(this.other.expected, beside.expected);
    }
    const sigma = moment.sigma >= 10 ? moment.sigma.toFixed(0) : moment.sigma.toPrecision(2);
    const told = `level ${level} of ${this.strip.steps}, σ ${moment.sigma ? sigma : "0"}`;
    this.branching.told.textContent = told;
    this.strip.mark(level, told);
  }

  caption() {
    const { recipe, fork } = this;
    this.plain.title.textContent = nameOf(recipe).replace(/^./, (letter) => letter.toUpperCase());
    this.other.title.textContent = fork ? `Fork at level ${fork.from}, noise of seed ${fork.seed}` : "";
    this.bar.seed.value = String(seedOf(recipe) ?? "");
    this.branching.drop.hidden = !fork;
  }

  /** Another future of the level that is looked at; null: none. At the end nothing is left to fork.
   * @param {number | null} seed */
  branch(seed) {
    const { steps } = this.strip;
    if (this.level >= steps) this.level = this.fork?.from ?? Math.round(steps / 2);
    this.fork = seed === null ? null : { from: this.level, seed };
    this.caption();
    this.page.remember();
    if (!this.fork) this.clear("fork");
    else this.runFork();
    this.page.say(this.other.title.textContent || "The fork is removed");
  }

  /** @param {"plain" | "fork"} which */
  async take(which) {
    const { page, fork } = this, last = this.ways.fork.at(-1);
    if (which === "plain") return page.take(this.recipe);
    if (!last || !fork) return;
    page.say("Finding the noise of this picture");
    const { size, channels } = page.info;
    const found = await page.engine.lane("denoise noise").ask("denoise.noise", { h: size, w: size, c: channels }, pixelsOf(last.expected, channels))
      .catch((error) => page.trouble(error.message));
    if (found) page.take({ latent: latentText(found.numbers), name: `fork of ${nameOf(this.recipe)}` });
  }

  /** @param {boolean} on */
  play(on) {
    clearInterval(this.playing);
    this.playing = 0;
    if (on) {
      if (this.level >= this.strip.steps) this.level = -1;
      this.playing = setInterval(() => this.tick(), FRAME);
    }
    this.branching.play.textContent = on ? "Pause" : "Play";
  }

  tick() {
    this.level = Math.min(this.level + 1, this.ways.plain.length - 1);
    this.paint();
    if (this.level >= this.strip.steps) this.play(false);
  }

  state() {
    return { recipe: this.recipe, steps: this.steps, sampler: this.sampler, level: Number.isFinite(this.level) ? this.level : null, fork: this.fork };
  }

  /** @param {any} state from a link: checked piece by piece */
  restore(state) {
    const whole = (/** @type {unknown} */ v, /** @type {number} */ most) => Number.isSafeInteger(v) && Number(v) >= 0 && Number(v) <= most;
    if (isRecipe(state.recipe)) this.recipe = state.recipe;
    if (whole(state.steps, MOST_STEPS)) this.steps = state.steps;
    if (SAMPLERS.includes(state.sampler)) this.sampler = state.sampler;
    const steps = this.steps || MOST_STEPS;
    if (state.fork && whole(state.fork.from, steps) && whole(state.fork.seed, Number.MAX_SAFE_INTEGER)) this.fork = { from: state.fork.from, seed: state.fork.seed };
    this.seen = this.page.hand;
    const level = whole(state.level, steps) ? state.level : Infinity;
    this.run();
    this.level = level;
  }
}
