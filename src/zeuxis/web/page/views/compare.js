// Several models beside each other: each a row, the same places of the atlas in columns, one pin for all.

import { decoded } from "zeuxis/decoding.js";
import { joined, LatentSpace } from "zeuxis/space.js";
import { nameOfPlace, placeOf, seedAt } from "zeuxis/atlas.js";
import { make, show } from "zeuxis/pictures.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {import("zeuxis/engine.js").Info} Info */
/** @typedef {{space: LatentSpace, canvases: HTMLCanvasElement[], model: number}} Row */

const FEW = 3; // models, whose pictures are larger
const PER = [1, 2, 3, 4, 6, 8]; // pictures from one seed to the next
const HEAD = /^(FID|precision|recall)\[/; // the scores at the head of a row
const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** @type {import("zeuxis/app.js").View} */
export const view = {
  id: "compare", title: "Compare",
  available: (info, engine) => engine.live && engine.infos.filter((one) => one.latent).length > 1,
  mount: (root, page) => new Compare(root, page),
};

class Compare {
  /** @param {HTMLElement} root
   * @param {Page} page */
  constructor(root, page) {
    this.page = page;
    this.lane = page.engine.lane("compare");
    this.pin = { x: 0, y: 0 };
    this.zoom = 2;
    this.turn = 0;
    this.seen = false;
    this.caption = make("p", { className: "hint", "aria-live": "polite" });
    this.seed = make("input", { id: "compare-seed", inputMode: "numeric", size: 6, autocomplete: "off" });
    this.rows = /** @type {Row[]} */ ([]);
    this.grid = make("div", { className: "compared", role: "application", tabIndex: 0, "aria-label": "The same places of latent space in each model: arrows move, plus and minus zoom, Home goes to seed 0, Enter takes the picture into hand" });
    this.columns = page.infos.filter(({ latent }) => latent).length > FEW ? 7 : 5; // odd: the pin is the one in the middle
    this.grid.style.setProperty("--columns", String(this.columns));
    page.infos.forEach((info, model) => info.latent && this.add(info, model));
    root.classList.add("compare");
    root.append(make("section", { className: "part", "aria-label": "Compare" }, this.bar(), this.grid));
    this.grid.onkeydown = (event) => this.key(event);
    page.on("label", () => this.seen && this.paint());
    this.listen();
  }

  bar() {
    const find = make("form", { className: "find" }, make("label", { htmlFor: "compare-seed", textContent: "Seed" }), this.seed);
    find.onsubmit = (event) => {
      event.preventDefault();
      const seed = Number(this.seed.value);
      if (Number.isInteger(seed) && seed >= 0) this.go(...placeOf(seed));
    };
    const zoom = make("span", { className: "zoom" }, make("button", { textContent: "−", "aria-label": "Farther", onclick: () => this.near(-1) }), make("button", { textContent: "+", "aria-label": "Nearer", onclick: () => this.near(1) }));
    return make("div", { className: "bar" }, make("h2", { textContent: "The same places in each model" }), this.caption, make("span", { className: "push" }), find, zoom);
  }

  /** @param {Info} info
   * @param {number} model */
  add(info, model) {
    if (!info.latent) return;
    const engine = this.page.engine, scores = make("p", { className: "scores" });
    const space = new LatentSpace(info.latent, (seeds) => engine.latents(seeds, model), () => Promise.reject(new Error("no directions here")));
    const canvases = Array.from({ length: this.columns }, (_, k) => make("canvas", { width: info.size, height: info.size, className: k === (this.columns - 1) / 2 ? "pinned" : "", role: "img" }));
    canvases.forEach((canvas, k) => (canvas.onclick = () => this.moved || this.go(this.pin.x + this.offset(k), this.pin.y)));
    const head = make("div", { className: "compared-head" }, make("b", { textContent: info.name }), make("p", { className: "hint", textContent: `${info.family}, ${info.size} pixels` }), scores);
    this.grid.append(make("div", { className: "compared-row", role: "group", "aria-label": info.name }, head, ...canvases));
    this.rows.push({ space, canvases, model });
    if (info.capabilities.includes("run")) this.score(model, scores);
  }

  /** @param {number} model
   * @param {HTMLElement} place */
  async score(model, place) {
    const said = await this.page.engine.lane(`scores ${model % 4}`).ask("evaluate.history", { model }).catch(() => null);
    const scores = said?.fields.report?.scores ?? [], last = said?.fields.series?.[0];
    const named = scores.filter((/** @type {any} */ one) => HEAD.test(one.name)), first = named.length ? named : scores.slice(0, 3);
    const shown = first.map((/** @type {any} */ one) => `${one.name} ${number.format(one.value)}${one.low === null ? "" : ` (${number.format(one.low)} to ${number.format(one.high)})`}`);
    if (!shown.length && last) shown.push(`${last.name} ${number.format(last.values.at(-1))} at step ${last.steps.at(-1)}`);
    place.replaceChildren(...shown.map((/** @type {string} */ text) => make("span", { textContent: text })));
  }

  get per() { return PER[this.zoom]; }

  /** @param {number} column */
  offset(column) { return (column - (this.columns - 1) / 2) / this.per; }

  show() {
    this.seen = true;
    const hand = this.page.hand;
    if (!this.turn && hand && "at" in hand) this.pin = { x: hand.at[0], y: hand.at[1] };
    this.paint();
  }

  hide() { this.seen = false; }
  state() { return { at: [this.pin.x, this.pin.y], zoom: this.zoom }; }

  /** @param {any} state */
  restore({ at, zoom }) {
    if (Number.isInteger(zoom) && PER[zoom]) this.zoom = zoom;
    if (Array.isArray(at) && at.length === 2 && at.every((one) => Number.isFinite(one) && Math.abs(one) < 5e7)) {
      this.pin = { x: at[0], y: at[1] };
      this.turn = 1;
    }
  }

  /** @param {number} x
   * @param {number} y */
  go(x, y) {
    this.pin = { x, y };
    this.page.remember();
    this.paint();
  }

  /** @param {number} step */
  near(step) {
    this.zoom = Math.min(PER.length - 1, Math.max(0, this.zoom + step));
    this.go(this.pin.x, this.pin.y);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const { x, y } = this.pin, far = (event.shiftKey ? 1 : 1 / this.per);
    const move = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] }[event.key];
    if (!move && !["+", "-", "Home", "Enter"].includes(event.key)) return;
    event.preventDefault();
    if (event.key === "Enter") return this.page.take({ at: [x, y] });
    if (move) this.go(x + move[0], y + move[1]);
    else if (event.key === "Home") this.go(0, 0);
    else this.near(event.key === "+" ? 1 : -1);
  }

  /** A drag moves the pin of all rows; the wheel zooms. */
  listen() {
    let from = /** @type {{x: number, y: number, pin: {x: number, y: number}} | null} */ (null);
    this.moved = false;
    this.grid.onpointerdown = (event) => {
      from = { x: event.clientX, y: event.clientY, pin: this.pin };
      this.moved = false;
    };
    this.grid.onpointermove = (event) => {
      if (!from || !event.buttons) return;
      const side = this.rows[0].canvases[0].clientWidth * this.per, dx = event.clientX - from.x, dy = event.clientY - from.y;
      if (Math.hypot(dx, dy) < 5 && !this.moved) return;
      this.moved = true;
      this.go(from.pin.x - dx / side, event.pointerType === "touch" ? from.pin.y : from.pin.y - dy / side);
    };
    this.grid.onpointerup = this.grid.onpointercancel = () => (from = null);
    this.grid.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && Math.abs(event.deltaY) < 1) return;
      event.preventDefault();
      this.near(event.deltaY < 0 ? 1 : -1);
    }, { passive: false });
  }

  /** All rows, the middle column being the pin; a newer call ends an older one. */
  async paint() {
    const turn = ++this.turn, { x, y } = this.pin, name = nameOfPlace(x, y);
    this.caption.textContent = name;
    this.seed.value = Number.isInteger(x) && Number.isInteger(y) ? String(seedAt(x, y)) : "";
    for (const { space, canvases, model } of this.rows) {
      const latents = await Promise.all(canvases.map((_, k) => space.place(x + this.offset(k), y)));
      if (turn !== this.turn || !this.seen) return;
      const images = await decoded(this.lane, joined(latents), latents.length, { model }).catch((error) => this.page.trouble(error.message));
      if (!images) return;
      images.forEach((image, k) => {
        show(canvases[k], image);
        canvases[k].setAttribute("aria-label", nameOfPlace(x + this.offset(k), y));
      });
    }
  }
}
