// The views in the order of their tabs. Modules are named "zeuxis/FILE.js": the server serves them as they are.

import { view as compare } from "zeuxis/views/compare.js";
import { view as evaluate } from "zeuxis/views/evaluate.js";
import { view as explore } from "zeuxis/views/explore.js";
import { view as training } from "zeuxis/views/training.js";

/** @type {import("zeuxis/app.js").View[]} */
export const VIEWS = [
  explore,
  training,
  evaluate,
  compare,
];
