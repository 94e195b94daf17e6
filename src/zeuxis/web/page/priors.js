// Latents of seeds: drawn here where the prior is normal, asked of the engine where it is the model's own. Cached.

import { randn } from "zeuxis/random.js";

/** @typedef {{shape: number[], space: string, prior: "normal" | "server", mixture: "norm" | "sum", length: number}} LatentInfo */

const MOST = 64; // seeds in a request
const FLOATS = 8e6; // numbers kept, 32 MB

/** A function from seeds to latents. Seeds that come together are asked together.
 * @param {LatentInfo | null} latent
 * @param {(seeds: number[]) => Promise<Float32Array>} ask gives one latent after the other
 * @returns {(seeds: number[]) => Promise<Float32Array[]>} */
export function latentsOfSeeds(latent, ask) {
  const size = (latent?.shape ?? [0]).reduce((a, b) => a * b, 1), most = Math.max(256, FLOATS / size);
  const known = /** @type {Map<number, Promise<Float32Array>>} */ (new Map());
  const together = latent?.prior === "server" ? gathered(ask, size) : async (/** @type {number} */ seed) => randn(seed, size);
  /** @param {number} seed */
  const one = (seed) => {
    let found = known.get(seed);
    if (!found) {
      if (known.size >= most) known.clear();
      known.set(seed, (found = together(seed)));
      found.catch(() => known.delete(seed));
    }
    return found;
  };
  return (seeds) => Promise.all(seeds.map(one));
}

/** @param {(seeds: number[]) => Promise<Float32Array>} ask
 * @param {number} size
 * @returns {(seed: number) => Promise<Float32Array>} */
function gathered(ask, size) {
  let waiting = /** @type {{seed: number, done: (z: Float32Array) => void, failed: (error: unknown) => void}[]} */ ([]);
  let asking = false;
  const work = async () => {
    asking = true;
    await null; // all that is asked for at this moment comes first
    while (waiting.length) {
      const now = waiting.splice(0, MOST);
      await ask(now.map(({ seed }) => seed)).then(
        (numbers) => now.forEach(({ done }, k) => done(numbers.slice(k * size, (k + 1) * size))),
        (error) => now.forEach(({ failed }) => failed(error)),
      );
    }
    asking = false;
  };
  return (seed) => new Promise((done, failed) => {
    waiting.push({ seed, done, failed });
    if (!asking) work();
  });
}
