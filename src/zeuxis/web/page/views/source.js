// The source of a translation: a pad with the colours of the data, sources of the data to begin with, or a photograph.

import { Crop } from "zeuxis/crop.js";
import { Pad } from "zeuxis/pad.js";
import { make, show } from "zeuxis/pictures.js";
import { Photograph, picker } from "zeuxis/photograph.js";
import { mountTools } from "zeuxis/views/tools.js";
import { packedStrokes, unpackedStrokes } from "zeuxis/strokes.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {import("zeuxis/engine.js").Translation} Translation */
/** @typedef {import("zeuxis/pad.js").Colour} Colour */
/** @typedef {{example: number} | "plain" | "photo"} Base what the strokes are drawn on */

const WAYS = /** @type {const} */ ({ photo: "as it is", edges: "its edges", grey: "in grey", blur: "blurred", labels: "as regions of the palette" });
const HELP = "Arrow keys move the pen, Space puts it down or lifts it, Enter draws a dot, 1 to 9 choose a colour, the brackets the width, " +
  "B brush, F fill, P picks a colour, Control Z undoes.";

/** The pad with its tools, and what there is to begin with. */
export class Source {
  /** @param {HTMLElement} root of the view
   * @param {Page} page
   * @param {HTMLElement} direction the choice of it
   * @param {() => void} changed */
  constructor(root, page, direction, changed) {
    this.page = page;
    this.changed = changed;
    this.lane = page.engine.lane("source");
    this.way = /** @type {Translation | null} */ (null);
    this.base = /** @type {Base} */ ("plain");
    this.kind = "photo";
    this.first = this.count = 0; // of the examples in sight, and of all
    this.pad = new Pad({ drawn: () => this.changed(), picked: (colour) => this.tools.choose(colour), shortcut: (key) => this.shortcut(key) });
    this.pad.canvas.setAttribute("aria-label", `Pad. ${HELP}`);
    this.tools = mountTools(this.pad);
    this.photo = new Photograph(page);
    this.crop = new Crop({ changed: () => this.fromPhoto(), settled: () => this.fromPhoto() });
    this.crop.root.hidden = true;
    this.select = make("select", { id: "photo-way" });
    this.examples = make("div", { className: "row", role: "group", "aria-label": "Sources of the training data" });
    this.more = make("button", { textContent: "More", className: "outlined", onclick: () => this.load(this.first + this.examples.children.length) });
    this.ways = this.choice();
    this.data = make("div", { className: "sources", hidden: true }, make("div", { className: "bar" }, make("h3", { textContent: "From the data" }), this.more), this.examples);
    this.drawing = this.framed(direction);
    this.beginning = make("section", { className: "part beginning", "aria-label": "Begin with" }, this.data,
      make("div", { className: "photographed" }, picker(root, "or drop a photograph here, or paste it.", (file) => this.open(file)), this.ways, this.crop.root));
    page.on("theme", () => this.crop.draw());
  }

  /** What of a photograph becomes the source. */
  choice() {
    this.select.append(...Object.entries(WAYS).map(([value, text]) => new Option(text, value)));
    this.select.onchange = () => this.fromPhoto();
    return make("div", { className: "find", hidden: true }, make("label", { htmlFor: this.select.id, textContent: "The photograph" }), this.select);
  }

  /** @param {HTMLElement} direction */
  framed(direction) {
    const button = (/** @type {string} */ text, /** @type {() => void} */ onclick) => make("button", { textContent: text, onclick });
    return make("section", { className: "part drawing", "aria-label": "Source" },
      make("div", { className: "bar" }, make("h2", { textContent: "Source" }), direction, make("span", { className: "push" }),
        button("Undo", () => this.undo()), button("Clear", () => this.clear())),
      this.pad.root, this.tools.root);
  }

  /** @param {string} key
   * @returns {boolean} */
  shortcut(key) {
    if (key.toLowerCase() === "ctrl+z") {
      this.undo();
      return true;
    }
    return this.tools.key(key);
  }

  undo() {
    this.page.say(this.pad.undo() ? "Undone" : "Nothing to undo");
  }

  clear() {
    this.blank();
    this.page.say("The pad is plain");
  }

