// Your photo: a photograph is cropped, and its latent found: at once by an encoder, else by a descent that one sees improve.

import { Crop } from "zeuxis/crop.js";
import { latentText } from "zeuxis/link.js";
import { draggable, make, savePng, show } from "zeuxis/pictures.js";
import { Photograph, picker } from "zeuxis/photograph.js";
import { isRecipe } from "zeuxis/recipes.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {import("zeuxis/frames.js").Answer} Answer */
/** @typedef {import("zeuxis/recipes.js").Found} Found */

const PLACES = /** @type {import("zeuxis/page.js").Place[]} */ (["A", "B", "C", "Start", "End"]);
const TITLES = ["Photo", "Reconstruction", "Difference"];
const AMPLIFIED = 2; // the difference

/** @type {import("zeuxis/app.js").View} */
export const view = {
  id: "photo",
  title: "Your photo",
  available: (info, engine) => engine.live && (info.capabilities.includes("encoder") || info.capabilities.includes("invert")),
  mount(root, page) {
    const photo = new YourPhoto(root, page);
    return {
      show: () => photo.crop.draw(),
      hide: () => photo.stop(),
      state: () => photo.found,
      restore: (state) => photo.restore(state),
    };
  },
};

class YourPhoto {
  /** @param {HTMLElement} root
   * @param {Page} page */
  constructor(root, page) {
    this.page = page;
    this.encodes = page.info.capabilities.includes("encoder");
    this.lane = page.engine.lane("found");
    this.photo = new Photograph(page);
    this.found = /** @type {Found | null} */ (null);
    this.turn = 0; // of the search that is under way
    // An encoder that takes many evaluations (diffusion) waits until the square rests.
    this.crop = new Crop({ changed: () => this.encodes && !page.rough && this.find(), settled: () => this.find() });
    this.shown = TITLES.map((title) => make("canvas", { role: "img", width: page.info.size, height: page.info.size, "aria-label": `${title}: none yet` }));
    this.told = make("p", { className: "told" });
    this.bar = make("progress", { max: 1, value: 0, hidden: true, "aria-label": "Progress of the search" });
    this.ending = make("button", { textContent: "Stop here", className: "outlined", hidden: true, onclick: () => this.stop() });
    this.does = this.actions();
    this.source = make("section", { className: "part empty", "aria-label": "Photograph" });
    this.frame(root);
    draggable(this.shown[1], () => this.found);
    page.on("theme", () => this.crop.draw());
  }

  /** @param {HTMLElement} root */
  frame(root) {
    const hint = "or drop one here, or paste it. It is held in memory and never written.";
    this.source.append(make("div", { className: "bar" }, make("h2", { textContent: "Your photo" })), picker(root, hint, (file) => this.open(file)), this.crop.root);
    const figures = TITLES.map((title, i) => make("figure", {}, this.shown[i], make("figcaption", { textContent: title })));
    const result = make("section", { className: "part", "aria-label": "Latent" }, make("div", { className: "bar" }, make("h2", { textContent: "In latent space" })),
      make("div", { className: "figures" }, ...figures,
        make("div", { className: "found" }, make("div", { className: "finding" }, this.bar, this.told, this.ending), this.does)));
    this.crop.root.hidden = true;
    root.classList.add("photo");
    root.append(this.source, result);
    this.say(this.encodes ? "The encoder gives the latent of a photograph at once." : "Gradient descent looks for the latent of a photograph; it takes some seconds.");
  }

  /** What can be done with the picture that was found; nothing needs a drag. */
  actions() {
    const button = (/** @type {string} */ text, /** @type {(found: Found) => void} */ does, className = "outlined") =>
      make("button", { textContent: text, className, disabled: true, onclick: () => this.found && does(this.found) });
    const { page } = this;
    return make("div", { className: "does" },
      button("Keep", (found) => this.keep(found), "strong"),
      button("Walk from it", (found) => page.take(found)),
      button("Save PNG", (found) => savePng(this.shown[1], `${page.info.name} ${found.name}`)),
      make("div", { className: "uses", role: "group", "aria-label": "Use the reconstruction as" }, make("span", { textContent: "Use as" }),
        ...PLACES.map((place) => button(place, (found) => this.use(place, found), ""))));
  }

  /** @param {Found} found */
  keep(found) {
    this.page.keep(found);
    this.say("Kept, beside the others under Explore.");
  }

