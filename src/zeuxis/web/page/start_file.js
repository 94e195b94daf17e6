// A page without a server begins here: what it carries stands in the page itself, or in the folder `held` beside it.

import { start } from "zeuxis/app.js";
import { opened } from "zeuxis/engine_file.js";
import { view as explore } from "zeuxis/views/explore.js";

/** @param {ReadableStream} stream
 * @returns {Promise<ArrayBuffer>} */
const unpacked = (stream) => new Response(stream.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();

/** @param {string} name
 * @returns {Promise<ArrayBuffer>} */
async function held(name) {
  const inside = document.getElementById(`held-${name}`);
  if (!inside) return unpacked(/** @type {ReadableStream} */ ((await fetch(`held/${name}.gz`)).body));
  const bytes = Uint8Array.from(atob(inside.textContent ?? ""), (letter) => letter.charCodeAt(0));
  inside.remove();
  return unpacked(new Blob([bytes]).stream());
}

const inside = document.getElementById("held-info");
const carried = inside ? JSON.parse(inside.textContent ?? "") : await (await fetch("held/info.json")).json();
const began = performance.now(), engine = await opened(carried, held);
performance.measure("session", { start: began });
start(engine, [explore]);
