// What the views Denoise and Gibbs compute by themselves: colours of weights, and the pixels that are sent.

import assert from "node:assert/strict";
import test from "node:test";

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
