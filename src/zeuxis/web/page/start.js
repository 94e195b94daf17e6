// The page of a server begins here; the single file has its own beginning.

import { start } from "zeuxis/app.js";
import { Refused } from "zeuxis/channel.js";
import { connect } from "zeuxis/engine.js";
import { VIEWS } from "zeuxis/views.js";

try {
  start(await connect(), VIEWS);
} catch (error) {
  const place = document.getElementById("trouble"), text = document.getElementById("trouble-text");
  if (place) place.hidden = false;
  if (text) text.textContent = error instanceof Refused ? error.message : "The server does not answer; start it, and load this page again.";
  throw error;
}
