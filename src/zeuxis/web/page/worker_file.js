// The model of a page without a server: its networks by onnxruntime-web (`self.ort`, which stands before this text), in a worker
// so that the page never waits. A classic script, as a page opened from disk can start no module worker.

(() => {
  const { ort } = /** @type {any} */ (self);

  /** @typedef {{n: number, shape: number[], z: Float32Array, rough?: boolean}} Wanted */

  /** @type {Record<string, any>} */
  const sessions = {};
  /** @type {{levels: number[], rough: number[]} | null} noise levels, falling to 0, and those of rough pictures */
  let noise = null;

  /** Open the networks. @param {{wasm: ArrayBuffer, graphs: Record<string, ArrayBuffer>, noise: typeof noise}} given */
  async function open(given) {
    const { env, InferenceSession } = ort;
    env.wasm.wasmBinary = given.wasm;
    env.wasm.numThreads = 1; // a page from disk may share no memory between threads
    env.logLevel = "error";
    noise = given.noise;
    for (const [name, bytes] of Object.entries(given.graphs))
      sessions[name] = await InferenceSession.create(new Uint8Array(bytes), { executionProviders: ["wasm"] });
    return { ready: true };
  }

  /** Run a network on rows. @param {string} name @param {Float32Array} z @param {number[]} shape */
  async function run(name, z, shape, more = {}) {
    const session = sessions[name];
    const results = await session.run({ z: new ort.Tensor("float32", z, shape), ...more });
    return results[session.outputNames[0]];
  }

  /** Images from noise by DPM-Solver++ 2M (Lu 2022, algorithm 2). @param {Wanted} wanted */
  async function denoised({ z, n, shape, rough }) {
    const { levels, rough: few } = /** @type {{levels: number[], rough: number[]}} */ (noise);
    const sigmas = rough ? few : levels, size = z.length / n;
    const x = z.map((value) => value * sigmas[0]);
    /** @type {Float32Array | null} */
    let before = null;
    let last = 0;
    for (let i = 0; i + 1 < sigmas.length; i++) {
      const here = sigmas[i], there = sigmas[i + 1], width = there ? Math.log(here / there) : Infinity;
      const level = new ort.Tensor("float32", new Float32Array(n).fill(here), [n]);
      const clean = (await run("denoiser", x, [n, ...shape], { sigma: level })).data;
      for (let k = 0; k < n * size; k++) {
        const ahead = before && there ? clean[k] + ((clean[k] - before[k]) * width) / (2 * last) : clean[k];
        x[k] = ahead + (there / here) * (x[k] - ahead);
      }
      before = clean;
      last = width;
    }
    return { data: x, dims: [n, ...shape] };
  }

  /** Pictures as bytes (n h w c). @param {Wanted} wanted */
  async function decode(wanted) {
    const { z, n, shape } = wanted;
    const image = noise ? await denoised(wanted) : await run("decoder", z, [n, ...shape]);
    const [, c, h, w] = image.dims, plane = h * w, out = new Uint8Array(n * plane * c);
    for (let k = 0, at = 0; k < n; k++)
      for (let i = 0; i < plane; i++)
        for (let j = 0; j < c; j++, at++)
          out[at] = Math.min(255, Math.max(0, Math.floor((image.data[(k * c + j) * plane + i] + 1) * 127.5 + 0.5)));
    return { out, n, h, w, c };
  }

  /** Latents z to styles w. @param {Wanted} wanted */
  async function map({ z, n, shape }) {
    const { data } = await run("mapping", z, [n, ...shape]);
    return { out: Float32Array.from(data) };
  }

  /** @type {Record<string, (given: any) => Promise<any>>} */
  const ANSWERS = { open, decode, map };

  self.onmessage = async ({ data }) => {
    try {
      const began = performance.now(), answer = await ANSWERS[data.kind](data);
      answer.ms = performance.now() - began;
      self.postMessage(answer, { transfer: answer.out ? [answer.out.buffer] : [] });
    } catch (error) {
      self.postMessage({ error: String(error) });
    }
  };
})();
