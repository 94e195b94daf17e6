// The latent space of a model: from recipes to latents, and from latents to pictures.

import { cornersAt } from "zeuxis/atlas.js";
import { combine, deviation, interpolated, mean, moved, neighbour, toNorm } from "zeuxis/latent.js";
import { textLatent } from "zeuxis/link.js";

/** @typedef {import("zeuxis/recipes.js").Recipe} Recipe */
/** @typedef {import("zeuxis/priors.js").LatentInfo} LatentInfo */
/** @typedef {(name: string, from: Recipe) => Promise<Float32Array>} StepOf the step of a direction's name */

const SIGNS = [1, -1, 1];
const SPREAD_SEEDS = 64; // draws of a prior that is not normal, for its standard deviation

/** The latents of recipes; each is made once, as long as its recipe is held. */
export class LatentSpace {
  /** @param {LatentInfo} latent
   * @param {(seeds: number[]) => Promise<Float32Array[]>} latents
   * @param {StepOf} stepOf */
  constructor(latent, latents, stepOf) {
    this.mixture = latent.mixture;
    this.length = latent.length;
    this.normal = latent.prior === "normal";
    this.size = latent.shape.reduce((a, b) => a * b, 1);
    this.latents = latents;
    this.stepOf = stepOf;
    this.deviation = /** @type {Promise<Float32Array> | null} */ (null);
    this.known = /** @type {WeakMap<Recipe, Promise<Float32Array>>} */ (new WeakMap());
  }

  /** @param {Recipe} recipe
   * @returns {Promise<Float32Array>} */
  of(recipe) {
    let found = this.known.get(recipe);
    if (!found) {
      this.known.set(recipe, (found = this.make(recipe)));
      found.catch(() => this.known.delete(recipe));
    }
    return found;
  }

  /** @param {Recipe} recipe
   * @returns {Promise<Float32Array>} */
  async make(recipe) {
    if ("at" in recipe) return this.place(...recipe.at);
    if ("sum" in recipe) return this.sum(recipe.sum, recipe.beside ?? 4);
    if ("latent" in recipe) return this.whole(textLatent(recipe.latent));
    if ("between" in recipe) {
      const [from, to] = await Promise.all(recipe.between.map((end) => this.of(end)));
      return interpolated(from, to, [recipe.weight], this.mixture)[0];
    }
    const steps = await Promise.all(Object.entries(recipe.edits).map(async ([name, weight]) =>
      /** @type {[number, Float32Array]} */ ([weight, await this.stepOf(name, recipe.from)])));
    return moved(await this.of(recipe.from), steps, this.mixture);
  }

  /** @param {number} x
   * @param {number} y */
  async place(x, y) {
    const corners = cornersAt(x, y, this.mixture);
    const latents = await this.latents(corners.map((corner) => corner.seed));
    return combine(latents, corners.map((corner) => corner.weight));
  }

  /** Ask for the latents of places all at once, where each request goes to a server.
   * @param {[number, number][]} places */
  foresee(places) {
    if (this.normal) return;
    const seeds = places.flatMap(([x, y]) => cornersAt(x, y, this.mixture).map((corner) => corner.seed));
    this.latents([...new Set(seeds)]).catch(() => null); // whoever needs them is told
  }

  /** The average of a term, as it is shown: as long as a latent is, where the prior is normal. One picture is itself.
   * @param {Recipe[]} term */
  async average(term) {
    if (term.length === 1) return this.of(term[0]);
    return this.rescaled(mean(await Promise.all(term.map((one) => this.of(one)))));
  }

  /** A - B + C, or a neighbour of it; an empty term counts nothing.
   * @param {Recipe[][]} terms
   * @param {number} beside */
  async sum(terms, beside) {
    const used = terms.map((term, i) => ({ term, sign: SIGNS[i] })).filter(({ term }) => term.length);
    if (!used.length) return new Float32Array(this.size);
    const averages = await Promise.all(used.map(async ({ term }) => mean(await Promise.all(term.map((one) => this.of(one))))));
    const result = this.rescaled(combine(averages, used.map(({ sign }) => sign)));
    return beside === 4 ? result : neighbour(result, await this.spread(), beside);
  }

  /** @param {Float32Array} z */
  rescaled(z) {
    return this.mixture === "norm" ? toNorm(z, this.length) : z;
  }

  /** The standard deviation of each number of a latent. */
  spread() {
    this.deviation ??= this.normal
      ? Promise.resolve(new Float32Array(this.size).fill(1))
      : this.latents(Array.from({ length: SPREAD_SEEDS }, (_, seed) => seed)).then(deviation);
    return this.deviation;
  }

  /** @param {Float32Array} z a latent from outside */
  whole(z) {
    if (z.length !== this.size) throw new Error(`the latent has ${z.length} numbers; this model's have ${this.size}`);
    return z;
  }
}

/** Latents one after the other, as a request carries them.
 * @param {Float32Array[]} latents */
export function joined(latents) {
  const size = latents[0].length, z = new Float32Array(size * latents.length);
  latents.forEach((latent, k) => z.set(latent, k * size));
  return z;
}
