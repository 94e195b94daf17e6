// Latent space: a picture's posterior as bars that can be dragged, and a map of the encoded training pictures.

import { painter } from "zeuxis/decoding.js";
import { latentText } from "zeuxis/link.js";
import { draggable, droppable, make, show } from "zeuxis/pictures.js";
import { isRecipe, nameOf, ofSeed } from "zeuxis/recipes.js";
import { Bars } from "zeuxis/views/latent_bars.js";
import { EncodedMap } from "zeuxis/views/latent_map.js";
import { pixelsOfFile } from "zeuxis/views/own_pixels.js";
import { same } from "zeuxis/views/seed_field.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {import("zeuxis/recipes.js").Recipe} Recipe */
/** @typedef {import("zeuxis/frames.js").Answer} Answer */

/** @type {import("zeuxis/app.js").View} */
export const view = {
  id: "latent-space",
  title: "Latent space",
  available: (info, engine) => engine.live && info.capabilities.includes("vae"),
  mount(root, page) {
    const space = new LatentSpaceView(root, page);
    return {
      show: () => space.show(),
      hide: () => {},
      state: () => space.state(),
      restore: (state) => space.restore(state),
    };
  },
};

class LatentSpaceView {
  /** @param {HTMLElement} root
   * @param {Page} page */
  constructor(root, page) {
    this.page = page;
    this.recipe = /** @type {Recipe | null} */ (null); // of the picture that is looked at; null: a training picture or a file
    this.index = /** @type {number | null} */ (null); // of the training picture
    this.seen = /** @type {Recipe | null} */ (null);
    this.moved = false;
    this.asked = 0;
    this.lane = page.engine.lane("posterior");
    this.paint = painter(page.engine, "hand", false);
    this.given = this.picture("given", "The picture");
    this.decoded = this.picture("reconstruction", "Its reconstruction");
    this.title = make("h3");
    this.bars = new Bars((z) => this.follow(z));
    this.tools = this.buttons();
    this.map = new EncodedMap(page, (index) => this.look(index));
    this.frame(root);
    this.measure();
  }

  /** @param {HTMLElement} root */
  frame(root) {
    root.classList.add("latent-space");
    const file = make("input", { type: "file", accept: "image/*", className: "unseen", tabIndex: -1, "aria-hidden": "true" });
    file.onchange = () => file.files?.[0] && this.open(file.files[0]);
    const choose = make("button", { textContent: "Open a picture", onclick: () => file.click() });
    const posterior = make("section", { className: "part posterior", "aria-label": "Posterior" },
      make("div", { className: "bar" }, make("h2", { textContent: "Posterior" }), this.title, make("span", { className: "push" }), file, choose),
      make("div", { className: "duo" }, this.given.figure, this.decoded.figure, this.tools.root),
      make("p", { className: "hint", textContent: "A band is a latent's mean and spread given the picture, a number its KL divergence in nats. Drag a mean and the picture follows." }),
      this.bars.root);
    droppable(posterior, (recipe) => this.set(recipe));
    this.files(posterior);
    draggable(this.given.canvas, () => this.recipe);
    draggable(this.decoded.canvas, () => this.found());
    root.append(posterior);
    const known = this.page.info.capabilities.includes("run"); // else nobody knows the training pictures
    root.classList.toggle("alone", !known);
    if (known) root.append(this.map.root);
  }

  /** @param {HTMLElement} place where files can be dropped */
  files(place) {
    place.addEventListener("dragover", (event) => event.dataTransfer?.types.includes("Files") && event.preventDefault());
    place.addEventListener("drop", (event) => {
      const file = event.dataTransfer?.files[0];
      if (!file) return;
      event.preventDefault();
      this.open(file);
    });
  }

  /** @param {string} name
   * @param {string} label */
  picture(name, label) {
    const { size } = this.page.info, canvas = make("canvas", { role: "img", width: size, height: size, "aria-label": label });
    const caption = make("figcaption", { textContent: name });
    return { canvas, caption, figure: make("figure", {}, canvas, caption) };
  }

  buttons() {
    const take = make("button", { textContent: "Take into hand", onclick: () => this.found() && this.page.take(/** @type {Recipe} */ (this.found())) });
    const back = make("button", { textContent: "Back to the means", disabled: true, onclick: () => this.reset() });
    const prior = make("button", { textContent: "All latents at 0", onclick: () => this.bars.set(new Float32Array(this.bars.count)) });
    const told = make("p", { className: "hint" });
    return { root: make("div", { className: "acts" }, take, back, prior, told), back, told };
  }

