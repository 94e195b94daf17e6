// Markdown, as model cards use it, to elements of the page: built one by one, so that no text can become markup.

import { make } from "zeuxis/pictures.js";

/** @typedef {"p" | "h3" | "h4" | "h5" | "h6" | "pre" | "code" | "ul" | "ol" | "li" | "blockquote" | "hr" | "br" | "table" | "thead" | "tbody"
 *   | "tr" | "th" | "td" | "a" | "strong" | "em"} Tag all that a card can bring about
 * @typedef {string | {tag: Tag, set: Record<string, string>, children: Part[]}} Part */

const MOST = 100_000; // characters that are read
const DEEPEST = 6; // lists in lists, and marks in marks
const FENCE = /^ {0,3}(```+|~~~+)/, HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/, RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/, ITEM = /^( *)([-*+]|\d{1,9}[.)])(?: +|$)/, DIVIDER = /^\s*\|?(?:\s*:?-+:?\s*\|)*\s*:?-+:?\s*\|?\s*$/;
// One mark of running text. Lengths are bounded, so that a card made to be slow is not.
const MARK = new RegExp([
  /\\(?<escaped>[!-/:-@[-`{-~])/u,
  /(?<ticks>`{1,3})(?<code>[^`](?:.{0,500}?[^`])?)\k<ticks>(?!`)/u,
  /!?\[(?<text>[^\][]{0,500})\]\((?<to>[^\s()]{0,1000})(?:\s+"[^"]{0,200}")?\)/u,
  /<(?<address>(?:https?|mailto):[^\s<>]{1,1000})>/u,
  /\*\*(?<strong>[^\s*](?:.{0,500}?\S)?)\*\*(?!\*)/u,
  /\*(?<em>[^\s*](?:[^*]{0,500}?[^\s*])?)\*/u,
  /(?<![\p{L}\p{N}_])_(?<under>[^\s_](?:[^_]{0,500}?[^\s_])?)_(?![\p{L}\p{N}_])/u,
  /&(?<entity>amp|lt|gt|quot|nbsp);/u,
  /(?<hard> {2,}|\\)\n/u,
].map(({ source }) => source).join("|"), "gu");
const ENTITIES = /** @type {Record<string, string>} */ ({ amp: "&", lt: "<", gt: ">", quot: '"', nbsp: "\u00a0" });

/** @param {Tag} tag
 * @param {Part[]} children
 * @param {Record<string, string>} [set] */
const part = (tag, children = [], set = {}) => ({ tag, set, children });

/** The elements of a text.
 * @param {string} text */
export function markdown(text) {
  return parsed(text).map(element);
}

/** @param {Part} found
 * @returns {Node | string} */
function element(found) {
  return typeof found === "string" ? found : make(found.tag, found.set, ...found.children.map(element));
}

/** The parts of a text; what a card says of itself to machines (front matter) is left out.
 * @param {string} text
 * @returns {Part[]} */
export function parsed(text) {
  const cut = text.length > MOST ? `${text.slice(0, MOST)}\n\n...` : text;
  return new Blocks(cut.replaceAll("\r\n", "\n").replace(/^---\n[\s\S]*?\n---(?:\n|$)/, "").split("\n")).all();
}

/** Lines to blocks. */
class Blocks {
  /** @param {string[]} lines
   * @param {number} depth */
  constructor(lines, depth = 0) {
    this.lines = lines;
    this.depth = depth;
    this.at = 0;
    this.level = 2; // of the last heading: that of the dialog is 2, and none is left out
  }

  all() {
    const found = /** @type {Part[]} */ ([]);
    while (this.at < this.lines.length) {
      if (!this.lines[this.at].trim()) this.at++;
      else found.push(this.block());
    }
    return found;
  }

  /** @returns {Part} */
  block() {
    const line = this.lines[this.at], heading = HEADING.exec(line), deeper = this.depth < DEEPEST;
    if (FENCE.test(line)) return this.code();
    if (heading) return this.heading(heading[1].length, heading[2]);
    if (RULE.test(line)) return this.at++, part("hr");
    if (this.isTable()) return this.table();
    if (deeper && QUOTE.test(line)) return part("blockquote", this.inside(this.while(QUOTE).map((one) => one.replace(QUOTE, ""))));
    if (deeper && ITEM.test(line)) return this.list();
    return this.paragraph();
  }

  /** @param {RegExp} form
   * @returns {string[]} the lines from here on that have it */
  while(form) {
    const begin = this.at;
    while (this.at < this.lines.length && form.test(this.lines[this.at])) this.at++;
    return this.lines.slice(begin, this.at);
  }

  /** @param {string[]} lines of a quotation or of an item
   * @returns {Part[]} */
  inside(lines) {
    return new Blocks(lines, this.depth + 1).all();
  }

