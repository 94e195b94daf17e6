// The class of all pictures, for models that are conditioned on one.

import { make } from "zeuxis/pictures.js";

/** @typedef {import("zeuxis/page.js").Page} Page */

/** A choice of the class; nothing where the model has none.
 * @param {Page} page
 * @param {string} id of the view
 * @returns {HTMLElement[]} */
export function classChoice(page, id) {
  const { labels, classes } = page.info;
  if (!labels || !page.engine.live) return [];
  const names = Array.from({ length: labels }, (_, label) => classes?.[label] ?? `class ${label}`);
  const select = make("select", { id: `${id}-class` }, new Option("any", "-1"), ...names.map((name, label) => new Option(name, String(label))));
  select.onchange = () => {
    page.choose(Number(select.value));
    page.say(`Class: ${select.selectedOptions[0].text}`);
  };
  const mark = () => (select.value = String(page.engine.label));
  page.on("label", mark);
  mark();
  return [make("span", { className: "find" }, make("label", { htmlFor: select.id, textContent: "Class" }), select)];
}
