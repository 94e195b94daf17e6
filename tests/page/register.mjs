// Node reads the page's modules where they are: "zeuxis/FILE.js" is resolved as the import map of the page does it.
import { register } from "node:module";

register("./resolve.mjs", import.meta.url);
