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

/** Pictures by place. */
export class Tiles {
  /** @param {import("zeuxis/engine.js").Lane} lane
   * @param {{size: number, rough: boolean, arrived: () => void, failed: (error: Error) => void}} given
   *   `size` numbers in a latent; `rough` pictures first */
  constructor(lane, { size, rough, arrived, failed }) {
    this.lane = lane;
    this.rough = rough;
    this.arrived = arrived;
    this.failed = failed;
    this.most = mostAtOnce(size);
    this.side = 64; // device pixels of a picture on the wall
    this.pace = 4; // ms a picture takes
    this.hurried = 0;
    this.wanted = /** @type {Spot[]} */ ([]);
    this.per = 1;
    this.known = /** @type {Map<string, Tile>} */ (new Map());
    this.latentAt = /** @type {LatentAt | null} */ (null);
    this.working = /** @type {Promise<void> | null} */ (null);
    this.refining = false; // a rough picture is being replaced by the full one
  }

  /** The places mean something else from now on.
   * @param {LatentAt} latentAt */
  reset(latentAt) {
    this.latentAt = latentAt;
    for (const { bitmap } of this.known.values()) bitmap.close();
    this.known = new Map();
  }

  /** @param {number} i
   * @param {number} j
   * @param {number} per */
  at(i, j, per) {
    return this.known.get(`${(i * GRID) / per},${(j * GRID) / per}`);
  }

  /** Fill these places, the first ones first; a newer wish takes the place of an older one.
   * @param {Spot[]} spots
   * @param {number} per */
  want(spots, per) {
    this.wanted = spots;
    this.per = per;
    if (this.refining) this.lane.stop();
    if (!this.working) this.working = this.work().finally(() => {
      this.working = null;
      if (this.latentAt && this.missing(1).length) this.want(this.wanted, this.per); // wished for at the last moment
    });
  }

  /** Whether every place wished for has its final picture. */
  get whole() {
    return !this.missing(1).length;
  }

  /** The places to ask for next: those without a picture, then those with a rough one.
   * @param {number} most */
  missing(most) {
    const empty = this.wanted.filter(({ i, j }) => !this.at(i, j, this.per)).slice(0, most);
    if (empty.length || !this.rough) return empty;
    return this.wanted.filter(({ i, j }) => this.at(i, j, this.per)?.rough).slice(0, 1);
  }

  /** The picture in hand is changing: batches stay short, since it waits behind one. */
  hurry() {
    this.hurried = performance.now();
  }

  async work() {
    for (;;) {
      const time = performance.now() - this.hurried < HURRY ? QUICK : LEISURE;
      const spots = this.missing(Math.max(1, Math.min(this.most, Math.round(time / this.pace))));
      if (!spots.length || !this.latentAt) return;
      await this.fill(spots, this.latentAt, this.per).catch((error) => {
        this.failed(error);
        this.wanted = []; // what the engine refuses once, it refuses again; the next wish may be another
      });
    }
  }

  /** @param {Spot[]} spots
   * @param {LatentAt} latentAt
   * @param {number} per */
  async fill(spots, latentAt, per) {
    const { known } = this, refine = !!this.at(spots[0].i, spots[0].j, per);
    const z = joined(await Promise.all(spots.map(({ i, j }) => latentAt(i / per, j / per))));
    const images = await (refine ? this.refined(z) : this.drawn(z, spots.length));
    if (!images) return;
    const bitmaps = await Promise.all(images.map((image) => this.scaled(image)));
    spots.forEach(({ i, j }, k) => {
      const key = `${(i * GRID) / per},${(j * GRID) / per}`, before = known.get(key);
      known.set(key, { bitmap: bitmaps[k], born: before ? -Infinity : performance.now(), rough: this.rough && !refine });
      before?.bitmap.close();
    });
    this.forget();
    this.arrived();
  }

  /** @param {Float32Array} z
   * @param {number} n */
  async drawn(z, n) {
    const began = performance.now(), images = await this.lane.decode(z, n, this.rough ? PREVIEW : {});
    this.pace += 0.3 * ((performance.now() - began) / n - this.pace);
    return images;
  }

  /** The full picture of one place; a newer wish ends it.
   * @param {Float32Array} z */
  async refined(z) {
    let images = /** @type {ImageData[] | null} */ (null);
    this.refining = true;
    await this.lane.stream("decode", { n: 1 }, z, ({ pictures }) => (images = pictures.length ? pictures : null))
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
