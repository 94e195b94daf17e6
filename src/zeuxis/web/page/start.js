// The page of a server begins here; the single file has its own beginning.

import { start } from "zeuxis/app.js";
import { connect } from "zeuxis/engine.js";

start(await connect());
