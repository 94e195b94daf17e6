// The engine of a page without a server: the model's networks run in a worker, and what they need stands in the page.

import { note } from "zeuxis/engine.js";
import { fromRaw } from "zeuxis/frames.js";
import { Newest } from "zeuxis/lanes.js";
import { latentsOfSeeds } from "zeuxis/priors.js";
import { randn } from "zeuxis/random.js";

/** @typedef {import("zeuxis/engine.js").Engine} Engine */
/** @typedef {import("zeuxis/engine.js").Info} Info */
/** @typedef {import("zeuxis/engine.js").Lane} Lane */
/** @typedef {import("zeuxis/frames.js").Answer} Answer */
/** @typedef {(name: string) => Promise<ArrayBuffer>} Held gives what the page carries by name */

/** What the page carries, beside what a server says of a model.
 * @typedef {object} Carried
 * @property {Info[]} models
 * @property {string[]} graphs names of the networks
 * @property {{levels: number[], rough: number[]} | null} noise levels of a denoiser, falling to 0
 * @property {{shape: number[], seeds: number, values: "bits" | "float16"} | null} table latents of the first seeds
 * @property {number[]} z shape of a latent z, from which a mapping network makes w
 * @property {Record<string, string[]>} directions names by kind; their steps stand in `directions-KIND` */

const FIRST = ["hand", "sum", "line"]; // lanes that go first, as on a server

/** The engine of what the page carries.
 * @param {Carried} carried
 * @param {Held} held
 * @returns {Promise<Engine>} */
export async function opened(carried, held) {
  const [info] = carried.models, worker = new Desk(await workerOf(held));
  const graphs = Object.fromEntries(await Promise.all(carried.graphs.map(async (name) => [name, await held(`graph-${name}`)])));
  await worker.ask("first", { kind: "open", wasm: await held("wasm"), graphs, noise: carried.noise });
  const rounds = /** @type {Record<string, number[]>} */ ({}), lanes = /** @type {Map<string, Lane>} */ (new Map());
  const table = carried.table && new Table(carried.table, await held("table"));
  return {
    live: false, infos: carried.models, label: -1, rounds, heard: new EventTarget(),
    lane(name) {
      let found = lanes.get(name);
      if (!found) lanes.set(name, (found = lane(name, { carried, worker, held, measured: (ms) => note(rounds, name, ms) })));
      return found;
    },
    lanes: () => lanes,
    latents: latentsOfSeeds(info.latent, table ? async (seeds) => table.rows(seeds) : (seeds) => styles(seeds, carried.z, worker)),
  };
}

/** One lane, as a server's: one request under way, and the newest takes the place of those that wait.
 * @param {string} name
 * @param {{carried: Carried, worker: Desk, held: Held, measured: (ms: number) => void}} parts
 * @returns {Lane} */
function lane(name, { carried, worker, held, measured }) {
  let spent = 0;
  const queue = new Newest(), shape = carried.models[0].latent?.shape ?? [];
  /** @type {Lane["decode"]} */
  const decode = (z, n, options = {}) => queue.do(async () => {
    const began = performance.now(), rough = options.op === "decode.preview";
    const { out, ms, ...form } = await worker.ask(name, { kind: "decode", z, n, shape, rough });
    spent = ms;
    measured(performance.now() - began);
    return fromRaw(out, form);
  });
  return {
    get busy() {
      return queue.busy;
    },
    get spent() {
      return spent;
    },
    decode,
    async ask(op, fields = {}) {
      const { kind } = /** @type {{kind?: string}} */ (fields), names = carried.directions[kind ?? ""];
      if (op !== "directions" || !names) throw new Error("this page carries none of them");
      const numbers = new Float32Array(await held(`directions-${kind}`));
      return { fields: { names }, pictures: [], numbers, bytes: new Uint8Array() };
    },
    async stream(op, fields, payload, each) {
      if (op === "directions") return each(/** @type {Answer} */ (await this.ask(op, fields)));
      if (op !== "decode" || !(payload instanceof Float32Array)) throw new Error("this page has no server to ask");
      const pictures = await decode(payload, /** @type {{n: number}} */ (fields).n);
      each({ fields: {}, pictures: pictures ?? [], numbers: new Float32Array(), bytes: new Uint8Array() });
    },
    stop() {},
  };
}

