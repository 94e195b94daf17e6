// The rows of metrics of a run as they arrive, and how their names are shared out to charts.

/** @typedef {{name: string, label: string}} Named */

export const PROBABILITY = "Mean probability of “real”"; // the title of a chart

/** Columns by name; a part of the rows arrives at a time. */
export class Rows {
  constructor() {
    this.steps = /** @type {number[]} */ ([]);
    this.names = /** @type {string[]} */ ([]);
    this.columns = /** @type {Map<string, number[]>} */ (new Map());
  }

  /** @param {Record<string, any>} fields
   * @param {Float32Array} numbers of the rows from `start` on, one row after the other */
  take({ start, steps, names }, numbers) {
    this.steps.length = Math.min(start, this.steps.length);
    this.steps.push(...steps);
    this.names = names;
    names.forEach((/** @type {string} */ name, /** @type {number} */ k) => {
      const column = this.columns.get(name) ?? [];
      while (column.length < start) column.push(NaN); // a name that came late
      column.length = start;
      for (let i = 0; i < steps.length; i++) column.push(numbers[i * names.length + k]);
      this.columns.set(name, column);
    });
  }

  /** @param {string} name */
  values(name) {
    return this.columns.get(name) ?? [];
  }
}

/** The charts of metrics: probabilities, the losses of each player, the norms of gradients, and the others.
 * @param {string[]} names
 * @returns {{title: string, names: Named[]}[]} */
export function groupsOf(names) {
  const groups = /** @type {Map<string, Named[]>} */ (new Map());
  for (const name of names) {
    const found = group(name);
    if (found) groups.set(found[0], [...(groups.get(found[0]) ?? []), { name, label: found[1] }]);
  }
  for (const list of groups.values()) tidy(list);
  const order = (/** @type {string} */ title) => (title.startsWith("Mean") ? 0 : title.startsWith("Loss") ? 1 : title.startsWith("Gradient") ? 3 : 2);
  return [...groups].map(([title, list]) => ({ title, names: list })).sort((a, b) => order(a.title) - order(b.title));
}

/** Real before fake, so that both have their colours; the sum of one term goes without saying.
 * @param {Named[]} list */
function tidy(list) {
  const place = (/** @type {Named} */ { label }) => (/\breal\b/.test(label) ? 0 : /\bfake\b/.test(label) ? 1 : label === "loss" ? 3 : 2);
  list.sort((/** @type {Named} */ a, /** @type {Named} */ b) => place(a) - place(b));
  if (list.length === 2 && list[1].label === "loss") list.pop();
}

/** The chart of a metric, and its name there; null for one that another view shows.
 * @param {string} name
 * @returns {[string, string] | null} */
function group(name) {
  const cut = name.lastIndexOf("/"), player = cut < 0 ? "" : name.slice(0, cut), term = name.slice(cut + 1);
  if (player === "evaluation") return null;
  if (/^prob_/.test(term)) return [PROBABILITY, term.replace(/^prob_/, "on ")];
  if (/^score_/.test(term)) return ["Mean score of the critic", term.replace(/^score_/, "on ")];
  if (term === "grad_norm") return ["Gradient norms", player];
  if (name === "samples/diversity") return ["Diversity of the samples (real images: 1)", "diversity"];
  if (["ada", "growth", "path", "latent"].includes(player) || term === "r1_scale" || term === "wasserstein") return [words(name), term];
  return [`Losses of ${player || "the model"}`, term];
}

/** @param {string} name */
const words = (name) => name.replaceAll("/", " ").replaceAll("_", " ").replace(/^./, (first) => first.toUpperCase());

/** Seconds in words.
 * @param {number} seconds */
export function left(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}