  code() {
    const [, fence] = /** @type {RegExpExecArray} */ (FENCE.exec(this.lines[this.at++])), begin = this.at;
    while (this.at < this.lines.length && !this.lines[this.at].trimStart().startsWith(fence)) this.at++;
    return part("pre", [part("code", [this.lines.slice(begin, this.at++).join("\n")])]);
  }

  /** @param {number} depth
   * @param {string} text */
  heading(depth, text) {
    this.at++;
    this.level = Math.min(depth + 2, this.level + 1, 6);
    return part(/** @type {Tag} */ (`h${this.level}`), inline(text));
  }

  isTable() {
    const [head, divider] = this.lines.slice(this.at, this.at + 2);
    return head.includes("|") && !!divider?.includes("-") && divider.includes("|") && DIVIDER.test(divider);
  }

  table() {
    const head = cells(this.lines[this.at]), rows = /** @type {Part[]} */ ([]);
    for (this.at += 2; this.lines[this.at]?.includes("|"); this.at++)
      rows.push(part("tr", head.map((_, k, __, row = cells(this.lines[this.at])) => part("td", inline(row[k] ?? "")))));
    const names = part("tr", head.map((name) => part("th", inline(name), { scope: "col" })));
    return part("table", [part("thead", [names]), part("tbody", rows)]);
  }

  /** A list: its items are blocks themselves, as far as they are indented. */
  list() {
    const ordered = /^ *\d/.test(this.lines[this.at]), items = /** @type {Part[]} */ ([]);
    for (let found; (found = ITEM.exec(this.lines[this.at] ?? "")) && /\d/.test(found[2]) === ordered; ) {
      const width = found[0].length, indent = new RegExp(`^ {0,${width}}`), own = [this.lines[this.at++].slice(width)];
      for (let next; (next = this.lines[this.at]) !== undefined; this.at++) {
        const inside = next.startsWith(" ".repeat(Math.min(width, found[1].length + 2)));
        if (next.trim() ? !inside && (ITEM.test(next) || !this.goesOn()) : !this.lines[this.at + 1]?.startsWith("  ")) break;
        own.push(next.replace(indent, ""));
      }
      const blocks = this.inside(own), [only] = blocks;
      items.push(part("li", typeof only === "object" && only.tag === "p" ? [...only.children, ...blocks.slice(1)] : blocks));
      if (!this.lines[this.at]?.trim() && ITEM.test(this.lines[this.at + 1] ?? "")) this.at++;
    }
    return part(ordered ? "ol" : "ul", items);
  }

  /** Whether the line goes on with the text before it. */
  goesOn() {
    const line = this.lines[this.at] ?? "";
    return !!line.trim() && ![FENCE, HEADING, RULE, QUOTE, ITEM].some((form) => form.test(line)) && !this.isTable();
  }

  paragraph() {
    const begin = this.at++;
    while (this.goesOn()) this.at++;
    return part("p", inline(this.lines.slice(begin, this.at).map((line) => line.trimStart()).join("\n")));
  }
}

/** The cells of a row; a bar behind a backslash is a letter.
 * @param {string} line */
function cells(line) {
  return line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "").split(/(?<!\\)\|/).map((cell) => cell.trim());
}

/** Running text.
 * @param {string} text
 * @param {number} [depth]
 * @returns {Part[]} */
function inline(text, depth = 0) {
  const found = /** @type {Part[]} */ ([]);
  let at = 0, plain = "";
  for (const match of text.matchAll(MARK)) {
    const made = depth < DEEPEST ? marked(match.groups ?? {}, depth) : match[0];
    plain += text.slice(at, match.index) + (typeof made === "string" ? made : "");
    at = match.index + match[0].length;
    if (typeof made === "string") continue;
    if (plain) found.push(plain);
    found.push(made);
    plain = "";
  }
  plain += text.slice(at);
  return plain ? [...found, plain] : found;
}

/** What a mark stands for. Pictures from elsewhere are not fetched: their words stay.
 * @param {Record<string, string | undefined>} match
 * @param {number} depth
 * @returns {Part} */
function marked({ escaped, code, text, to, address, strong, em, under, entity }, depth) {
  if (escaped !== undefined) return escaped;
  if (code !== undefined) return part("code", [code]);
  if (to !== undefined) return link(inline(text ?? "", depth + 1), to);
  if (address !== undefined) return link([address.replace(/^mailto:/, "")], address);
  if (strong !== undefined) return part("strong", inline(strong, depth + 1));
  if (em !== undefined || under !== undefined) return part("em", inline(em ?? under ?? "", depth + 1));
  return entity ? ENTITIES[entity] : part("br");
}

/** A link to elsewhere opens a page of its own, which learns nothing of this one. What has no address there is text.
 * @param {Part[]} children
 * @param {string} href
 * @returns {Part} */
function link(children, href) {
  if (!/^(?:https?:\/\/|mailto:)[^\s]/i.test(href) || !children.length) return part("em", children);
  return part("a", children, { href, target: "_blank", rel: "noopener noreferrer" });
}
