// Explore: the endless wall, the picture in hand, and below them arithmetic, the kept pictures and interpolation.

import { placeOf, seedAt } from "zeuxis/atlas.js";
import { make } from "zeuxis/pictures.js";
import { isRecipe } from "zeuxis/recipes.js";
import { mountArithmetic } from "zeuxis/views/arithmetic.js";
import { mountAxes } from "zeuxis/views/axes.js";
import { classChoice } from "zeuxis/views/class_choice.js";
import { mountHand } from "zeuxis/views/hand.js";
import { mountInterpolate } from "zeuxis/views/interpolate.js";
import { mountKept } from "zeuxis/views/kept.js";
import { Wall } from "zeuxis/wall.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {import("zeuxis/recipes.js").Recipe} Recipe */

const AROUND_ZOOM = 3; // a step of 1 along an axis is four pictures
const KEYS = "Arrow keys move, with Shift by a whole picture; plus and minus zoom; Home goes to seed 0; Enter keeps the picture.";

/** @type {import("zeuxis/app.js").View} */
export const view = {
  id: "explore",
  title: "Explore",
  available: (info) => !!info.latent,
  mount(root, page) {
    const explore = new Explore(root, page);
    return {
      show: () => explore.wall.resize(),
      hide: () => {},
      state: () => explore.state(),
      restore: (state) => explore.restore(state),
    };
  },
};

function sections() {
  const section = (/** @type {string} */ name, /** @type {string} */ title) => make("section", { className: `part ${name}`, "aria-label": title });
  return {
    wall: section("walls", "Wall"), hand: section("hand", "Picture in hand"), kept: section("kept", "Kept pictures"),
    arithmetic: section("arithmetic", "Arithmetic"), interpolate: section("interpolate", "Interpolate"),
  };
}

/** @param {number} value */
const rounded = (value) => Math.round(value * 1e4) / 1e4;

class Explore {
  /** @param {HTMLElement} root
   * @param {Page} page */
  constructor(root, page) {
    this.page = page;
    this.mode = /** @type {"atlas" | "around"} */ ("atlas");
    this.base = /** @type {Recipe} */ ({ at: [0, 0] });
    this.back = { x: 0, y: 0, zoom: 2 }; // where the atlas was left
    this.parts = sections();
    this.bar = this.controls();
    this.edges = ["left", "right", "top", "bottom"].map((side) => make("span", { className: `edge ${side}`, hidden: true }));
    this.wall = this.walled();
    page.walls.push(this.wall);
    root.classList.add("explore");
    root.append(...Object.values(this.parts));
    this.axes = mountAxes(this.bar.axes, page, () => this.mode === "around" && this.chart());
    this.hand = mountHand(this.parts.hand, page, () => this.look());
    this.arithmetic = mountArithmetic(this.parts.arithmetic, page);
    this.kept = mountKept(this.parts.kept, page);
    this.interpolate = mountInterpolate(this.parts.interpolate, page);
    page.on("take", (recipe) => this.take(recipe));
    page.on("theme", () => this.wall.restyle());
    page.on("label", () => {
      this.chart();
      this.arithmetic.draw();
      this.interpolate.show(this.interpolate.count);
    });
    this.chart();
  }

  /** The wall, with its pin and the words at its edges. */
  walled() {
    const { page } = this, narrow = innerWidth < 700;
    const canvas = make("canvas", { className: "wall", tabIndex: 0, role: "application", "aria-label": `Wall of pictures. ${KEYS}` });
    const pin = make("span", { className: "pin", "aria-hidden": "true" });
    this.parts.wall.append(this.bar.row, make("div", { className: "frame" }, canvas, pin, ...this.edges));
    return new Wall({
      canvas, pin, lanes: (page.rough ? ["wall"] : ["wall", "wall 1"]).map((name) => page.engine.lane(name)), size: page.space?.size ?? 1, rough: page.rough,
      tile: page.rough ? (narrow ? 96 : 128) : narrow ? 56 : 72,
      ahead: (spots, per) => this.mode === "atlas" && page.space?.foresee(spots.map(({ i, j }) => [i / per, j / per])),
      pinned: () => this.look(),
      entered: () => page.hand && page.keep(page.hand),
      failed: (error) => page.trouble(error.message),
    });
  }

  /** The bar above the wall. */
  controls() {
    const mode = (/** @type {string} */ text, /** @type {() => void} */ onclick) => make("button", { textContent: text, role: "radio", onclick });
    const modes = [mode("All seeds", () => this.turn("atlas")), mode("Around this one", () => this.turn("around"))];
    const choice = make("div", { className: "choice", role: "radiogroup", "aria-label": "What the wall shows" }, ...modes);
    choice.onkeydown = ({ key }) => {
      if (key.startsWith("Arrow")) this.turn(this.mode === "atlas" ? "around" : "atlas", true);
    };
    const axes = make("span", { className: "axes", hidden: true });
    const seed = make("input", { id: "seed", inputMode: "numeric", size: 6, value: "0", autocomplete: "off" });
    const find = make("form", { className: "find" }, make("label", { htmlFor: "seed", textContent: "Seed" }), seed);
    find.onsubmit = (event) => {
      event.preventDefault();
      this.find(seed.value);
    };
    const zoom = make("span", { className: "zoom" },
      make("button", { textContent: "−", "aria-label": "Zoom out", onclick: () => this.wall.zoomBy(-1) }),
      make("button", { textContent: "+", "aria-label": "Zoom in", onclick: () => this.wall.zoomBy(1) }));
    const hint = make("p", { className: "hint wide", textContent: "Drag to move, wheel to zoom, click to hold." });
    const row = make("div", { className: "bar" }, choice, axes, hint, make("span", { className: "push" }), ...classChoice(this.page, "explore"), find, zoom);
    return { row, modes, axes, hint };
  }

