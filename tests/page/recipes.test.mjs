// Recipes and links: what a link holds comes back as it was, and what is no recipe is refused.
import assert from "node:assert/strict";
import test from "node:test";

import { animated, chunks } from "zeuxis/animation.js";
import { placeOf } from "zeuxis/atlas.js";
import { interpolated, moved, toNorm } from "zeuxis/latent.js";
import { latentText, packed, textLatent, unpacked } from "zeuxis/link.js";
import { latentsOfSeeds } from "zeuxis/priors.js";
import { randn } from "zeuxis/random.js";
import { isRecipe, nameOf, ofSeed, shortName } from "zeuxis/recipes.js";
import { LatentSpace } from "zeuxis/space.js";

const INFO = { shape: [20], space: "z", prior: "normal", mixture: "norm", length: Math.sqrt(20) };
const step = randn(99, 20);
const space = () => new LatentSpace(INFO, latentsOfSeeds(INFO, async () => new Float32Array()), async () => step);

test("a link gives back its state, in any script", () => {
  const state = { v: 1, tab: "explore", kept: [ofSeed(12), { latent: latentText(randn(1, 20)), name: "Фото 猫 + é" }] };
  assert.match(packed(state), /^[\w-]+$/);
  assert.deepEqual(unpacked(`#${packed(state)}`), state);
});

test("a link that is cut, foreign or of another version gives nothing", () => {
  const whole = packed({ v: 1, kept: [] });
  for (const hash of ["", "#", "#%%%", `#${whole.slice(0, -3)}`, `#${packed({ v: 2 })}`, `#${packed(7)}`, `#${packed(null)}`])
    assert.equal(unpacked(hash), null);
});

test("a latent as text is the same latent", () => assert.deepEqual(textLatent(latentText(randn(3, 20))), randn(3, 20)));

test("what is no recipe is refused", () => {
  const at = { at: [0, 1.5] };
  const good = [at, { from: at, edits: { smiling: -1 } }, { sum: [[at], [], [at, at]], beside: 3 }, { between: [at, at], weight: 0.5 }, { latent: "AAAA", name: "photo" }];
  const bad = [null, 7, "at", {}, { at: [1] }, { at: [NaN, 0] }, { at: [0, 1e12] }, { at: ["0", 0] }, { from: at }, { from: at, edits: { a: "1" } }, { sum: [[at]] },
    { sum: [[at], [], [7]] }, { sum: [[at], [], [at]], beside: 9 }, { between: [at], weight: 1 }, { between: [at, at] }, { latent: 7, name: "x" }];
  for (const recipe of good) assert.ok(isRecipe(recipe), JSON.stringify(recipe));
  for (const recipe of bad) assert.ok(!isRecipe(recipe), JSON.stringify(recipe));
  let deep = at;
  for (let i = 0; i < 1000; i++) deep = { from: deep, edits: {} };
  assert.ok(!isRecipe(deep));
});

test("captions", () => {
  assert.equal(nameOf(ofSeed(12)), "seed 12");
  assert.equal(shortName({ at: [0.5, 0.5] }), "between");
  assert.equal(nameOf({ from: ofSeed(3), edits: { smiling: 1 } }), "seed 3, edited");
  assert.equal(nameOf({ latent: "", name: "photo" }), "photo");
});

test("recipes become latents", async () => {
  const [z3, z8] = [randn(3, 20), randn(8, 20)], at = (seed) => ({ at: placeOf(seed) });
  assert.deepEqual(await space().of(at(3)), z3);
  assert.deepEqual(await space().of({ from: at(3), edits: { smiling: 1.5 } }), moved(z3, [[1.5, step]], "norm"));
  assert.deepEqual(await space().of({ between: [at(3), at(8)], weight: 0.25 }), interpolated(z3, z8, [0.25], "norm")[0]);
  assert.deepEqual(await space().of({ latent: latentText(z8), name: "photo" }), z8);
  assert.deepEqual(await space().of({ sum: [[at(3)], [], []] }), toNorm(z3, INFO.length));
  await assert.rejects(space().of({ latent: latentText(randn(1, 4)), name: "photo" }), /has 4 numbers/);
});

test("seeds that come together are asked together, once", async () => {
  const asked = [], server = { ...INFO, prior: "server", shape: [2] };
  const latents = latentsOfSeeds(server, async (seeds) => {
    asked.push(seeds);
    return Float32Array.from(seeds.flatMap((seed) => [seed, -seed]));
  });
  const both = await Promise.all([latents([1, 2]), latents([2, 3]), latents(Array.from({ length: 70 }, (_, i) => i))]);
  assert.deepEqual(both[1], [Float32Array.of(2, -2), Float32Array.of(3, -3)]);
  assert.deepEqual(asked.map((seeds) => seeds.length), [64, 6]);
  assert.deepEqual(await latents([69]), [Float32Array.of(69, -69)]);
  assert.equal(asked.length, 2);
});

test("a prior that failed is asked again", async () => {
  let broken = true;
  const latents = latentsOfSeeds({ ...INFO, prior: "server", shape: [1] }, async (seeds) => {
    if (broken) throw new Error("gone");
    return Float32Array.from(seeds);
  });
  await assert.rejects(latents([5]), /gone/);
  broken = false;
  assert.deepEqual(await latents([5]), [Float32Array.of(5)]);
});

test("an animated WebP is a RIFF file with a frame for each still", () => {
  const still = Uint8Array.of(...Buffer.from("RIFF\x10\0\0\0WEBPVP8 \x03\0\0\0abc\0", "latin1"));
  const file = animated([still, still], 300, 20, 50), found = chunks(file);
  assert.deepEqual(found.map(({ tag }) => tag), ["VP8X", "ANIM", "ANMF", "ANMF"]);
  assert.equal(found.at(-1).end, file.length);
  assert.equal(new DataView(file.buffer).getUint32(4, true), file.length - 8);
  const frame = file.subarray(found[2].start + 8, found[2].end);
  assert.deepEqual([...frame.subarray(6, 15)], [43, 1, 0, 19, 0, 0, 50, 0, 0]);
  assert.equal(Buffer.from(frame.subarray(16, 20)).toString("latin1"), "VP8 ");
});
