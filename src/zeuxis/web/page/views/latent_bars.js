// The latents of a picture as bars: a band of mean and spread, and a mean that can be dragged. The most used come first.

import { make } from "zeuxis/pictures.js";

const REACH = 4; // standard deviations of the prior on both sides
const FIRST = 24; // bars in sight before the others are asked for

/** @typedef {{row: HTMLElement, slider: HTMLInputElement, said: HTMLElement}} Bar */

export class Bars {
  /** @param {(z: Float32Array) => void} moved */
  constructor(moved) {
    this.moved = moved;
    this.z = new Float32Array();
    this.bars = /** @type {Bar[]} */ ([]);
    this.sorted = /** @type {number[]} */ ([]); // latents, the most used first
    this.used = Infinity; // how many of them are used
    this.list = make("div", { className: "bars" });
    this.rest = make("div", { className: "bars unused", hidden: true });
    this.more = make("button", { className: "quiet", hidden: true, onclick: () => this.open() });
    this.all = false;
    this.root = make("div", {}, this.list, this.more, this.rest);
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
    if (fresh) {
      this.bars = Array.from(mean.keys(), (latent) => this.bar(latent));
      if (this.sorted.length !== mean.length) this.sorted = Array.from(mean.keys());
      this.arrange();
    }
    this.bars.forEach(({ row, said }, latent) => {
      const share = (/** @type {number} */ value) => `${Math.max(0, Math.min(100, 50 + 50 * value / REACH))}%`;
      row.style.setProperty("--low", share(mean[latent] - spread[latent]));
      row.style.setProperty("--high", share(mean[latent] + spread[latent]));
      said.textContent = kl[latent].toFixed(2);
      said.title = `KL divergence from the prior: ${kl[latent].toFixed(3)} nats; mean ${mean[latent].toFixed(2)}, spread ${spread[latent].toFixed(2)}`;
      this.place(latent);
    });
  }

  /** @param {Float32Array} z */
  set(z) {
    this.z = z.slice();
    this.bars.forEach((_, latent) => this.place(latent));
    this.moved(this.z);
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
    this.bars[latent].slider.value = String(this.z[latent]);
    this.bars[latent].slider.setAttribute("aria-valuetext", this.z[latent].toFixed(2));
  }

  open() {
    this.all = !this.all;
    this.arrange();
  }

  arrange() {
    if (!this.bars.length) return;
    const used = this.sorted.slice(0, this.used), unused = this.sorted.slice(this.used), first = this.all ? used : used.slice(0, FIRST);
    this.list.replaceChildren(...first.map((latent) => this.bars[latent].row));
    this.rest.replaceChildren(...unused.map((latent) => this.bars[latent].row));
    this.rest.hidden = !this.all || !unused.length;
    const hidden = used.length - first.length;
    this.more.hidden = !this.all && !hidden && !unused.length;
    const words = [hidden && `${hidden} more`, unused.length && `${unused.length} that are not used`].filter(Boolean);
    this.more.textContent = this.all ? "Show fewer" : `Show ${words.join(", and ")}`;
  }
}
