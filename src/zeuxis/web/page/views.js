// The views in the order of their tabs. Modules are named "zeuxis/FILE.js": the server serves them as they are.

import { view as compare } from "zeuxis/views/compare.js";
import { view as denoise } from "zeuxis/views/denoise.js";
import { view as evaluate } from "zeuxis/views/evaluate.js";
import { view as explore } from "zeuxis/views/explore.js";
import { view as gibbs } from "zeuxis/views/gibbs.js";
import { view as latentSpace } from "zeuxis/views/latent_space.js";
import { view as photo } from "zeuxis/views/photo.js";
import { view as training } from "zeuxis/views/training.js";
import { view as translate } from "zeuxis/views/translate.js";
import { view as upscale } from "zeuxis/views/upscale.js";

/** @type {import("zeuxis/app.js").View[]} */
export const VIEWS = [
  explore,
  photo,
  translate,
  upscale,
  denoise,
  latentSpace,
  gibbs,
  training,
  evaluate,
  compare,
];
