// What the views Denoise and Gibbs compute by themselves: colours of weights, and the pixels that are sent.

import assert from "node:assert/strict";
import test from "node:test";

import { decoded, painter } from "zeuxis/decoding.js";
import { pixelsOf } from "zeuxis/views/own_pixels.js";
import { diverging, hue } from "zeuxis/views/hues.js";

test("a weight of 0 has the colour of paper, and both signs their own", () => {
  for (const theme of ["light", "dark"]) {
    const [zero, up, down] = [diverging(0, theme), diverging(1, theme), diverging(-1, theme)];
    assert.equal(new Set([zero, up, down].map(String)).size, 3);
    assert.ok(up[0] > up[2] && down[2] > down[0]);
    assert.deepEqual(diverging(7, theme), up);
    assert.deepEqual(diverging(0.5, theme), zero.map((from, c) => Math.round(from + (up[c] - from) / 2)));
  }
});

test("classes have colours of their own, in both themes", () => {
  const all = ["light", "dark"].flatMap((theme) => Array.from({ length: 10 }, (_, k) => hue(k, 10, theme)));
  assert.equal(new Set(all).size, 20);
});

test("the pixels of a picture leave out what a canvas adds", () => {
  const data = new Uint8ClampedArray([1, 2, 3, 255, 4, 5, 6, 255]);
  assert.deepEqual([...pixelsOf({ data }, 3)], [1, 2, 3, 4, 5, 6]);
  assert.deepEqual([...pixelsOf({ data }, 1)], [1, 4]);
});

/** A lane that draws each latent as its first number, and notes how many came in each request. */
function lane(asked) {
  const drawn = (z, n) => Array.from({ length: n }, (_, k) => z[(k * z.length) / n]);
  return {
    decode: async (z, n) => (asked.push(n), drawn(z, n)),
    stream: async (op, { n }, z, each) => (asked.push(n), each({ pictures: drawn(z, n) })),
  };
}

test("large latents go out in several requests, and come back together", async () => {
  const size = 100_000, n = 5, z = new Float32Array(n * size).map((_, i) => Math.floor(i / size)), asked = [];
  assert.deepEqual(await decoded(lane(asked), z, n), [0, 1, 2, 3, 4]);
  assert.deepEqual(asked, [2, 2, 1]);
  const shown = [], stages = [];
  await painter({ lane: () => lane(stages) }, "sum", true)(z, n, (images, rough) => shown.push([images, rough]));
  assert.deepEqual(shown, [[[0, 1, 2, 3, 4], true], [[0, 1, 2, 3, 4], false]]);
  assert.deepEqual(stages, [2, 2, 1, 2, 2, 1]);
});