  /** @param {import("zeuxis/pad.js").Stroke[]} [strokes] */
  blank(strokes) {
    const size = this.way?.size ?? this.page.info.size, plain = new ImageData(size, size), [r, g, b] = this.tools.background;
    for (let i = 0; i < plain.data.length; i += 4) plain.data.set([r, g, b, 255], i);
    this.put(plain, "plain", strokes);
  }

  /** @param {ImageData} picture
   * @param {Base} base
   * @param {import("zeuxis/pad.js").Stroke[]} [strokes] */
  put(picture, base, strokes = []) {
    this.base = base;
    this.pad.begin(new ImageData(new Uint8ClampedArray(picture.data), picture.width, picture.height), strokes);
  }

  /** Turn to a direction: its palette, its sources, and one of them to begin with unless a picture is given.
   * @param {Translation} way
   * @param {ImageData | null} [picture] */
  async turn(way, picture = null) {
    this.way = way;
    if (picture) this.put(picture, "photo");
    else this.blank();
    const shown = await this.load(0);
    if (!shown || way !== this.way || picture || this.pad.strokes.length || this.base !== "plain") return;
    if (shown.length) this.put(shown[0], { example: 0 });
    else this.blank();
  }

  /** Sources of the data from one on.
   * @param {number} start
   * @returns {Promise<ImageData[] | null>} */
  async load(start) {
    const way = this.way, from = this.count ? start % this.count : start;
    try {
      const told = await this.lane.ask("translate.sources", { direction: way?.name, start: from });
      if (!told || way !== this.way) return null;
      const { kind, palette, count } = told.fields;
      this.first = from;
      this.count = count;
      this.kind = this.pad.canvas.dataset.kind = kind;
      this.tools.colours(palette, kind, way?.size ?? 64, !start);
      if (!start) this.select.value = told.fields.way !== "photo" ? told.fields.way : ["labels", "edges"].includes(kind) ? kind : "photo";
      this.list(told.pictures);
      return told.pictures;
    } catch (error) {
      this.page.trouble(/** @type {Error} */ (error).message);
      return null;
    }
  }

  /** @param {ImageData[]} pictures */
  list(pictures) {
    this.data.hidden = !pictures.length;
    this.more.hidden = this.count <= pictures.length;
    this.examples.replaceChildren(...pictures.map((picture, k) => {
      const number = (this.first + k) % this.count, canvas = make("canvas");
      show(canvas, picture);
      const onclick = () => this.put(picture, { example: number });
      return make("button", { className: "thumb", "aria-label": `Source ${number + 1} of ${this.count}`, onclick }, canvas);
    }));
  }

  /** @param {Blob} file */
  async open(file) {
    if (!(await this.photo.open(file))) return;
    this.crop.root.hidden = this.ways.hidden = false;
    this.crop.take(this.photo);
    this.fromPhoto();
  }

  /** The square of the photograph becomes the source. */
  async fromPhoto() {
    const photo = await this.photo.held(), way = this.select.value;
    if (!photo) return;
    const palette = way === "labels" && this.kind === "labels" ? { palette: this.tools.palette.flat() } : {};
    try {
      const told = await this.lane.ask("translate.photo", { photo, crop: this.crop.box, direction: this.way?.name, way, ...palette });
      if (told) this.put(told.pictures[0], "photo");
    } catch (error) {
      this.page.trouble(/** @type {Error} */ (error).message);
    }
  }

  show() {
    this.crop.draw();
  }

  /** What a link holds: the number of the example and the strokes; never pixels. */
  state() {
    return { base: this.base, strokes: this.pad.whole ? packedStrokes(this.pad.strokes) : [] };
  }

  /** @param {Translation} way
   * @param {any} state */
  async restore(way, state) {
    this.way = way;
    const { base } = state, strokes = unpackedStrokes(state.strokes, way.size), example = Number.isSafeInteger(base?.example) ? base.example : -1;
    const shown = await this.load(Math.max(0, example));
    if (!shown || way !== this.way) return;
    if (example >= 0 && shown.length) return this.put(shown[0], { example }, strokes);
    this.blank(base === "photo" ? [] : strokes);
    if (base === "photo") this.page.say("The photograph is not in the link; the pad is plain");
  }
}