  /** @param {string} text a seed */
  find(text) {
    const seed = Number(text.trim());
    if (!Number.isSafeInteger(seed) || seed < 0) return this.page.trouble(`"${text}" is no seed; a seed is a whole number from 0 on`);
    this.take({ at: placeOf(seed) });
  }

  /** The picture under the pin, with the edits of the sliders. */
  look() {
    const { x, y } = this.wall.place;
    this.hand.hold(this.recipeAt(x, y));
  }

  /** @param {number} x
   * @param {number} y
   * @returns {Recipe} */
  recipeAt(x, y) {
    const [across, down] = this.axes.keys;
    if (this.mode === "atlas") return { at: [rounded(x), rounded(y)] };
    const steps = [[across, rounded(x)], [down, rounded(y)]].filter(([key, weight]) => key && weight);
    return steps.length ? { from: this.base, edits: Object.fromEntries(steps) } : this.base;
  }

  /** @param {"atlas" | "around"} mode
   * @param {boolean} [focus] */
  turn(mode, focus = false) {
    if (mode !== this.mode || mode === "around") {
      if (this.mode === "atlas") this.back = { ...this.wall.place, zoom: this.wall.zoom };
      if (mode === "around") this.around(this.page.hand ?? this.base);
      else this.atlas(this.back.x, this.back.y, this.back.zoom);
    }
    if (focus) this.bar.modes[mode === "atlas" ? 0 : 1].focus();
  }

  /** @param {number} x
   * @param {number} y
   * @param {number} [zoom] */
  atlas(x, y, zoom) {
    const turned = this.mode !== "atlas";
    this.mode = "atlas";
    if (turned) this.chart();
    this.wall.go(x, y, zoom ?? (turned ? this.back.zoom : undefined));
  }

  /** @param {Recipe} base */
  around(base) {
    this.base = base;
    this.mode = "around";
    this.hand.clear();
    this.axes.about(base);
    this.chart();
    this.wall.go(0, 0, AROUND_ZOOM);
  }

  /** Show a picture that was kept, added up or dropped.
   * @param {Recipe} recipe */
  take(recipe) {
    if ("at" in recipe) {
      this.hand.clear();
      return this.atlas(...recipe.at);
    }
    if ("from" in recipe && "at" in recipe.from) {
      this.hand.set(recipe.edits);
      return this.atlas(...recipe.from.at);
    }
    if (this.mode === "atlas") this.back = { ...this.wall.centre, zoom: this.wall.zoom };
    this.around(recipe);
  }

  /** The wall is drawn anew: its places mean something else. */
  chart() {
    const { page } = this, around = this.mode === "around";
    this.bar.modes.forEach((button, i) => {
      const chosen = around === (i === 1);
      button.setAttribute("aria-checked", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    });
    this.bar.axes.hidden = !around;
    this.bar.hint.hidden = around;
    const words = around ? this.axes.names.flatMap((name) => (name ? [`less ${name}`, `more ${name}`] : ["", ""])) : [];
    this.edges.forEach((edge, i) => Object.assign(edge, { hidden: !words[i], textContent: words[i] ?? "" }));
    this.wall.reset(
      (x, y) => page.latent(this.recipeAt(x, y)),
      (x, y) => (around ? null : seedAt(x, y)),
    );
    this.look();
  }

  state() {
    const { wall, mode, base, back } = this, { x, y } = wall.held ?? wall.centre;
    return {
      mode, base, back, at: [rounded(x), rounded(y)], zoom: wall.zoom, axes: this.axes.keys, edits: this.hand.edits,
      sum: this.arithmetic.state(), rows: this.interpolate.state(),
    };
  }

  /** @param {any} state from a link: checked piece by piece */
  restore(state) {
    const { wall } = this, number = (/** @type {unknown} */ v, /** @type {number} */ other) => (Number.isFinite(v) ? Number(v) : other);
    if (isRecipe(state.base)) this.base = state.base;
    this.mode = state.mode === "around" ? "around" : "atlas";
    this.back = { x: number(state.back?.x, 0), y: number(state.back?.y, 0), zoom: number(state.back?.zoom, 2) };
    this.axes.restore(state.axes, this.base);
    this.hand.set(state.edits);
    this.arithmetic.restore(state.sum);
    this.interpolate.restore(state.rows);
    this.chart();
    const zoom = Math.max(0, Math.min(7, Math.round(number(state.zoom, 2))));
    wall.go(number(state.at?.[0], 0), number(state.at?.[1], 0), zoom);
  }
}
