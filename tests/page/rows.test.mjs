// Rows of metrics as they arrive, and the charts that their names are shared out to.

import assert from "node:assert/strict";
import { test } from "node:test";

import { groupsOf, left, PROBABILITY, Rows } from "zeuxis/rows.js";

test("rows arrive in parts, and a name may come late", () => {
  const rows = new Rows();
  rows.take({ start: 0, steps: [1, 2], names: ["a"] }, Float32Array.of(1, 2));
  rows.take({ start: 2, steps: [5], names: ["a", "b"] }, Float32Array.of(3, 4));
  assert.deepEqual(rows.steps, [1, 2, 5]);
  assert.deepEqual(rows.values("a"), [1, 2, 3]);
  assert.deepEqual(rows.values("b"), [NaN, NaN, 4]);
  assert.deepEqual(rows.values("c"), []);
});

test("rows that were thinned or taken back are told anew", () => {
  const rows = new Rows();
  rows.take({ start: 0, steps: [1, 2, 3], names: ["a"] }, Float32Array.of(1, 2, 3));
  rows.take({ start: 0, steps: [1, 3], names: ["a"] }, Float32Array.of(7, 8));
  assert.deepEqual([rows.steps, rows.values("a")], [[1, 3], [7, 8]]);
  rows.take({ start: 1, steps: [4], names: ["a"] }, Float32Array.of(9));
  assert.deepEqual([rows.steps, rows.values("a")], [[1, 4], [7, 9]]);
});

test("probabilities, losses and norms have charts of their own", () => {
  const names = ["d/fake", "d/grad_norm", "d/loss", "d/prob_fake", "d/prob_real", "d/real", "d/r1_scale", "g/adversarial", "g/loss",
    "g/grad_norm", "samples/diversity", "evaluation/FID[lite0]", "evaluation/FID[lite0] low"];
  const groups = groupsOf(names).map(({ title, names: list }) => [title, list.map(({ label }) => label)]);
  assert.deepEqual(groups, [
    [PROBABILITY, ["on real", "on fake"]],
    ["Losses of d", ["real", "fake", "loss"]],
    ["Losses of g", ["adversarial"]],
    ["D r1 scale", ["r1_scale"]],
    ["Diversity of the samples (real images: 1)", ["diversity"]],
    ["Gradient norms", ["d", "g"]],
  ]);
});

test("a critic has scores, and two discriminators four curves", () => {
  const titles = (/** @type {string[]} */ names) => groupsOf(names).map(({ title, names: list }) => [title, list.length]);
  assert.deepEqual(titles(["critic/score_fake", "critic/score_real", "critic/wasserstein"]), [["Mean score of the critic", 2], ["Critic wasserstein", 1]]);
  const two = ["image", "source"].flatMap((name) => [`discriminators/prob_real ${name}`, `discriminators/prob_fake ${name}`]);
  assert.deepEqual(titles(two), [[PROBABILITY, 4]]);
});

test("time left in words", () => {
  assert.deepEqual([5.4, 89, 100, 5000, 5400, 36_600].map(left), ["5 s", "89 s", "2 min", "83 min", "1 h 30 min", "10 h 10 min"]);
});
