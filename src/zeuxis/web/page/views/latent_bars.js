// The latents of a picture as bars: a band of mean and spread, and a mean that can be dragged. The most used come first.

import { make } from "zeuxis/pictures.js";

const REACH = 4; // standard deviations of the prior on both sides
const FIRST = 24; // bars in sight before the others are asked for
const MOST = 512; // bars in sight

/** @typedef {{row: HTMLElement, slider: HTMLInputElement, said: HTMLElement}} Bar */

export class Bars {
  /** @param {(z: Float32Array) => void} moved */
  constructor(moved) {
    this.moved = moved;
    this.z = new Float32Array();
    this.bars = /** @type {Map<number, Bar>} */ (new Map()); // made when they come in sight
    this.given = /** @type {{mean: Float32Array, spread: Float32Array, kl: Float32Array}} */ ({ mean: this.z, spread: this.z, kl: this.z });
    this.sorted = /** @type {number[]} */ ([]); // latents, the most used first
    this.used = Infinity; // how many of them are used
    this.list = make("div", { className: "bars" });
    this.rest = make("div", { className: "bars" });
    this.idle = make("div", { className: "idle", hidden: true }, make("p", { className: "hint", textContent: "Not used: the posterior stays at the prior." }), this.rest);
    this.more = make("button", { className: "quiet", hidden: true, onclick: () => this.open() });
    this.all = false;
    this.root = make("div", {}, this.list, this.idle, this.more);
  }

  get count() {
    return this.z.length;
  }

  /** @param {Float32Array} kl of each latent, over many pictures
   * @param {number} active what a latent has that is used */
  order(kl, active) {
    this.sorted = Array.from(kl.keys()).sort((a, b) => kl[b] - kl[a]);
    this.used = this.sorted.filter((latent) => kl[latent] > active).length;
    this.arrange();
  }

  /** A picture's posterior.
   * @param {Float32Array} mean
   * @param {Float32Array} spread
   * @param {Float32Array} kl */
  fill(mean, spread, kl) {
    const fresh = this.z.length !== mean.length;
    this.z = mean.slice();
    this.given = { mean, spread, kl };
    if (fresh && this.sorted.length !== mean.length) this.sorted = Array.from(mean.keys());
    for (const latent of this.bars.keys()) this.dress(latent);
    if (fresh) this.arrange();
  }

  /** The band, the number and the place of a bar.
   * @param {number} latent */
  dress(latent) {
    const { mean, spread, kl } = this.given, bar = this.bars.get(latent);
    if (!bar) return;
    const share = (/** @type {number} */ value) => `${Math.max(0, Math.min(100, 50 + 50 * value / REACH))}%`;
    bar.row.style.setProperty("--low", share(mean[latent] - spread[latent]));
    bar.row.style.setProperty("--high", share(mean[latent] + spread[latent]));
    bar.said.textContent = kl[latent].toFixed(2);
    bar.said.title = `KL divergence from the prior: ${kl[latent].toFixed(3)} nats; mean ${mean[latent].toFixed(2)}, spread ${spread[latent].toFixed(2)}`;
    this.place(latent);
  }

  /** @param {Float32Array} z */
  set(z) {
    this.z = z.slice();
    for (const latent of this.bars.keys()) this.place(latent);
    this.moved(this.z);
  }

  /** @param {number} latent */
  row(latent) {
    let bar = this.bars.get(latent);
    if (!bar) {
      this.bars.set(latent, (bar = this.bar(latent)));
      this.dress(latent);
    }
    return bar.row;
  }

  /** @param {number} latent
   * @returns {Bar} */
  bar(latent) {
    const slider = make("input", { type: "range", min: String(-REACH), max: String(REACH), step: "0.02", id: `latent-${latent}` });
    slider.oninput = () => {
      this.z[latent] = Number(slider.value);
      this.place(latent);
      this.moved(this.z);
    };
    const said = make("span", { className: "kl" });
    const label = make("label", { htmlFor: slider.id }, "z", make("sub", { textContent: String(latent + 1) }));
    return { row: make("div", { className: "latent-bar" }, label, slider, said), slider, said };
  }

  /** @param {number} latent */
  place(latent) {
    const slider = this.bars.get(latent)?.slider;
    if (slider) slider.value = String(this.z[latent]);
    slider?.setAttribute("aria-valuetext", this.z[latent].toFixed(2));
  }

  open() {
    this.all = !this.all;
    this.arrange();
  }

  arrange() {
    if (!this.count) return;
    const used = this.sorted.slice(0, this.used), unused = this.sorted.slice(this.used), shown = used.slice(0, this.all ? MOST : FIRST);
    const beside = this.all ? unused.slice(0, MOST - shown.length) : [];
    this.list.replaceChildren(...shown.map((latent) => this.row(latent)));
    this.rest.replaceChildren(...beside.map((latent) => this.row(latent)));
    this.idle.hidden = !beside.length;
    const hidden = used.length - Math.min(FIRST, used.length);
    this.more.hidden = !hidden && !unused.length;
    const words = [hidden && `${hidden} more`, unused.length && `${unused.length} that are not used`].filter(Boolean);
    this.more.textContent = this.all ? "Show fewer" : `Show ${words.join(", and ")}`;
  }
}
