// Directions of latent space by name: attributes of the data, components of features, local components of one picture, and
// random ones, which are there at once.

/** @typedef {import("zeuxis/engine.js").Engine} Engine */
/** @typedef {import("zeuxis/frames.js").Answer} Answer */
/** @typedef {import("zeuxis/recipes.js").Recipe} Recipe */
/** @typedef {import("zeuxis/space.js").LatentSpace} LatentSpace */
/** @typedef {"attributes" | "components" | "local" | "random"} Kind */
/** @typedef {{key: string, name: string, step: Float32Array}} Direction its key stands in recipes, its name on the page */

export const KINDS = /** @type {Kind[]} */ (["attributes", "components", "local", "random"]);
export const TITLES = { attributes: "Attributes", components: "Components", local: "Local components", random: "Random directions" };
const RANDOM = [101, 102, 103, 104, 105, 106]; // seeds of random directions

/** @param {string} key
 * @returns {Kind} */
export const kindOf = (key) => KINDS.find((kind) => key.startsWith(`${kind}:`)) ?? "attributes";

/** The directions of the first model. Each kind is asked for once; local ones once for each picture. */
export class Directions {
  /** @param {Engine} engine
   * @param {LatentSpace | null} space
   * @param {(kind: Kind) => void} told something has become known of this kind */
  constructor(engine, space, told) {
    this.engine = engine;
    this.space = space;
    this.told = told;
    this.stages = /** @type {Map<Kind, string>} */ (new Map()); // what is being done for those that are looked for
    this.reasons = /** @type {Map<Kind, string>} */ (new Map()); // why there are none
    this.stopped = /** @type {Set<Kind>} */ (new Set());
    this.known = /** @type {Map<Kind, Promise<Direction[]>>} */ (new Map());
    this.near = /** @type {WeakMap<Recipe, Promise<Direction[]>>} */ (new WeakMap());
  }

  /** None where the model or its data have none.
   * @param {Kind} kind
   * @param {Recipe} [from] the picture, for local ones
   * @returns {Promise<Direction[]>} */
  of(kind, from) {
    if (kind === "local") return from ? this.around(from) : Promise.resolve([]);
    let found = this.known.get(kind);
    if (!found) this.known.set(kind, (found = kind === "random" ? this.random() : this.find(kind, "directions", { kind }, null)));
    return found;
  }

  /** @param {Recipe} from
   * @returns {Promise<Direction[]>} */
  around(from) {
    let found = this.near.get(from);
    if (!found) {
      const latent = this.space?.of(from) ?? Promise.reject(new Error("this model has no latent space"));
      this.near.set(from, (found = latent.then((z) => this.find("local", "local", {}, z), () => [])));
    }
    return found;
  }

  /** Steps towards other draws of the prior.
   * @returns {Promise<Direction[]>} */
  async random() {
    if (!this.space) return [];
    const { mixture } = this.space, ends = await this.engine.latents(RANDOM), middle = ends[0].map((_, i) => ends.reduce((sum, z) => sum + z[i], 0) / ends.length);
    return ends.map((z, k) => {
      const name = `random ${k + 1}`;
      return { key: `random:${name}`, name, step: mixture === "norm" ? z : z.map((value, i) => value - middle[i]) };
    });
  }

  /** Ask, and note how far the search is; it may be stopped.
   * @param {Kind} kind
   * @param {string} op
   * @param {object} fields
   * @param {Float32Array | null} z
   * @returns {Promise<Direction[]>} */
  async find(kind, op, fields, z) {
    let last = /** @type {Answer | null} */ (null);
    this.stopped.delete(kind);
    this.note(kind, "");
    try {
      await this.engine.lane(kind).stream(op, fields, z, (answer) => {
        if ("names" in answer.fields) last = answer;
        else if (answer.fields.stage) this.note(kind, staged(answer.fields));
      });
      this.reasons.delete(kind);
    } catch (error) {
      this.reasons.set(kind, /** @type {Error} */ (error).message);
    }
    this.stages.delete(kind);
    this.told(kind);
    return listed(kind, last);
  }

  /** @param {Kind} kind
   * @param {string} text */
  note(kind, text) {
    this.stages.set(kind, text);
    this.told(kind);
  }

  /** Look no further for what takes long; whoever asks again goes on from there.
   * @param {Kind} kind */
  stop(kind) {
    const lane = this.engine.lane(kind);
    this.stopped.add(kind);
    this.known.delete(kind);
    lane.stop();
    lane.ask("stop").catch(() => null);
  }

  /** @param {string} key
   * @param {Recipe} from
   * @returns {Promise<Float32Array>} */
  async step(key, from) {
    const found = (await this.of(kindOf(key), from)).find((direction) => direction.key === key);
    if (!found) throw new Error(`this model has no direction "${key.replace(/^\w+:/, "")}"`);
    return found.step;
  }
}

/** "reading samples, 34 %"
 * @param {Record<string, any>} fields */
const staged = ({ stage, done_of: [done, of] }) => (of ? `${stage}, ${Math.floor((100 * done) / of)} %` : stage);

/** @param {Kind} kind
 * @param {Answer | null} answer
 * @returns {Direction[]} */
function listed(kind, answer) {
  const names = /** @type {string[]} */ (answer?.fields.names ?? []), size = (answer?.numbers.length ?? 0) / names.length;
  return names.map((name, k) => ({
    key: kind === "attributes" ? name : `${kind}:${name}`, name,
    step: /** @type {Float32Array} */ (answer?.numbers.subarray(k * size, (k + 1) * size)),
  }));
}
