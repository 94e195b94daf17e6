// Markdown of model cards: what becomes of it, and that nothing in a card can become more than the few elements known.

import assert from "node:assert/strict";
import test from "node:test";

import { parsed } from "zeuxis/markdown.js";

const KNOWN = "p h3 h4 h5 h6 pre code ul ol li blockquote hr br table thead tbody tr th td a strong em".split(" ");

/** A part as text, to be compared. */
function told(part) {
  if (typeof part === "string") return part;
  const set = Object.entries(part.set).map(([name, value]) => ` ${name}=${value}`).join("");
  return `(${part.tag}${set}${part.children.length ? " " : ""}${part.children.map(told).join("")})`;
}

/** All elements of a text. */
function tags(part) {
  return typeof part === "string" ? [] : [part, ...part.children.flatMap(tags)];
}

const is = (text, ...wanted) => assert.deepEqual(parsed(text).map(told), wanted);
const AWAY = "target=_blank rel=noopener noreferrer";

test("blocks: headings, code, tables, quotes, lists and paragraphs", () => {
  is("# A\n\n### B ##\ntext\nof two lines\n\n---", "(h3 A)", "(h4 B)", "(p text\nof two lines)", "(hr)");
  is("```python\na = 1  # [x](https://y.z)\n\n```\nafter", "(pre (code a = 1  # [x](https://y.z)\n))", "(p after)");
  is("| a | b |\n|---|:-:|\n| 1 | x \\| y |\n| 2 |\nafter", "(table (thead (tr (th scope=col a)(th scope=col b)))"
    + "(tbody (tr (td 1)(td x | y))(tr (td 2)(td))))", "(p after)");
  is("> quoted\n> - inside", "(blockquote (p quoted)(ul (li inside)))");
  is("- a\n- b\n  1. c\n  2. d\n\n- e\n\nafter", "(ul (li a)(li b(ol (li c)(li d)))(li e))", "(p after)");
});

test("running text: marks, links, escapes", () => {
  is("**b *i*** and _u_, snake_case_name, `a*b*`", "(p (strong b (em i)) and (em u), snake_case_name, (code a*b*))");
  is("[w](https://a.b/c?d) <mailto:me@a.b>", `(p (a href=https://a.b/c?d ${AWAY} w) (a href=mailto:me@a.b ${AWAY} me@a.b))`);
  is("\\*no\\* a &lt; b\\\nc", "(p *no* a < b(br)c)");
});

test("front matter is for machines", () => is("---\nlicense: mit\n---\n# A", "(h3 A)"));

test("what no address of the web has is text, and a picture from elsewhere is its words", () => {
  is("[x](javascript:alert(1)) [y](data:text/html,z) [z](../other)", "(p [x](javascript:alert(1)) (em y) (em z))");
  is("[x](JavaScript:alert) [x](//a.b)", "(p (em x) (em x))");
  is("![a face](https://a.b/c.png)", `(p (a href=https://a.b/c.png ${AWAY} a face))`);
  is("<script>alert(1)</script> <b onclick=x>", "(p <script>alert(1)</script> <b onclick=x>)");
});

test("whatever a card holds, only known elements and addresses come of it, and soon", () => {
  const bits = ["#", "*", "_", "`", "|", "-", "[", "](", ")", "<", ">", "\\", "\n", " ", "  ", "1. ", "a", "https://b", "javascript:", "&lt;", "\n\n"];
  let state = 7;
  const next = (most) => (state = (state * 48271) % 2147483647) % most;
  for (let round = 0; round < 3000; round++) {
    const text = Array.from({ length: 1 + next(40) }, () => bits[next(bits.length)]).join("");
    for (const { tag, set } of parsed(text).flatMap(tags)) {
      assert.ok(KNOWN.includes(tag), tag);
      assert.ok(set.href === undefined || /^(https?:|mailto:)/.test(set.href), text);
    }
  }
});

test("a card made to be slow or deep is not", () => {
  const slow = ["`", "*a", "[", "- ", "> ", "|", " ", "_a ", "- a\n", "> - ", "**", "<https:", "1. "];
  for (const bit of slow) assert.ok(parsed(bit.repeat(300_000)).flatMap(tags).length < 200_000, bit);
});
