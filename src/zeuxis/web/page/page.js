// The page's own state, which all views share: the model, the picture in hand, the pictures kept, and what it says.

import { pictureOf } from "zeuxis/decoding.js";
import { Directions } from "zeuxis/directions.js";
import { LatentSpace } from "zeuxis/space.js";

/** @typedef {import("zeuxis/engine.js").Engine} Engine */
/** @typedef {import("zeuxis/recipes.js").Recipe} Recipe */
/** @typedef {"A" | "B" | "C" | "Start" | "End"} Place where a picture can be used */
/** @typedef {{hand: Recipe, kept: null, take: Recipe, use: {place: Place, recipe: Recipe}, theme: null, tab: string, changed: null,
 *   open: string, mount: string, leave: null, label: number, finding: import("zeuxis/directions.js").Kind}} Events */

export class Page {
  /** @param {Engine} engine */
  constructor(engine) {
    this.engine = engine;
    this.infos = engine.infos;
    this.info = engine.infos[0];
    this.rough = this.info.capabilities.includes("diffusion");
    this.hand = /** @type {Recipe | null} */ (null);
    this.kept = /** @type {Recipe[]} */ ([]);
    this.walls = /** @type {import("zeuxis/wall.js").Wall[]} */ ([]); // for whoever measures or drives the page
    this.events = new EventTarget();
    this.space = this.info.latent && new LatentSpace(this.info.latent, engine.latents, (name, from) => this.directions.step(name, from));
    this.directions = new Directions(engine, this.space, (kind) => this.tell("finding", kind));
    this.picture = this.drawn();
  }

  /** Pictures of recipes, each drawn once.
   * @returns {(recipe: Recipe) => Promise<ImageData | null>} */
  drawn() {
    return this.space ? pictureOf(this.engine, this.space, this.rough) : async () => null;
  }

  /** The class of all pictures from now on; -1: none. Everything is drawn again.
   * @param {number} label */
  choose(label) {
    if (label === this.engine.label) return;
    this.engine.label = label;
    this.picture = this.drawn();
    this.tell("label", label);
    this.remember();
  }

  /** @param {Recipe} recipe
   * @returns {Promise<Float32Array>} */
  latent(recipe) {
    return this.space ? this.space.of(recipe) : Promise.reject(new Error("this model has no latent space"));
  }

  /** @template {keyof Events} K
   * @param {K} name
   * @param {(told: Events[K]) => void} told */
  on(name, told) {
    this.events.addEventListener(name, (event) => told(/** @type {CustomEvent} */ (event).detail));
  }

  /** @template {keyof Events} K
   * @param {K} name
   * @param {Events[K]} detail */
  tell(name, detail) {
    this.events.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** The picture in hand from now on.
   * @param {Recipe} recipe */
  hold(recipe) {
    this.hand = recipe;
    this.tell("hand", recipe);
    this.remember();
  }

  /** Show a picture on the wall and take it into hand.
   * @param {Recipe} recipe */
  take(recipe) {
    this.tell("open", "explore");
    this.tell("take", recipe);
  }

  /** The kept recipe that is equal to one, if there is one.
   * @param {Recipe | null} recipe */
  keptAs(recipe) {
    const text = JSON.stringify(recipe);
    return this.kept.find((one) => one === recipe || JSON.stringify(one) === text);
  }

  /** @param {Recipe} recipe */
  keep(recipe) {
    if (this.keptAs(recipe)) return this.say("Already kept");
    this.kept.unshift(recipe);
    this.tell("kept", null);
    this.say("Kept");
    this.remember();
  }

  /** @param {Recipe} recipe */
  discard(recipe) {
    this.kept = this.kept.filter((one) => one !== recipe);
    this.tell("kept", null);
    this.say("Removed");
    this.remember();
  }

  /** Put a picture into the arithmetic or at an end of the interpolation.
   * @param {Place} place
   * @param {Recipe} recipe */
  use(place, recipe) {
    this.tell("mount", "explore");
    this.tell("use", { place, recipe });
  }

  /** Something of the view has changed: the link is written again. */
  remember() {
    this.tell("changed", null);
  }

  /** For a screen reader, politely.
   * @param {string} text */
  say(text) {
    const said = document.getElementById("said");
    if (said) said.textContent = text;
  }

  /** An error in sight; empty: it is over.
   * @param {string} text */
  trouble(text) {
    const place = document.getElementById("trouble"), words = document.getElementById("trouble-text");
    if (!place || !words) return;
    place.hidden = !text;
    words.textContent = text;
  }

  /** @returns {"light" | "dark"} */
  theme() {
    return document.documentElement.dataset.theme === "dark" ? "dark" : "light";
  }
}
