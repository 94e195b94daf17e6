// The engine that is a server: requests by lane over one socket, and streams.

import { Channel, Refused } from "zeuxis/channel.js";
import { Newest } from "zeuxis/lanes.js";
import { latentsOfSeeds } from "zeuxis/priors.js";

/** @typedef {import("zeuxis/frames.js").Answer} Answer */
/** @typedef {{op?: string, model?: number} & Record<string, unknown>} DecodeOptions */

/** @typedef {object} Translation
 * @property {string} name
 * @property {number} channels
 * @property {number} size
 * @property {[number, number, number][] | null} palette
 * @property {boolean} stochastic */

/** @typedef {object} Info what /api/model says of one model
 * @property {string} name
 * @property {string} hash
 * @property {string} family
 * @property {number} size
 * @property {number} channels
 * @property {import("zeuxis/priors.js").LatentInfo | null} latent
 * @property {string[]} capabilities
 * @property {string[] | null} classes
 * @property {number} labels classes that its pictures can be conditioned on
 * @property {{directions: Translation[]} | null} translate
 * @property {number | null} scale
 * @property {number[][] | null} sum
 * @property {string} card */

/** @typedef {(op: string, fields: {model?: number}) => object} Labelled what a request says of the class of its pictures */

/** @typedef {object} Lane
 * @property {boolean} busy whether a request is under way
 * @property {number} spent ms that its last pictures took to draw, without the way there and back
 * @property {() => void} stop ends its stream
 * @property {(z: Float32Array, n: number, options?: DecodeOptions) => Promise<ImageData[] | null>} decode
 * @property {(op: string, fields?: object, payload?: ArrayBufferView | null) => Promise<Answer | null>} ask
 * @property {(op: string, fields: object, payload: ArrayBufferView | null, each: (answer: Answer) => void) => Promise<void>} stream */

/** @typedef {object} Engine
 * @property {boolean} live false in the single file, which has no server
 * @property {Info[]} infos
 * @property {number} label the class of all pictures of the first model; -1: none
 * @property {EventTarget} heard "open" and "closed": the socket, with the code of its end
 * @property {Record<string, number[]>} rounds the last round trips of each lane, in ms
 * @property {(name: string) => Lane} lane
 * @property {() => Map<string, Lane>} lanes all that were used, by name
 * @property {(seeds: number[], model?: number) => Promise<Float32Array[]>} latents */

const OF_CLASS = new Set(["decode", "decode.preview", "denoise", "denoise.noise", "evaluate.nearest"]); // operations that draw

/** The engine of the server that this page comes from.
 * @returns {Promise<Engine>} */
export async function connect() {
  const key = accessKey();
  const response = await fetch(`api/model${key}`);
  if (!response.ok) throw new Refused(await response.text());
  const about = await response.json();
  const heard = new EventTarget(), rounds = /** @type {Record<string, number[]>} */ ({});
  const address = new URL(`api/socket${key}`, location.href.replace(/^http/, "ws"));
  const channel = new Channel(address.href, (open, code) => heard.dispatchEvent(new CustomEvent(open ? "open" : "closed", { detail: code })));
  const lanes = /** @type {Map<string, Lane>} */ (new Map());
  const priors = about.models.map((/** @type {Info} */ info, /** @type {number} */ model) =>
    latentsOfSeeds(info.latent, async (seeds) => (await channel.send({ op: "prior", model, lane: `prior ${model}`, seeds }).answered).numbers));
  /** @type {Engine} */
  const engine = {
    live: true, infos: about.models, label: -1, heard, rounds,
    lane(name) {
      let found = lanes.get(name);
      if (!found) lanes.set(name, (found = lane(channel, name, (ms) => note(rounds, name, ms), labelled)));
      return found;
    },
    lanes: () => lanes,
    latents: (seeds, model = 0) => priors[model](seeds),
  };
  /** @type {Labelled} */
  const labelled = (op, fields) => (engine.label >= 0 && OF_CLASS.has(op) && !fields.model ? { label: engine.label } : {});
  return engine;
}

/** One lane: at most one request or stream under way, and the newest takes the place of those that wait.
 * @param {Channel} channel
 * @param {string} name
 * @param {(ms: number) => void} measured
 * @param {Labelled} labelled
 * @returns {Lane} */
function lane(channel, name, measured, labelled) {
  const queue = new Newest();
  let running = 0, spent = 0; // the id of a stream, and the time of the last pictures
  /** @type {Lane["ask"]} */
  const ask = (op, fields = {}, payload = null) => {
    channel.forget(running);
    return queue.do(async () => {
      const began = performance.now();
      const said = await channel.send({ op, model: 0, lane: name, ...labelled(op, fields), ...fields }, payload).answered;
      spent = said.fields.ms ?? performance.now() - began;
      measured(performance.now() - began);
      return said.fields.cancelled ? null : said;
    });
  };
  return {
    get busy() { return queue.busy || channel.asks(running); },
    get spent() { return spent; },
    stop: () => channel.forget(running),
    ask,
    async decode(z, n, { op = "decode", ...fields } = {}) {
      return (await ask(op, { n, ...fields }, z))?.pictures ?? null;
    },
    async stream(op, fields, payload, each) {
      channel.forget(running);
      const { id, answered } = channel.send({ op, model: 0, lane: name, ...labelled(op, fields), ...fields }, payload, each);
      running = id;
      await answered;
    },
  };
}

/** @param {Record<string, number[]>} rounds
 * @param {string} name
 * @param {number} ms a round trip; the last thousand of each lane are kept */
export function note(rounds, name, ms) {
  const list = (rounds[name] ??= []);
  list.push(ms);
  if (list.length > 1000) list.shift();
}

/** The token of a server that is open to the network, as a query; it leaves the address, so that a copied link has none. */
function accessKey() {
  const given = new URLSearchParams(location.search).get("key");
  if (given) {
    sessionStorage.setItem("key", given);
    history.replaceState(null, "", location.pathname + location.hash);
  }
  const key = sessionStorage.getItem("key");
  return key ? `?key=${encodeURIComponent(key)}` : "";
}
