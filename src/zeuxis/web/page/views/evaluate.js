// How good a run is: FID over the steps with its interval, the table of its evaluation, and the nearest training pictures.

import { stepChart } from "zeuxis/charts.js";
import { make, show } from "zeuxis/pictures.js";
import { nameOf } from "zeuxis/recipes.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {{name: string, steps: number[], values: number[], low: (number | null)[], high: (number | null)[], real: (number | null)[]}} Series */
/** @typedef {{name: string, value: number | null, low: number | null, high: number | null, real: number | null, better: string, of?: number}} Score */

const FAR = 0.75, FOOT = 0.08; // of the range of a score: how far below it the axis would have to reach; room below and above it
const LATER = 400; // ms after the last change of the picture in hand
const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** @param {number} count */
const grouped = (count) => count.toLocaleString("en");

/** @type {import("zeuxis/app.js").View} */
export const view = {
  id: "evaluate", title: "Evaluate",
  available: (info, engine) => engine.live && info.capabilities.includes("run"),
  mount: (root, page) => new Evaluate(root, page),
};

class Evaluate {
  /** @param {HTMLElement} root
   * @param {Page} page */
  constructor(root, page) {
    this.page = page;
    this.lane = page.engine.lane("scores");
    this.charts = make("div", { className: "score-charts" });
    this.made = /** @type {Map<string, ReturnType<typeof stepChart>>} */ (new Map());
    this.none = make("p", { className: "hint", textContent: "No score was recorded while it trained; train with --evaluate-every 2k to have them." });
    this.table = make("div", { className: "score-table" });
    const over = make("section", { className: "part over-time", "aria-label": "Scores over the steps" }, make("div", { className: "bar" }, make("h2", { textContent: "Scores over the steps" })), this.none, this.charts);
    const report = make("section", { className: "part report", "aria-label": "Evaluation" }, make("div", { className: "bar" }, make("h2", { textContent: "Evaluation" })), this.table);
    root.classList.add("evaluate");
    root.append(over, report);
    this.nearest = page.info.latent ? new NearestPictures(root, page) : null;
    page.on("theme", () => this.made.forEach((chart) => chart.restyle()));
  }

  async show() {
    this.nearest?.show();
    const said = await this.lane.ask("evaluate.history").catch((error) => this.page.trouble(error.message));
    if (!said) return;
    for (const series of said.fields.series) this.plot(series);
    this.none.hidden = said.fields.series.length > 0;
    this.table.replaceChildren(...reported(said.fields.report));
  }

  hide() { this.nearest?.hide(); }
  state() { return null; }
  restore() {}

  /** @param {Series} series */
  plot(series) {
    let chart = this.made.get(series.name);
    if (!chart) {
      const place = make("div", { className: "chart" });
      this.charts.append(place);
      this.made.set(series.name, (chart = stepChart(place, `${series.name}, lower is better`)));
    }
    const curves = [{ name: series.name, values: series.values }];
    const ends = [{ name: "95 % from", values: series.low, hidden: true }, { name: "to", values: series.high, hidden: true }];
    const real = series.real.some((value) => value !== null) ? [{ name: "training images", values: series.real, dash: true }] : [];
    const known = series.low.some((value) => value !== null);
    chart.show({ ...near(series), steps: series.steps, curves: /** @type {any} */ ([...curves, ...real, ...(known ? ends : [])]), ...(known ? { band: [2 + real.length, 1 + real.length] } : {}) });
  }
}

/** The range of a score alone, where the training images lie so far below that its course could not be seen; the title says so.
 * @param {Series} series
 * @returns {{range?: [number, number], note?: string}} */
function near({ values, low, high, real }) {
  const all = [...values, ...low, ...high].filter((value) => value !== null), least = Math.min(...all), most = Math.max(...all), wide = most - least;
  const others = real.filter((value) => value !== null), start = least - FOOT * wide;
  if (!others.length || !(wide > 0) || Math.max(...others) > least - FAR * wide) return {};
  return { range: [start, most + FOOT * wide], note: `; the axis begins at ${number.format(start)}, above the training images` };
}

/** The table that `zeuxis evaluate` wrote; else how to have one.
 * @param {{about: Record<string, any>, scores: Score[], in_words: string[], warnings: string[]} | null} report */
