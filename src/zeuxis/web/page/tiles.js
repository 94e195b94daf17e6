// The pictures of a wall: fetched nearest to the middle first, in batches as long as their measured pace allows.

import { PREVIEW, mostAtOnce } from "zeuxis/decoding.js";
import { joined } from "zeuxis/space.js";

/** @typedef {{i: number, j: number}} Spot a place of the wall's lattice, in pictures */
/** @typedef {{bitmap: ImageBitmap, born: number, rough: boolean}} Tile */
/** @typedef {(x: number, y: number) => Promise<Float32Array>} LatentAt */

const GRID = 48; // every zoom has a whole part of it between two seeds, so that zooms share their pictures
const MOST_KEPT = 3000;
const QUICK = 14, LEISURE = 60; // ms a batch may take, while the picture in hand changes and while it does not
const HURRY = 500; // ms for which the last change of the picture in hand counts

/** @param {Spot} spot
 * @param {number} per */
const keyOf = ({ i, j }, per) => `${(i * GRID) / per},${(j * GRID) / per}`;

/** Pictures by place. */
export class Tiles {
  /** @param {import("zeuxis/engine.js").Lane[]} lanes one more than one keeps the engine at work while its pictures are taken in
   * @param {{size: number, rough: boolean, arrived: () => void, failed: (error: Error) => void, ahead?: (spots: Spot[], per: number) => void}} given
   *   `size` numbers in a latent; `rough` pictures first; `ahead` is told which places will be asked for */
  constructor(lanes, { size, rough, arrived, failed, ahead = () => {} }) {
    this.lanes = lanes;
    this.ahead = ahead;
    this.rough = rough;
    this.arrived = arrived;
    this.failed = failed;
    this.most = mostAtOnce(size);
    this.side = 64; // device pixels of a picture on the wall
    this.pace = 4; // ms a picture takes
    this.hurried = -Infinity;
    this.wanted = /** @type {Spot[]} */ ([]);
    this.per = 1;
    this.known = /** @type {Map<string, Tile>} */ (new Map());
    this.latentAt = /** @type {LatentAt | null} */ (null);
    this.working = /** @type {Set<import("zeuxis/engine.js").Lane>} */ (new Set());
    this.asked = /** @type {Set<string>} */ (new Set()); // places whose pictures are under way
    this.refining = false; // a rough picture is being replaced by the full one
  }

  /** The places mean something else from now on.
   * @param {LatentAt} latentAt */
  reset(latentAt) {
    this.latentAt = latentAt;
    for (const { bitmap } of this.known.values()) bitmap.close();
    this.known = new Map();
    this.asked = new Set();
  }

  /** @param {number} i
   * @param {number} j
   * @param {number} per */
  at(i, j, per) {
    return this.known.get(keyOf({ i, j }, per));
  }

  /** Fill these places, the first ones first; a newer wish takes the place of an older one.
   * @param {Spot[]} spots
   * @param {number} per */
  want(spots, per) {
    this.wanted = spots;
    this.per = per;
    this.ahead(spots, per);
    if (this.refining) this.lanes[0].stop();
    for (const lane of this.lanes) if (!this.working.has(lane)) this.begin(lane);
  }

  /** @param {import("zeuxis/engine.js").Lane} lane that is idle */
  begin(lane) {
    this.working.add(lane);
    this.work(lane).finally(() => {
      this.working.delete(lane);
      if (this.latentAt && this.missing(1).length) this.begin(lane); // wished for at the last moment
    });
  }

  /** Whether every place wished for has its final picture. */
  get whole() {
    return this.wanted.every(({ i, j }) => this.at(i, j, this.per)?.rough === false);
  }