  /** @param {import("zeuxis/page.js").Place} place
   * @param {Found} found */
  use(place, found) {
    this.page.use(place, found);
    this.say(`Used as ${place}, under Explore.`);
    this.page.say(`The reconstruction is ${place}`);
  }

  /** @param {Blob} file */
  async open(file) {
    this.say("Reading the photograph ...");
    const opened = await this.photo.open(file);
    if (!opened && !this.photo.preview) return this.say("Choose, drop or paste a photograph.");
    if (!opened) return this.say("");
    this.crop.root.hidden = false;
    this.source.classList.remove("empty");
    this.crop.canvas.setAttribute("aria-label", this.crop.canvas.getAttribute("aria-label")?.replace(/^Crop[^.]*/, `Crop of ${this.photo.name}`) ?? "");
    this.crop.take(this.photo);
    this.find();
  }

  /** Look for the latent of the square; a newer search takes the place of this one. */
  async find() {
    const turn = ++this.turn, photo = await this.photo.held(), fields = { photo, crop: this.crop.box };
    if (!photo || turn !== this.turn) return;
    this.ending.hidden = this.encodes;
    try {
      if (this.encodes) this.see(await this.lane.ask("photo.encode", fields));
      else await this.lane.stream("photo.invert", fields, null, (answer) => turn === this.turn && this.see(answer));
      if (turn === this.turn) this.done();
    } catch (error) {
      if (turn !== this.turn) return;
      this.done();
      this.page.trouble(/** @type {Error} */ (error).message);
    }
  }

  /** @param {Answer | null} answer with the square and its reconstruction */
  see(answer) {
    if (!answer?.pictures.length) return;
    const [before, after] = answer.pictures, { stage, step, steps, psnr, perceptual } = answer.fields;
    [before, after, difference(before, after)].forEach((image, i) => show(this.shown[i], image));
    this.found = { latent: latentText(answer.numbers), name: this.photo.name };
    const near = psnr === null ? "" : `PSNR ${psnr.toFixed(1)} dB`;
    this.bar.hidden = stage === "encoder";
    if (steps) this.bar.value = stage === "search" ? 0.25 * (step / steps) : 0.25 + 0.75 * (step / steps);
    const without = perceptual === false ? "; by pixels alone, as VGG16 is not here" : "";
    const words = { encoder: "Encoded", search: `Nearest of ${step} samples`, descent: `Step ${step} of ${steps} of the descent${without}` };
    this.say([words[/** @type {keyof typeof words} */ (stage)], near].filter(Boolean).join(", "));
    this.enable();
  }

  enable() {
    for (const button of this.does.querySelectorAll("button")) button.disabled = !this.found;
    TITLES.forEach((title, i) => this.shown[i].setAttribute("aria-label", this.found ? `${title} of ${this.found.name}` : `${title}: none yet`));
  }

  /** The search has come to its end. */
  done() {
    this.bar.hidden = this.ending.hidden = true;
    if (!this.encodes && this.found) this.page.say(`Found: ${this.told.textContent}`);
    this.page.remember();
  }

  /** End a descent where it is; what was found until now stays. */
  stop() {
    if (this.ending.hidden) return;
    this.turn++;
    this.lane.ask("stop").catch(() => null);
    this.done();
  }

  /** @param {string} text */
  say(text) {
    this.told.textContent = text;
  }

  /** A link holds the latent and never the photograph.
   * @param {unknown} state */
  async restore(state) {
    if (!isRecipe(state) || !("latent" in state)) return;
    this.found = state;
    this.enable();
    this.say("The link holds the reconstruction alone; the photograph is not in it.");
    const image = await this.page.picture(state).catch(() => null);
    if (image && this.found === state) show(this.shown[1], image);
  }
}

/** The mean absolute difference of the channels of two pictures, amplified; black where both agree.
 * @param {ImageData} one
 * @param {ImageData} other */
function difference(one, other) {
  const found = new ImageData(one.width, one.height), { data } = found;
  for (let i = 0; i < data.length; i += 4) {
    const apart = [0, 1, 2].reduce((sum, c) => sum + Math.abs(one.data[i + c] - other.data[i + c]), 0);
    data[i] = data[i + 1] = data[i + 2] = (AMPLIFIED * apart) / 3;
    data[i + 3] = 255;
  }
  return found;
}
