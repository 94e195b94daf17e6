// A run, while it trains and afterwards: samples of fixed seeds, the discriminator's answers, losses by name, warnings.

import { grouped, meanOf, paintAnswers, paintGame, stepChart } from "zeuxis/charts.js";
import { make } from "zeuxis/pictures.js";
import { groupsOf, left, PROBABILITY, Rows } from "zeuxis/rows.js";
import { Sheets } from "zeuxis/views/sheets.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {import("zeuxis/charts.js").Histogram} Histogram */
/** @typedef {{steps: number[], names: string[], shares: Float32Array, bins: number}} Game */

const AGAIN = 0.05; // of the records are new: the picture of all steps is drawn anew

/** @type {import("zeuxis/app.js").View} */
export const view = {
  id: "training", title: "Training",
  available: (info, engine) => engine.live && info.capabilities.includes("run"),
  mount: (root, page) => new Training(root, page),
};

class Training {
  /** @param {HTMLElement} root
   * @param {Page} page */
  constructor(root, page) {
    this.page = page;
    this.rows = new Rows();
    this.answers = /** @type {number[]} */ ([]); // steps that have a record
    this.told = /** @type {Record<string, any>} */ ({});
    this.charts = /** @type {Map<string, ReturnType<typeof stepChart>>} */ (new Map());
    this.lane = page.engine.lane("run");
    const part = (/** @type {string} */ name) => make("section", { className: `part ${name}`, "aria-label": name });
    this.head = make("p", { className: "facts" });
    this.health = make("ul", { className: "health" });
    const bar = part("progress"), shown = part("samples");
    bar.append(this.head, this.health);
    this.gameRoot = part("answers");
    this.plots = part("losses");
    this.sheets = new Sheets(shown, page, (step) => this.look(step));
    this.game = new Answers(this.gameRoot, page, (step) => this.sheets.go(step));
    root.classList.add("training");
    root.append(bar, shown, this.gameRoot, this.plots);
    page.on("theme", () => this.restyle());
    if (!page.info.hash) page.engine.heard.addEventListener("open", reloaded);
  }

  show() {
    this.lane.stream("run.follow", {}, null, ({ fields, numbers }) => this.hear(fields, numbers))
      .catch((error) => this.page.trouble(error.message));
  }

  /** Another request in the lane ends the stream. */
  hide() {
    this.sheets.stop();
    this.lane.ask("run.state").catch(() => {});
  }

  state() { return this.sheets.state(); }

  /** @param {any} state */
  restore(state) { this.sheets.restore(state); }

  /** @param {Record<string, any>} fields
   * @param {Float32Array} numbers */
  hear(fields, numbers) {
    this.told = fields;
    this.rows.take(fields, numbers);
    this.answers = fields.answers;
    this.head.replaceChildren(...factsOf(fields));
    this.health.replaceChildren(...fields.warnings.map((/** @type {string} */ text) => make("li", { textContent: text })));
    this.plot();
    this.game.hear(this.answers);
    this.sheets.hear(fields.sheets, fields.step);
  }

  /** @param {number} step that is looked at */
  look(step) {
    this.game.look(step);
    for (const chart of this.charts.values()) chart.mark(step);
    this.page.remember();
  }

  plot() {
    for (const { title, names } of groupsOf(this.rows.names)) {
      let chart = this.charts.get(title);
      if (!chart) {
        const place = make("div", { className: "chart" });
        this.plots.append(place);
        this.charts.set(title, (chart = stepChart(place, title, (step) => this.sheets.go(step))));
      }
      const curves = names.map(({ name, label }) => ({ name: label, values: this.rows.values(name) }));
      chart.show({ steps: this.rows.steps, curves, ...(title === PROBABILITY ? { range: /** @type {[number, number]} */ ([0, 1]) } : {}) });
    }
  }

  restyle() {
    for (const chart of this.charts.values()) chart.restyle();
    this.game.paint();
  }
}

/** Where training was shown before there was a model, the same address serves the model afterwards: all views are there then. */
async function reloaded() {
  const about = await fetch("api/model").then((said) => said.json(), () => null);
  if (about?.models?.[0]?.hash) location.reload();
}

/** What the head says of a run.
 * @param {Record<string, any>} told */
function factsOf({ run, step, images, live, state, speed, left: seconds }) {
  const last = run?.steps ? ` of ${grouped.format(run.steps)}` : "", facts = [`step ${grouped.format(step)}${last}`, `${grouped.format(images)} images seen`];
  if (live && speed) facts.push(`${grouped.format(Math.round(speed))} images/s`);
  if (live && seconds !== null) facts.push(`${left(seconds)} left`);
  if (run?.data) facts.push(`on ${run.data}, ${grouped.format(run.images)} images`);
  const word = state.replace(/^./, (/** @type {string} */ first) => first.toUpperCase());
  return [make("b", { className: live ? "live-mark" : "", textContent: word }), ...facts.map((text) => make("span", { textContent: text }))];
}

