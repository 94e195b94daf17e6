// The page: its head, a tab for each view that the model can serve, and the link that restores all of it.

import { packed, unpacked } from "zeuxis/link.js";
import { markdown } from "zeuxis/markdown.js";
import { Page } from "zeuxis/page.js";
import { make } from "zeuxis/pictures.js";
import { isRecipe, ofSeed } from "zeuxis/recipes.js";

/** @typedef {import("zeuxis/engine.js").Engine} Engine */
/** @typedef {import("zeuxis/engine.js").Info} Info */
/** @typedef {{show: () => void, hide: () => void, state: () => unknown, restore: (state: any) => void}} Mounted */
/** @typedef {{id: string, title: string, available: (info: Info, engine: Engine) => boolean,
 *   mount: (root: HTMLElement, page: Page) => Mounted}} View */

const VERSION = 1; // of links
const LOST = "The server does not answer; the page goes on when it does.";
const ENDS = /** @type {Record<number, string>} */ ({ // by the code with which the server closed the socket
  1008: "The server refuses this page; open the link that the terminal shows.",
  1013: "The server has as many pages open as it serves; close another one.",
});
const WRITTEN = 250; // ms after the last change
const KEPT_AT_FIRST = [0, 3, 8, 12, 20, 27];

/** @param {string} id
 * @returns {HTMLElement} */
const $ = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @param {Engine} engine
 * @param {View[]} views in the order of their tabs */
export function start(engine, views) {
  const page = new Page(engine), state = unpacked(location.hash) ?? {};
  Object.assign(window, { zeuxis: page });
  dress(page, state.theme);
  head(page);
  if (Number.isInteger(state.label) && state.label >= 0 && state.label < page.info.labels) engine.label = state.label;
  page.kept = (Array.isArray(state.kept) ? state.kept.filter((/** @type {unknown} */ one) => isRecipe(one)) : null) ?? KEPT_AT_FIRST.map(ofSeed);
  if (state.model && state.model !== page.info.hash) page.trouble("This link was made with another model: here its recipes give other pictures.");
  const tabs = new Tabs(page, views.filter((view) => view.available(page.info, engine)), state);
  linked(page, tabs, state.theme);
  let lost = "";
  engine.heard.addEventListener("closed", (event) => page.trouble((lost = ENDS[/** @type {CustomEvent} */ (event).detail] ?? LOST)));
  engine.heard.addEventListener("open", () => $("trouble-text").textContent === lost && page.trouble(""));
  return page;
}

/** The tabs, and the views behind them; a view is mounted when it is first looked at. */
class Tabs {
  /** @param {Page} page
   * @param {View[]} views
   * @param {any} state */
  constructor(page, views, state) {
    this.page = page;
    this.views = views;
    this.states = state.views && typeof state.views === "object" ? state.views : {};
    this.mounted = /** @type {Map<string, Mounted>} */ (new Map());
    this.now = "";
    $("tabs").append(...views.map((view) => this.tab(view)));
    $("tabs").hidden = views.length < 2;
    $("tabs").onkeydown = (event) => this.key(event);
    // A state that is not ours: somebody has put another link into the address.
    addEventListener("popstate", (event) => (event.state ? this.open(event.state.tab, false) : location.reload()));
    page.on("open", (id) => this.open(id, true));
    page.on("mount", (id) => this.get(id));
    this.open(state.tab, false);
  }

  /** @param {View} view
   * @returns {HTMLElement} */
  tab(view) {
    const tab = make("button", { id: `tab-${view.id}`, role: "tab", textContent: view.title, "aria-controls": `view-${view.id}` });
    tab.onclick = () => this.open(view.id, true);
    $("views").append(make("div", { id: `view-${view.id}`, role: "tabpanel", hidden: true, className: "view", "aria-labelledby": tab.id }));
    return tab;
  }

