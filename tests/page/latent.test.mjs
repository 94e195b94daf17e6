// Latents in the browser equal those of PyTorch and of zeuxis.explore, on vectors that tests/test_page_modules.py writes.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { cornersAt, nameOfPlace, placeOf, seedAt } from "zeuxis/atlas.js";
import * as latent from "zeuxis/latent.js";
import { rand, randn } from "zeuxis/random.js";
import { LatentSpace, joined } from "zeuxis/space.js";

const vectors = JSON.parse(readFileSync(process.env.ZEUXIS_VECTORS));
const floats = (list) => Float32Array.from(list);
const whole = (rows) => rows.map(floats);

function near(found, wanted, within = 1e-5) {
  assert.equal(found.length, wanted.length);
  wanted.forEach((value, i) => assert.ok(Math.abs(found[i] - value) <= within, `number ${i} is ${found[i]}, not ${value}`));
}

test("randn and rand are torch's, for every length and seed", () => {
  for (const { seed, count, numbers } of vectors.randn) near(randn(BigInt(seed), count), numbers);
  for (const { seed, count, numbers } of vectors.rand) near(rand(BigInt(seed), count), numbers, 0);
  assert.deepEqual(randn(7, 40), randn(7n, 40));
});

test("paths between two latents are those of zeuxis.explore.paths", () => {
  for (const { z1, z2, weight, path, numbers } of vectors.paths) near(latent[path](floats(z1), floats(z2), weight), numbers);
});

test("the ends of an interpolation are exact", () => {
  const [z1, z2] = [randn(1, 20), randn(2, 20)], weights = latent.columnWeights(10);
  for (const mixture of ["norm", "sum"]) {
    const steps = latent.interpolated(z1, z2, weights, mixture);
    assert.deepEqual([steps[0], steps.at(-1), steps.length], [z1, z2, 10]);
  }
});

test("loops are those of zeuxis.explore.paths", () => {
  for (const { keys, frames, mixture, numbers } of vectors.loops)
    latent.loop(whole(keys), frames, mixture).forEach((z, i) => near(z, numbers[i]));
});

test("edits are those of zeuxis.explore.directions", () => {
  for (const { z, steps, mixture, numbers } of vectors.moved)
    near(latent.moved(floats(z), steps.map(([weight, step]) => [weight, floats(step)]), mixture), numbers);
});

test("arithmetic and its neighbours are those of zeuxis.explore.arithmetic", async () => {
  for (const { terms, spread, length, averages, neighbourhood } of vectors.arithmetic) {
    const drawn = whole(terms.flat()), recipes = terms.map((term) => term.map((z) => ({ seed: drawn.findIndex((one) => one.every((v, i) => v === floats(z)[i])) })));
    const info = { shape: [spread.length], space: "z", prior: "normal", mixture: length ? "norm" : "sum", length };
    const space = new LatentSpace(info, async () => [], async () => spread);
    space.of = async (recipe) => drawn[recipe.seed];
    space.spread = async () => floats(spread);
    for (const [i, term] of recipes.entries()) near(await space.average(term), term.length > 1 ? averages[i] : terms[i][0]);
    for (let k = 0; k < 9; k++) near(await space.sum(recipes, k), neighbourhood[k]);
  }
});

test("standard deviations are torch's", () => near(latent.deviation(whole(vectors.deviation.latents)), vectors.deviation.numbers));

test("the atlas is that of zeuxis.explore.atlas", () => {
  for (const { seed, place } of vectors.places) {
    assert.deepEqual(placeOf(seed), place);
    assert.equal(seedAt(...place), seed);
  }
  for (const { x, y, mixture, numbers } of vectors.atlas) {
    const corners = cornersAt(x, y, mixture);
    near(latent.combine(corners.map(({ seed }) => randn(seed, 24)), corners.map(({ weight }) => weight)), numbers);
  }
});

test("every lattice point has a seed of its own, and no seed is left out", () => {
  const found = new Set();
  for (let x = -20; x <= 20; x++) for (let y = -20; y <= 20; y++) {
    found.add(seedAt(x, y));
    assert.deepEqual(placeOf(seedAt(x, y)), [x, y]);
  }
  assert.equal(found.size, 41 * 41);
  assert.equal(Math.max(...found), 41 * 41 - 1);
});

test("captions name the seeds of a place, the nearest first", () => {
  assert.equal(nameOfPlace(0, 0), "seed 0");
  assert.equal(nameOfPlace(...placeOf(12)), "seed 12");
  assert.equal(nameOfPlace(1, 0.25), `between ${seedAt(1, 0)} and ${seedAt(1, 1)}`);
});

test("latents go one after the other into a request", () => {
  assert.deepEqual(joined([floats([1, 2]), floats([3, 4])]), floats([1, 2, 3, 4]));
});
