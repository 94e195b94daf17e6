// The sliders that edit the picture in hand: in the words of the data, or along components of features.

import { make } from "zeuxis/pictures.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {import("zeuxis/directions.js").Direction} Direction */
/** @typedef {"attributes" | "components"} Kind */

const REACH = 3; // of a slider, in steps of its direction
const DEAD = 0.1; // a slider this near to its middle is off
const DOING = { attributes: "Finding the attributes of the data", components: "Finding components of features" };

/** A slider for each attribute that the model's data name; they come when the directions are known.
 * @param {Page} page
 * @param {() => void} changed */
export function mountSliders(page, changed) {
  let edits = /** @type {Record<string, number>} */ ({});
  const root = make("div", { className: "sliders" }), inputs = /** @type {Map<string, HTMLInputElement>} */ (new Map());
  const reset = make("button", { textContent: "Reset", className: "quiet", hidden: true, onclick: () => set({}, true) });
  const mark = () => {
    reset.hidden = !Object.keys(edits).length;
    for (const [key, input] of inputs) {
      input.value = String(edits[key] ?? 0);
      input.labels?.[0]?.classList.toggle("on", key in edits);
    }
  };
  /** @param {unknown} wanted
   * @param {boolean} [told] */
  const set = (wanted, told = false) => {
    const entries = wanted && typeof wanted === "object" ? Object.entries(wanted) : [];
    edits = Object.fromEntries(entries.filter(([, weight]) => Number.isFinite(weight) && weight));
    mark();
    if (told) changed();
  };
  /** @param {Direction} direction */
  const slider = ({ key, name }) => {
    const input = make("input", { type: "range", id: `edit-${key}`, min: String(-REACH), max: String(REACH), step: "0.05", value: "0" });
    input.oninput = () => {
      const weight = Number(input.value), { [key]: _, ...others } = edits;
      edits = Math.abs(weight) < DEAD ? others : { ...others, [key]: weight };
      reset.hidden = !Object.keys(edits).length;
      input.labels?.[0]?.classList.toggle("on", key in edits);
      changed();
    };
    input.ondblclick = () => set({ ...edits, [key]: 0 }, true);
    inputs.set(key, input);
    root.append(make("label", { htmlFor: input.id, textContent: name }), input);
  };
  search(page, root, (found) => {
    found.forEach(slider);
    mark();
  });
  return { root, reset, set, get edits() { return edits; } };
}

/** What the sliders move: the words of the data, or where it has none the components of features. The search is shown, and can be
 * stopped and taken up again.
 * @param {Page} page
 * @param {HTMLElement} root
 * @param {(found: Direction[]) => void} arrived */
function search(page, root, arrived) {
  const text = make("span", { className: "hint" }), button = make("button", { className: "quiet" });
  const state = make("p", { className: "search" }, text, button), { directions } = page;
  let now = /** @type {Kind} */ ("attributes");
  const tell = () => {
    const stage = directions.stages.get(now), stopped = directions.stopped.has(now);
    text.textContent = stopped ? `${DOING[now]}: stopped` : stage === undefined ? reason(page) : `${DOING[now]}: ${stage || "waiting"} ...`;
    button.textContent = stopped ? "Go on" : "Stop";
    button.hidden = !stopped && stage === undefined;
  };
  const look = async () => {
    for (now of /** @type {Kind[]} */ (["attributes", "components"])) {
      const found = await directions.of(now);
      if (found.length) return state.remove(), arrived(found);
      if (directions.stopped.has(now)) break;
    }
    tell();
  };
  button.onclick = () => (directions.stopped.has(now) ? look() : directions.stop(now));
  page.on("finding", (kind) => kind === now && tell());
  root.append(state);
  look();
}

/** Why there are no sliders, as a sentence.
 * @param {Page} page */
function reason({ directions, engine }) {
  const told = directions.reasons.get("components") ?? directions.reasons.get("attributes");
  return told && engine.live ? `No sliders here: ${told}.` : "";
}
