// The pictures of a wall: two lanes share the places, none is asked for twice, and batches are as long as the engine's own time allows.

import assert from "node:assert/strict";
import test from "node:test";

import { Tiles } from "zeuxis/tiles.js";

globalThis.createImageBitmap = async (image) => ({ image, close() {} });

/** A lane that draws each latent as its first number, in so many ms for each. */
function lane(ms, asked) {
  return {
    spent: 0,
    async decode(z, n) {
      asked.push(n);
      await new Promise((go) => setTimeout(go));
      this.spent = ms * n;
      return Array.from({ length: n }, (_, k) => z[k * (z.length / n)]);
    },
    async stream(op, { n }, z, each) {
      each({ pictures: [...(await this.decode(z, n))].map((value) => value + 0.5) });
    },
    stop() {},
  };
}

/** @param {number} side places across and down, nearest first */
const spots = (side) => Array.from({ length: side * side }, (_, k) => ({ i: k % side, j: Math.floor(k / side) }));

async function filled({ lanes, rough = false, side = 12 }) {
  const foreseen = [], tiles = new Tiles(lanes, { size: 2, rough, arrived: () => {}, failed: assert.fail, ahead: (found) => foreseen.push(found.length) });
  tiles.reset(async (x, y) => new Float32Array([100 * x + y, 0]));
  tiles.want(spots(side), 1);
  while (!tiles.whole || tiles.working.size) await new Promise((go) => setTimeout(go));
  assert.deepEqual(foreseen, [side * side]);
  for (const { i, j } of spots(side)) assert.equal(tiles.at(i, j, 1).bitmap.image, 100 * i + j + (rough ? 0.5 : 0));
}

test("two lanes fill a wall, and no place is asked for twice", async () => {
  const asked = [[], []];
  await filled({ lanes: asked.map((list) => lane(1, list)) });
  assert.equal(asked.flat().reduce((a, b) => a + b), 144);
  assert.ok(asked.every((list) => list.length > 1), "both are at work");
});

test("a quick engine gets long batches, a slow one short ones, however long the way is", async () => {
  const longest = [], shortest = [];
  await filled({ lanes: [lane(0.5, longest)] });
  await filled({ lanes: [lane(40, shortest)] });
  assert.equal(Math.max(...longest), 16);
  assert.ok(shortest.at(-1) <= 2 && Math.max(...shortest) <= 15, String(shortest));
});

test("rough pictures come first, then each is replaced by the full one", async () => {
  const asked = [];
  await filled({ lanes: [lane(1, asked)], rough: true, side: 4 });
  assert.deepEqual(asked.slice(-16), Array(16).fill(1));
});