  /** Arrows move among the tabs, as those who use a keyboard expect.
   * @param {KeyboardEvent} event */
  key(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key], at = this.views.findIndex((view) => view.id === this.now);
    if (!step) return;
    const next = this.views[(at + step + this.views.length) % this.views.length];
    this.open(next.id, true);
    $(`tab-${next.id}`).focus();
  }

  /** @param {string | undefined} id
   * @param {boolean} push a step of the browser's history */
  open(id, push) {
    const view = this.views.find((one) => one.id === id) ?? (this.now ? null : this.views[0]);
    if (!view || view.id === this.now) return;
    if (push) this.page.tell("leave", null);
    this.mounted.get(this.now)?.hide();
    this.now = view.id;
    for (const one of this.views) {
      const chosen = one === view, tab = $(`tab-${one.id}`);
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      $(`view-${one.id}`).hidden = !chosen;
    }
    if (push) history.pushState({ tab: view.id }, "", location.href);
    this.get(view.id)?.show();
    this.page.tell("tab", view.id);
    this.page.remember();
  }

  /** A view, mounted at the first time.
   * @param {string} id
   * @returns {Mounted | undefined} */
  get(id) {
    const view = this.views.find((one) => one.id === id);
    if (!view || this.mounted.has(id)) return this.mounted.get(id);
    const mounted = view.mount($(`view-${id}`), this.page);
    this.mounted.set(id, mounted);
    if (this.states[id]) mounted.restore(this.states[id]);
    return mounted;
  }

  /** What the link holds of each view; of those not looked at yet, what the last link held. */
  state() {
    const now = Object.fromEntries([...this.mounted].map(([id, mounted]) => [id, mounted.state()]));
    return { ...this.states, ...now };
  }
}

/** The name of the model, its card, and the switch from light to dark.
 * @param {Page} page */
function head(page) {
  const { name, family, size, card } = page.info;
  $("about").append(make("b", { textContent: name }), ` ${family}, ${size} pixels`);
  document.title = `${name} - Zeuxis`;
  $("card-open").hidden = !card;
  const dialog = /** @type {HTMLDialogElement} */ ($("card"));
  $("card-open").onclick = () => {
    $("card-text").replaceChildren(...markdown(card));
    dialog.showModal();
  };
  $("card-close").onclick = () => dialog.close();
  $("trouble-close").onclick = () => page.trouble("");
}

/** @param {Page} page
 * @param {string | undefined} chosen */
function dress(page, chosen) {
  const wished = matchMedia("(prefers-color-scheme: dark)");
  /** @param {boolean} dark */
  const wear = (dark) => {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    $("theme").textContent = dark ? "Light" : "Dark";
    page.tell("theme", null);
  };
  wear(chosen ? chosen === "dark" : wished.matches);
  $("theme").onclick = () => {
    wear(page.theme() !== "dark");
    page.remember();
  };
}

/** @param {Page} page
 * @param {Tabs} tabs
 * @param {string | undefined} theme */
function linked(page, tabs, theme) {
  let later = 0, chosen = theme;
  $("theme").addEventListener("click", () => (chosen = page.theme()));
  const write = () => {
    const { info, kept, engine } = page, label = engine.label < 0 ? undefined : engine.label;
    const state = { v: VERSION, model: info.hash, tab: tabs.now, theme: chosen, label, kept, views: tabs.state() };
    history.replaceState({ tab: tabs.now }, "", `#${packed(state)}`);
  };
  page.on("changed", () => {
    clearTimeout(later);
    later = setTimeout(write, WRITTEN);
  });
  page.on("leave", write); // a step of the history: the one that is left holds its view as it was
  $("link").onclick = async () => {
    clearTimeout(later);
    write();
    const copied = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
    $("link").textContent = copied ? "Copied" : "Link is in the address";
    page.say($("link").textContent ?? "");
    setTimeout(() => ($("link").textContent = "Copy link"), 1500);
  };
}