  /** The places to ask for next: those without a picture, then those with a rough one; none that are under way.
   * @param {number} most */
  missing(most) {
    const found = /** @type {Spot[]} */ ([]);
    for (const spot of this.wanted) {
      if (!this.at(spot.i, spot.j, this.per) && !this.asked.has(keyOf(spot, this.per)) && found.push(spot) === most) break;
    }
    if (found.length || !this.rough) return found;
    return this.wanted.filter(({ i, j }) => this.at(i, j, this.per)?.rough).slice(0, 1);
  }

  /** The picture in hand is changing: batches stay short, since it waits behind one. */
  hurry() {
    this.hurried = performance.now();
  }

  /** @param {import("zeuxis/engine.js").Lane} lane */
  async work(lane) {
    for (;;) {
      const time = performance.now() - this.hurried < HURRY ? QUICK : LEISURE;
      const spots = this.missing(Math.max(1, Math.min(this.most, Math.round(time / this.pace))));
      if (!spots.length || !this.latentAt) return;
      await this.fill(lane, spots, this.latentAt, this.per).catch((error) => {
        this.failed(error);
        this.wanted = []; // what the engine refuses once, it refuses again; the next wish may be another
      });
    }
  }

  /** @param {import("zeuxis/engine.js").Lane} lane
   * @param {Spot[]} spots
   * @param {LatentAt} latentAt
   * @param {number} per */
  async fill(lane, spots, latentAt, per) {
    const { asked } = this, keys = spots.map((spot) => keyOf(spot, per));
    for (const key of keys) asked.add(key);
    try {
      await this.take(lane, spots, latentAt, per);
    } finally {
      for (const key of keys) asked.delete(key);
    }
  }

  /** @param {import("zeuxis/engine.js").Lane} lane
   * @param {Spot[]} spots
   * @param {LatentAt} latentAt
   * @param {number} per */
  async take(lane, spots, latentAt, per) {
    const { known } = this, refine = !!this.at(spots[0].i, spots[0].j, per);
    const z = joined(await Promise.all(spots.map(({ i, j }) => latentAt(i / per, j / per))));
    const images = await (refine ? this.refined(lane, z) : this.drawn(lane, z, spots.length));
    if (!images) return;
    const bitmaps = await Promise.all(images.map((image) => this.scaled(image)));
    spots.forEach(({ i, j }, k) => {
      const key = keyOf({ i, j }, per), before = known.get(key);
      known.set(key, { bitmap: bitmaps[k], born: before ? -Infinity : performance.now(), rough: this.rough && !refine });
      before?.bitmap.close();
    });
    this.forget();
    this.arrived();
  }

  /** @param {import("zeuxis/engine.js").Lane} lane
   * @param {Float32Array} z
   * @param {number} n */
  async drawn(lane, z, n) {
    const images = await lane.decode(z, n, this.rough ? PREVIEW : {});
    this.pace += 0.3 * (lane.spent / n - this.pace);
    return images;
  }

  /** The full picture of one place; a newer wish ends it.
   * @param {import("zeuxis/engine.js").Lane} lane
   * @param {Float32Array} z */
  async refined(lane, z) {
    let images = /** @type {ImageData[] | null} */ (null);
    this.refining = true;
    await lane.stream("decode", { n: 1 }, z, ({ pictures }) => (images = pictures.length ? pictures : null))
      .finally(() => (this.refining = false));
    return images;
  }

  /** Scaled once, when it arrives: painting while the wall moves is then a plain copy.
   * @param {ImageData} image */
  scaled(image) {
    return createImageBitmap(image, { resizeWidth: this.side, resizeHeight: this.side, resizeQuality: "high" });
  }

  /** The pictures seen longest ago make room. */
  forget() {
    if (this.known.size <= MOST_KEPT) return;
    const inSight = new Set(this.wanted.map(({ i, j }) => this.at(i, j, this.per)));
    for (const [key, tile] of this.known) {
      if (this.known.size <= MOST_KEPT * 0.7) break;
      if (inSight.has(tile)) continue;
      tile.bitmap.close();
      this.known.delete(key);
    }
  }
}
