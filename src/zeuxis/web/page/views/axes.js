// The two axes of "Around this one": chosen from attributes, components of features, and local components.

import { KINDS, TITLES, kindOf } from "zeuxis/directions.js";
import { make } from "zeuxis/pictures.js";

/** @typedef {import("zeuxis/page.js").Page} Page */
/** @typedef {import("zeuxis/recipes.js").Recipe} Recipe */
/** @typedef {import("zeuxis/directions.js").Direction} Direction */

/** @param {HTMLElement} root
 * @param {Page} page
 * @param {() => void} changed */
export function mountAxes(root, page, changed) {
  let picked = false; // by the person: then what is found later changes no axis
  const selects = ["across", "down"].map((word) => {
    const select = make("select", { "aria-label": `Axis ${word}` });
    select.onchange = () => {
      picked = true;
      changed();
      page.remember();
    };
    root.append(make("label", { textContent: `${word} `, hidden: true }, select));
    return select;
  });
  const state = make("span", { className: "hint" });
  root.append(state);
  let wished = /** @type {string[]} */ ([]), names = /** @type {Map<string, string>} */ (new Map()), newest = 0;
  /** The choices for a picture: its local components are its own.
   * @param {Recipe} base */
  const about = (base) => {
    const turn = ++newest, groups = KINDS.map(() => /** @type {Direction[]} */ ([]));
    KINDS.forEach(async (kind, i) => {
      groups[i] = await page.directions.of(kind, base);
      if (turn === newest && groups[i].length) fill(groups);
    });
  };
  page.on("finding", () => {
    const { stages } = page.directions, kind = KINDS.find((one) => stages.get(one)) ?? KINDS.find((one) => stages.has(one));
    state.textContent = kind ? `Finding ${TITLES[kind].toLowerCase()} ${/\d+ %$/.exec(stages.get(kind) ?? "")?.[0] ?? ""} ...` : "";
  });
  /** @param {Direction[][]} groups */
  const fill = (groups) => {
    const before = selects.map((select) => select.value), all = groups.flat();
    names = new Map(all.map(({ key, name }) => [key, name]));
    selects.forEach((select, i) => {
      if (select.parentElement) select.parentElement.hidden = false;
      select.replaceChildren(...groups.map((group, k) => choices(TITLES[KINDS[k]], group)).filter((group) => group.children.length));
      const found = [wished[i], picked ? before[i] : "", all[i + (all.length > 3 && kindOf(all[0].key) === "attributes" ? 1 : 0)]?.key];
      select.value = found.find((key) => key && names.has(key)) ?? "";
    });
    if (selects.some((select, i) => select.value !== before[i])) changed();
  };
  return {
    about,
    get keys() { return selects.map((select, i) => select.value || wished[i] || ""); },
    get names() { return selects.map((select) => names.get(select.value) ?? ""); },
    /** @param {unknown} keys
     * @param {Recipe} base */
    restore(keys, base) {
      if (Array.isArray(keys)) wished = keys.filter((key) => typeof key === "string");
      about(base);
    },
  };
}

/** @param {string} title
 * @param {Direction[]} group */
function choices(title, group) {
  return make("optgroup", { label: title }, ...group.map(({ key, name }) => new Option(name, key)));
}