/** The discriminator's answers at a step, and below them those of all steps. */
class Answers {
  /** @param {HTMLElement} root
   * @param {Page} page
   * @param {(step: number) => void} chosen */
  constructor(root, page, chosen) {
    this.root = root;
    this.page = page;
    this.chosen = chosen;
    this.lane = page.engine.lane("answers");
    this.allLane = page.engine.lane("game");
    this.step = -1;
    this.ends = "";
    this.records = this.drawn = 0;
    this.newest = /** @type {Record<string, Histogram>} */ ({});
    this.all = /** @type {Game | null} */ (null);
    this.title = make("h2", { textContent: "The discriminator's answers" });
    this.when = make("p", { className: "hint" });
    this.pairs = /** @type {Map<string, {near: HTMLCanvasElement, far: HTMLCanvasElement}>} */ (new Map());
    root.append(make("div", { className: "bar" }, this.title, this.when));
    root.hidden = true;
    new ResizeObserver(() => this.paint()).observe(root);
  }

  /** @param {number[]} steps that have a record */
  hear(steps) {
    this.root.hidden = !steps.length;
    const fresh = steps.length && (!this.records || Math.abs(steps.length - this.drawn) >= Math.max(1, AGAIN * this.drawn));
    if (steps.length !== this.records) this.look(this.step, true);
    this.records = steps.length;
    if (fresh) this.fetchAll();
  }

  async fetchAll() {
    this.drawn = this.records;
    const said = await this.allLane.ask("run.game").catch((error) => this.page.trouble(error.message));
    if (!said) return;
    const { steps, names } = said.fields;
    this.all = { steps, names, shares: said.numbers, bins: steps.length ? said.numbers.length / steps.length / names.length : 0 };
    this.paint();
  }

  /** @param {number} step
   * @param {boolean} [anew] */
  async look(step, anew = false) {
    if (step < 0 || (step === this.step && !anew)) return;
    this.step = step;
    const said = await this.lane.ask("run.answers", { step }).catch((error) => this.page.trouble(error.message));
    if (!said || said.fields.step === null) return;
    this.newest = said.fields.histograms;
    const critic = Object.keys(this.newest).some((name) => !name.includes("prob_"));
    this.ends = critic ? "the highest score of each batch above, the lowest below" : "1 (real) above, 0 (fake) below";
    this.title.textContent = critic ? "The critic's scores" : "The discriminator's answers";
    this.when.textContent = `on the batch of step ${grouped.format(said.fields.step)}`;
    this.paint();
  }

  paint() {
    for (const [title, [real, fake]] of pairsOf(Object.keys(this.newest))) {
      const { near, far } = this.pair(title), pair = { real: this.newest[real], fake: this.newest[fake] };
      near.setAttribute("aria-label", `${title || "Answers"}: ${said("real", pair.real)}, ${said("fake", pair.fake)}`);
      paintAnswers(near, pair);
      if (!this.all) continue;
      const { steps, names, shares, bins } = this.all, later = steps.findIndex((one) => one > this.step);
      const at = Math.max(0, later < 0 ? steps.length - 1 : later - 1);
      paintGame(far, { shares, columns: steps.length, names: names.length, bins }, [names.indexOf(real), names.indexOf(fake)], at);
    }
  }

  /** The canvases of a pair; made when it is first seen.
   * @param {string} title */
  pair(title) {
    let found = this.pairs.get(title);
    if (!found) {
      const near = make("canvas", { className: "histogram", role: "img" });
      const far = make("canvas", { className: "all-steps", role: "img", "aria-label": "The answers at all steps: real in ink, fake in the accent" });
      far.onclick = ({ offsetX }) => {
        const steps = this.all?.steps ?? [];
        if (steps.length) this.chosen(steps[Math.min(steps.length - 1, Math.floor((offsetX / far.clientWidth) * steps.length))]);
      };
      if (title) this.root.append(make("h3", { textContent: title }));
      this.root.append(near, make("p", { className: "hint", textContent: `All steps: ${this.ends}` }), far);
      this.pairs.set(title, (found = { near, far }));
    }
    return found;
  }
}

/** @param {string} name
 * @param {Histogram | undefined} histogram */
function said(name, histogram) {
  return histogram ? `mean on ${name} images ${meanOf(histogram).toFixed(2)}` : "";
}

/** The names of histograms in pairs of real and fake; one discriminator has a title only where there are two.
 * @param {string[]} names
 * @returns {[string, [string, string]][]} */
function pairsOf(names) {
  const found = /** @type {Map<string, [string, string]>} */ (new Map());
  for (const name of names) {
    const key = name.replace(/(prob|score)_(real|fake)/, "$1"), title = key.split(" ").slice(1).join(" ");
    const pair = found.get(title) ?? ["", ""];
    pair[/_fake/.test(name) ? 1 : 0] = name;
    found.set(title, pair);
  }
  return [...found];
}
