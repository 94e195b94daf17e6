// The views in the order of their tabs. Modules are named "zeuxis/FILE.js": the server serves them as they are.

import { view as explore } from "zeuxis/views/explore.js";

/** @type {import("zeuxis/app.js").View[]} */
export const VIEWS = [
  explore,
];
