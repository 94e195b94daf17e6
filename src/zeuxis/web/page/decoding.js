// Pictures of latents: a rough one first where the full one takes many evaluations (diffusion), and many recipes at once.

import { joined } from "zeuxis/space.js";

/** @typedef {import("zeuxis/engine.js").Engine} Engine */
/** @typedef {import("zeuxis/recipes.js").Recipe} Recipe */
/** @typedef {(images: ImageData[], rough: boolean) => void} Shown */

/** What asks for a rough picture. */
export const PREVIEW = { op: "decode.preview", steps: 4 };
const STILL = 250; // ms without a newer request, after which a rough picture is replaced by the full one
const BYTES = 900_000; // of latents in one request; the server takes a megabyte
const MOST = 16;

/** How many latents of a size go into one request.
 * @param {number} size */
export const mostAtOnce = (size) => Math.max(1, Math.min(MOST, Math.floor(BYTES / 4 / size)));

/** Pictures of latents, in as many requests as their size needs; null where a newer call took their place.
 * @param {import("zeuxis/engine.js").Lane} lane
 * @param {Float32Array} z
 * @param {number} n
 * @param {import("zeuxis/engine.js").DecodeOptions} [options]
 * @returns {Promise<ImageData[] | null>} */
export async function decoded(lane, z, n, options = {}) {
  const found = /** @type {ImageData[]} */ ([]);
  for (const part of parts(z, n)) {
    const images = await lane.decode(part.z, part.n, options);
    if (!images) return null;
    found.push(...images);
  }
  return found;
}

/** @param {Float32Array} z
 * @param {number} n */
function* parts(z, n) {
  const size = z.length / n, most = mostAtOnce(size);
  for (let at = 0; at < n; at += most) yield { z: z.subarray(at * size, (at + most) * size), n: Math.min(most, n - at) };
}

/** A lane that shows pictures, rough ones first where there are any; a newer call takes the place of an older one.
 * @param {Engine} engine
 * @param {string} name
 * @param {boolean} rough
 * @returns {(z: Float32Array, n: number, shown: Shown) => Promise<void>} */
export function painter(engine, name, rough) {
  const lane = engine.lane(name);
  let newest = 0;
  return async (z, n, shown) => {
    const turn = ++newest, images = await decoded(lane, z, n, rough ? PREVIEW : {});
    if (images) shown(images, rough);
    if (!images || !rough) return;
    await new Promise((go) => setTimeout(go, STILL));
    const full = /** @type {ImageData[]} */ ([]);
    for (const part of parts(z, n)) {
      if (turn !== newest) return;
      // As a stream, since a newer request then ends it at once instead of waiting for it.
      await lane.stream("decode", { n: part.n }, part.z, ({ pictures }) => full.push(...pictures));
    }
    if (full.length === n) shown(full, false);
  };
}

/** One picture of each recipe, drawn once; recipes that come together go out together.
 * @param {Engine} engine
 * @param {import("zeuxis/space.js").LatentSpace} space
 * @param {boolean} rough
 * @returns {(recipe: Recipe) => Promise<ImageData>} */
export function pictureOf(engine, space, rough) {
  const lane = engine.lane("thumbs"), options = rough ? PREVIEW : {};
  const known = /** @type {WeakMap<Recipe, Promise<ImageData>>} */ (new WeakMap());
  let waiting = /** @type {{z: Float32Array, done: (image: ImageData) => void, failed: (error: unknown) => void}[]} */ ([]);
  let asking = false;
  const work = async () => {
    asking = true;
    await new Promise((go) => setTimeout(go));
    while (waiting.length) {
      const now = waiting.splice(0, mostAtOnce(space.size));
      await lane.decode(joined(now.map(({ z }) => z)), now.length, options).then(
        (images) => now.forEach(({ done }, k) => images && done(images[k])),
        (error) => now.forEach(({ failed }) => failed(error)),
      );
    }
    asking = false;
  };
  /** @param {Float32Array} z
   * @returns {Promise<ImageData>} */
  const asked = (z) => new Promise((done, failed) => {
    waiting.push({ z, done, failed });
    if (!asking) work();
  });
  return (recipe) => {
    let found = known.get(recipe);
    if (!found) {
      known.set(recipe, (found = space.of(recipe).then(asked)));
      found.catch(() => known.delete(recipe));
    }
    return found;
  };
}