/** Latents w of seeds, for a space that the mapping network makes.
 * @param {number[]} seeds
 * @param {number[]} shape
 * @param {Desk} worker */
async function styles(seeds, shape, worker) {
  const size = shape.reduce((a, b) => a * b, 1), z = new Float32Array(seeds.length * size);
  seeds.forEach((seed, k) => z.set(randn(seed, size), k * size));
  return (await worker.ask("prior", { kind: "map", z, n: seeds.length, shape })).out;
}

/** Latents that no formula gives: those of the first seeds, as the model drew them. */
class Table {
  /** @param {NonNullable<Carried["table"]>} about
   * @param {ArrayBuffer} bytes */
  constructor({ shape, seeds, values }, bytes) {
    this.size = shape.reduce((a, b) => a * b, 1);
    this.seeds = seeds;
    this.value = values === "bits" ? bitsOf(new Uint8Array(bytes)) : halvesOf(new Uint16Array(bytes));
  }

  /** @param {number[]} seeds */
  rows(seeds) {
    const found = new Float32Array(seeds.length * this.size);
    seeds.forEach((seed, k) => {
      if (seed >= this.seeds) throw new Error(`this page carries the seeds below ${this.seeds.toLocaleString("en")}`);
      for (let i = 0; i < this.size; i++) found[k * this.size + i] = this.value(seed * this.size + i);
    });
    return found;
  }
}

/** @param {Uint8Array} bytes
 * @returns {(at: number) => number} */
const bitsOf = (bytes) => (at) => (bytes[at >> 3] >> (7 - (at & 7))) & 1;

/** @param {Uint16Array} halves
 * @returns {(at: number) => number} */
const halvesOf = (halves) => (at) => {
  const half = halves[at], exponent = (half >> 10) & 31, fraction = half & 1023;
  const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
  return half & 0x8000 ? -size : size;
};

/** @typedef {{lane: string, message: any, moved: ArrayBuffer[], done: (answer: any) => void, failed: (error: Error) => void}} Wish */

/** The worker's desk: one request at a time, those of the picture in hand before the others. */
class Desk {
  /** @param {Worker} worker */
  constructor(worker) {
    this.worker = worker;
    this.wishes = /** @type {Wish[]} */ ([]);
    this.now = /** @type {Wish | null} */ (null);
    worker.onmessage = ({ data }) => {
      const { done, failed } = /** @type {Wish} */ (this.now);
      this.now = null;
      this.next();
      if (data.error) failed(new Error(data.error));
      else done(data);
    };
    worker.onerror = (event) => this.now?.failed(new Error(event.message));
  }

  /** @param {string} lane
   * @param {any} message
   * @returns {Promise<any>} */
  ask(lane, message) {
    return new Promise((done, failed) => {
      const moved = message.kind === "open" ? [message.wasm, ...Object.values(message.graphs)] : [];
      this.wishes.push({ lane, message, moved, done, failed });
      this.next();
    });
  }

  next() {
    if (this.now || !this.wishes.length) return;
    const first = FIRST.map((name) => this.wishes.findIndex(({ lane }) => lane === name)).find((at) => at >= 0) ?? 0;
    [this.now] = this.wishes.splice(first, 1);
    this.worker.postMessage(this.now.message, this.now.moved);
  }
}

/** A classic worker: from disk, a browser starts no module worker.
 * @param {Held} held */
async function workerOf(held) {
  const parts = await Promise.all([held("runtime"), held("worker")]);
  return new Worker(URL.createObjectURL(new Blob([parts[0], "\n", parts[1]], { type: "text/javascript" })));
}
