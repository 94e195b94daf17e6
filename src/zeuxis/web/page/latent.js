// Latents as vectors: mixed, interpolated, moved, added. Pure functions of Float32Arrays; they equal `zeuxis.explore`.

import { rand } from "zeuxis/random.js";

/** @typedef {Float32Array} Latent */
/** @typedef {"norm" | "sum"} Mixture how weights are divided: by their Euclidean norm (a Gaussian prior), or their sum */

export const PERTURBATION = 0.25; // of neighbours, in the units of the DCGAN paper's latents, uniform from -1 to 1

/** z += weight * other, in place.
 * @param {Latent} z
 * @param {Latent} other
 * @param {number} [weight] */
export function add(z, other, weight = 1) {
  for (let i = 0; i < z.length; i++) z[i] += weight * other[i];
  return z;
}

/** @param {Latent} z */
export function norm(z) {
  let sum = 0;
  for (const value of z) sum += value * value;
  return Math.sqrt(sum);
}

/** The latent rescaled to a norm; a zero latent stays zero.
 * @param {Latent} z
 * @param {number} wanted */
export function toNorm(z, wanted) {
  const factor = wanted / Math.max(norm(z), 1e-12);
  return z.map((value) => value * factor);
}

/** @param {Latent[]} latents */
export const mean = (latents) => combine(latents, latents.map(() => 1 / latents.length));

/** The weighted sum of latents.
 * @param {Latent[]} latents
 * @param {number[]} weights */
export function combine(latents, weights) {
  const z = new Float32Array(latents[0].length);
  latents.forEach((latent, i) => add(z, latent, weights[i]));
  return z;
}

/** Weights divided by their Euclidean norm or by their sum.
 * @param {number[]} weights
 * @param {Mixture} mixture */
export function divided(weights, mixture) {
  const whole = mixture === "norm" ? Math.hypot(...weights) : weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / whole);
}

/** The straight line, z1 at weight 1 and z2 at weight 0.
 * @param {Latent} z1
 * @param {Latent} z2
 * @param {number} weight */
export const linear = (z1, z2, weight) => combine([z1, z2], [weight, 1 - weight]);

/** Spherical interpolation, z1 at weight 1 and z2 at weight 0; the norm goes straight (White 2016).
 * @param {Latent} z1
 * @param {Latent} z2
 * @param {number} weight */
export function slerp(z1, z2, weight) {
  const a = norm(z1), b = norm(z2);
  if (weight === 1) return z1.slice();
  if (weight === 0) return z2.slice();
  if (!a || !b) return linear(z1, z2, weight);
  const [start, turn, angle] = plane(z1, a, z2, b), turned = (1 - weight) * angle;
  const long = weight * a + (1 - weight) * b, cosine = Math.cos(turned), sine = Math.sin(turned);
  return z1.map((_, i) => long * (cosine * start[i] + sine * turn[i]));
}

/** The unit vector of z1, the one across it towards z2, and the angle between z1 and z2. Opposite vectors span no
 * plane: the perpendicular nearest the axis that z1 leans on least serves.
 * @param {Latent} z1
 * @param {number} a
 * @param {Latent} z2
 * @param {number} b
 * @returns {[Float64Array, Float64Array, number]} */
function plane(z1, a, z2, b) {
  const start = Float64Array.from(z1, (value) => value / a), other = Float64Array.from(z2, (value) => value / b);
  const cosine = dot(start, other);
  let across = other.map((value, i) => value - cosine * start[i]);
  const sine = Math.sqrt(dot(across, across));
  if (sine <= 1e-5) {
    const least = start.reduce((best, value, i) => (Math.abs(value) < Math.abs(start[best]) ? i : best), 0);
    across = start.map((value, i) => (i === least ? 1 : 0) - start[least] * value);
  }
  const length = Math.sqrt(dot(across, across));
  return [start, across.map((value) => value / length), Math.atan2(sine, cosine)];
}

/** @param {Float64Array} a
 * @param {Float64Array} b */
const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

/** From z1 to z2 at weights from 1 to 0: spherical where the mixture is by norm, straight elsewhere.
 * @param {Latent} z1
 * @param {Latent} z2
 * @param {number[]} weights
 * @param {Mixture} mixture */
export function interpolated(z1, z2, weights, mixture) {
  return weights.map((weight) => (mixture === "norm" ? slerp : linear)(z1, z2, weight));
}

/** The weights of so many columns, from 1 (the first end) down to 0 (the other).
 * @param {number} columns */
export const columnWeights = (columns) => Array.from({ length: columns }, (_, i) => 1 - i / (columns - 1));

/** Latents of a looped animation through all key latents, slower at each of them.
 * @param {Latent[]} keys
 * @param {number} frames
 * @param {Mixture} mixture */
export function loop(keys, frames, mixture) {
  const mix = mixture === "norm" ? slerp : linear;
  return Array.from({ length: frames }, (_, i) => {
    const time = (i / frames) * keys.length, leg = Math.floor(time), part = time - leg;
    return mix(keys[leg], keys[(leg + 1) % keys.length], 1 - part * part * (3 - 2 * part));
  });
}

/** A latent after weighted steps; by norm it keeps its own, as Gaussian latents need.
 * @param {Latent} z
 * @param {[number, Latent][]} steps
 * @param {Mixture} mixture */
export function moved(z, steps, mixture) {
  const done = z.slice();
  for (const [weight, step] of steps) if (weight) add(done, step, weight);
  return mixture === "norm" && steps.some(([weight]) => weight) ? toNorm(done, norm(z)) : done;
}

/** Neighbour k of nine around a latent, the latent itself at k = 4: `surroundings` of zeuxis.explore.arithmetic.
 * @param {Latent} z
 * @param {Latent} spread the standard deviation of each number
 * @param {number} k
 * @param {number} [seed] */
export function neighbour(z, spread, k, seed = 0) {
  if (k === 4) return z.slice();
  const steps = rand(seed, 9 * z.length).subarray(k * z.length, (k + 1) * z.length);
  return z.map((value, i) => value + (steps[i] * 2 - 1) * PERTURBATION * Math.sqrt(3) * spread[i]);
}

/** The standard deviation of each number over latents.
 * @param {Latent[]} latents */
export function deviation(latents) {
  const middle = mean(latents), sum = new Float64Array(middle.length);
  for (const z of latents) z.forEach((value, i) => (sum[i] += (value - middle[i]) ** 2));
  return Float32Array.from(sum, (value) => Math.sqrt(value / (latents.length - 1)));
}