function reported(report) {
  if (!report) return [make("p", { className: "hint", textContent: "This run has no evaluation yet; zeuxis evaluate RUN writes one." })];
  const heads = ["score", "model", "95 % interval", "real images", "better"];
  const rows = report.scores.map((score) => make("tr", {}, make("th", { scope: "row", textContent: score.of ? `${score.name}, of ${score.of}` : score.name }),
    ...cells(score).map((text) => make("td", { textContent: text }))));
  const head = make("thead", {}, make("tr", {}, ...heads.map((text) => make("th", { scope: "col", textContent: text }))));
  const about = `${words(report.about.samples)} samples against ${report.about.against ?? "real images"}`;
  return [make("p", { className: "hint", textContent: about }), make("div", { className: "wide", tabIndex: 0, role: "region", "aria-label": "Scores" }, make("table", {}, head, make("tbody", {}, ...rows))),
    ...report.in_words.map((text) => make("p", { className: "in-words", textContent: text })),
    ...report.warnings.map((text) => make("p", { className: "warned", textContent: text }))];
}

/** @param {Score} score */
function cells({ value, low, high, real, better }) {
  return [words(value), low === null || high === null ? "" : `${words(low)} to ${words(high)}`, words(real), better];
}

/** @param {number | null | undefined} value */
const words = (value) => (value === null || value === undefined ? "" : number.format(value));

/** The training pictures nearest to the one in hand; their features are computed when somebody asks for the first time. */
class NearestPictures {
  /** @param {HTMLElement} root
   * @param {Page} page */
  constructor(root, page) {
    this.page = page;
    this.lane = page.engine.lane("nearest");
    this.asked = this.seen = false;
    this.later = 0;
    this.live = make("canvas", { className: "near-live", role: "img", "aria-label": "The picture in hand" });
    this.caption = make("p", { className: "hint" });
    this.bar = make("progress", { hidden: true, "aria-label": "Features of the training pictures" });
    this.words = make("p", { className: "hint", role: "status", textContent: "Is it copied? Compare the picture in hand with all pictures that the model was trained on." });
    this.start = make("button", { className: "strong", textContent: "Find the nearest", onclick: () => this.search() });
    this.found = make("ol", { className: "near-found" });
    const held = make("figure", { className: "near-held" }, this.live, make("figcaption", {}, this.caption));
    const bar = make("div", { className: "bar" }, make("h2", { textContent: "Nearest training pictures" }), make("span", { className: "push" }), this.start);
    root.append(make("section", { className: "part nearest", "aria-label": "Nearest training pictures" }, bar, this.words, this.bar, make("div", { className: "near-row" }, held, this.found)));
    page.on("hand", () => this.seen && this.changed());
  }

  show() {
    this.seen = true;
    this.changed();
  }

  hide() { this.seen = false; }

  changed() {
    clearTimeout(this.later);
    this.later = setTimeout(() => this.held(), LATER);
  }

  async held() {
    const hand = this.page.hand ?? { at: /** @type {[number, number]} */ ([0, 0]) };
    const image = await this.page.picture(hand).catch((error) => this.page.trouble(error.message));
    if (image) show(this.live, image);
    this.caption.textContent = nameOf(hand);
    if (this.asked) await this.search();
  }

  async search() {
    const hand = this.page.hand ?? { at: /** @type {[number, number]} */ ([0, 0]) };
    this.asked = true;
    this.start.hidden = true;
    try {
      await this.lane.stream("evaluate.nearest", { n: 1 }, await this.page.latent(hand), ({ fields, pictures }) => this.hear(fields, pictures));
    } catch (error) {
      this.asked = this.start.hidden = false;
      this.bar.hidden = true;
      this.page.trouble(/** @type {Error} */ (error).message);
    }
  }

  /** @param {Record<string, any>} fields
   * @param {ImageData[]} pictures */
  hear({ done_of: parts, distances, features, searched, images }, pictures) {
    if (parts) {
      const [done, of] = parts;
      this.bar.hidden = false;
      if (of) Object.assign(this.bar, { max: of, value: done });
      this.words.textContent = of ? `Features of the training pictures: ${done} of ${of}; they are kept for the next time.` : "Reading the training pictures.";
    } else if (distances) {
      this.bar.hidden = true;
      this.words.textContent = `The nearest of ${grouped(searched)}${searched < images ? ` of ${grouped(images)}` : ""} training pictures, by the distance of their ${features} features.`;
      this.found.replaceChildren(...pictures.map((image, k) => {
        const canvas = make("canvas", { role: "img", "aria-label": `Number ${k + 1}` });
        show(canvas, image);
        return make("li", {}, canvas, make("span", { textContent: words(distances[k]) }));
      }));
    }
  }
}
