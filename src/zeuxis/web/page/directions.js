// Directions of latent space by name: attributes of the data, components of features, local components of one picture.

/** @typedef {import("zeuxis/engine.js").Engine} Engine */
/** @typedef {import("zeuxis/recipes.js").Recipe} Recipe */
/** @typedef {"attributes" | "components" | "local"} Kind */
/** @typedef {{key: string, name: string, step: Float32Array}} Direction its key stands in recipes, its name on the page */

export const KINDS = /** @type {Kind[]} */ (["attributes", "components", "local"]);
export const TITLES = { attributes: "Attributes", components: "Components", local: "Local components" };

/** @param {string} key
 * @returns {Kind} */
export const kindOf = (key) => KINDS.find((kind) => key.startsWith(`${kind}:`)) ?? "attributes";

/** The directions of the first model. Each kind is asked for once; local ones once for each picture. */
export class Directions {
  /** @param {Engine} engine
   * @param {(recipe: Recipe) => Promise<Float32Array>} latentOf */
  constructor(engine, latentOf) {
    this.engine = engine;
    this.latentOf = latentOf;
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
    if (!found) {
      const asked = this.engine.lane(kind).ask("directions", { kind });
      this.known.set(kind, (found = asked.then((answer) => listed(kind, answer), () => [])));
    }
    return found;
  }

  /** @param {Recipe} from
   * @returns {Promise<Direction[]>} */
  around(from) {
    let found = this.near.get(from);
    if (!found) {
      const asked = this.latentOf(from).then((z) => this.engine.lane("local").ask("local", {}, z));
      this.near.set(from, (found = asked.then((answer) => listed("local", answer), () => [])));
    }
    return found;
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

/** @param {Kind} kind
 * @param {import("zeuxis/frames.js").Answer | null} answer
 * @returns {Direction[]} */
function listed(kind, answer) {
  const names = /** @type {string[]} */ (answer?.fields.names ?? []), size = (answer?.numbers.length ?? 0) / names.length;
  return names.map((name, k) => ({
    key: kind === "attributes" ? name : `${kind}:${name}`, name,
    step: /** @type {Float32Array} */ (answer?.numbers.subarray(k * size, (k + 1) * size)),
  }));
}