  /** Which latents the model uses: asked once. */
  async measure() {
    const found = await this.page.engine.lane("usage").ask("posterior.usage").catch((error) => this.page.trouble(error.message));
    if (!found) return;
    this.bars.order(found.numbers, found.fields.active);
    const used = found.numbers.filter((kl) => kl > found.fields.active).length;
    this.tools.told.textContent = `${used} of ${found.numbers.length} latents are used`;
  }

  show() {
    const { hand } = this.page;
    if (hand && !same(hand, this.seen)) {
      this.seen = hand;
      this.set(hand);
    } else if (!this.recipe && this.index === null) this.set(ofSeed(0));
    if (this.map.root.isConnected) this.map.show();
  }

  /** @param {Recipe} recipe */
  async set(recipe) {
    const turn = this.turn(recipe, null);
    try {
      const z = await this.page.latent(recipe);
      if (turn === this.asked) this.receive(turn, await this.lane.ask("posterior", {}, z), nameOf(recipe));
    } catch (error) {
      this.page.trouble(/** @type {Error} */ (error).message);
    }
  }

  /** @param {number} index of a training picture */
  async look(index) {
    const turn = this.turn(null, index);
    const found = await this.page.engine.lane("look").ask("encodings.look", { index }).catch((error) => this.page.trouble(error.message));
    const named = Object.entries(found?.fields.named ?? {}).map(([name, group]) => (name === "class" ? group : group.startsWith("not ") ? "" : group)).filter(Boolean);
    if (found) this.receive(turn, found, `training picture ${index}${named.length ? `: ${named.join(", ")}` : ""}`);
  }

  /** @param {Blob} file */
  async open(file) {
    const turn = this.turn(null, null), { size, channels } = this.page.info;
    try {
      const pixels = await pixelsOfFile(file, size, channels);
      this.receive(turn, await this.lane.ask("posterior", { given: "pixels", h: size, w: size, c: channels }, pixels), "your picture");
    } catch (error) {
      this.page.trouble(`this picture cannot be read: ${/** @type {Error} */ (error).message}`);
    }
  }

  /** @param {Recipe | null} recipe
   * @param {number | null} index */
  turn(recipe, index) {
    this.recipe = recipe;
    this.index = index;
    this.map.choose(index);
    this.page.remember();
    return ++this.asked;
  }

  /** @param {number} turn
   * @param {Answer | null | void} answer
   * @param {string} name */
  receive(turn, answer, name) {
    if (turn !== this.asked || !answer) return;
    const count = answer.numbers.length / 3, row = (/** @type {number} */ k) => answer.numbers.slice(k * count, (k + 1) * count);
    show(this.given.canvas, answer.pictures[0]);
    show(this.decoded.canvas, answer.pictures[1]);
    this.title.textContent = name;
    this.mean = row(0);
    this.bars.fill(this.mean, row(1), row(2));
    this.turned(false);
    this.page.say(`Posterior of ${name}`);
  }

  /** A latent was moved: its picture is drawn before all others.
   * @param {Float32Array} z */
  async follow(z) {
    this.turned(true);
    await this.paint(z, 1, ([image]) => show(this.decoded.canvas, image)).catch((error) => this.page.trouble(error.message));
  }

  reset() {
    if (!this.mean) return;
    this.bars.set(this.mean);
    this.turned(false);
  }

  /** @param {boolean} moved */
  turned(moved) {
    this.moved = moved;
    this.tools.back.disabled = !moved;
    this.decoded.caption.textContent = moved ? "moved latents" : "reconstruction";
  }

  /** The picture of the latents as they stand.
   * @returns {Recipe | null} */
  found() {
    if (!this.bars.count) return null;
    return { latent: latentText(this.bars.z), name: this.moved ? "moved latents" : `reconstruction of ${this.title.textContent}` };
  }

  state() {
    return { recipe: this.recipe, index: this.index, map: this.map.state() };
  }

  /** @param {any} state from a link: checked piece by piece */
  restore(state) {
    this.map.restore(state.map);
    this.seen = this.page.hand;
    if (Number.isSafeInteger(state.index) && state.index >= 0) this.look(state.index);
    else if (isRecipe(state.recipe)) this.set(state.recipe);
  }
}
