// Runs the dashboard's own page and script against a proxy, in place of a browser: `node page.js URL`.
// Prints the text of the clusters as it stands after the first poll, a line for each heading and each
// row of a table, cells parted by `|`.
"use strict";

const base = process.argv[2];

class Node {
  constructor(tag, id) {
    Object.assign(this, { tag, id, attributes: {}, dataset: {}, children: [], className: "", hidden: false });
  }
  append(...children) { this.children.push(...children); }
  prepend(...children) { this.children.unshift(...children); }
  replaceChildren(...children) { this.children = children; }
  setAttribute(name, value) { this.attributes[name] = String(value); }
  removeAttribute(name) { delete this.attributes[name]; }
  hasAttribute(name) { return name in this.attributes; }
  hasChildNodes() { return this.children.length > 0; }
  addEventListener() {}
  contains() { return false; }
  querySelectorAll() { return []; }
  set textContent(text) { this.children = [String(text)]; }
  get textContent() { return this.children.map((child) => child.textContent ?? child).join(""); }
}

function lines(node, found) {
  if (!(node instanceof Node)) return found;
  if (node.tag === "tr" || node.className === "cluster-head" || (node.attributes.class || "") === "cluster-head") {
    found.push(node.children.map((child) => parts(child).join(" ")).join(" | "));
    return found;
  }
  node.children.forEach((child) => lines(child, found));
  return found;
}

/** The text of a cell, with a space between its elements. */
function parts(node) {
  return node instanceof Node ? node.children.flatMap(parts) : [String(node)];
}

async function main() {
  const text = async (path) => (await fetch(base + path)).text();
  const [page, script] = [await text("/"), await text("/ui/app.js")];
  const byId = new Map([...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => [id, new Node("div", id)]));
  const document = {
    getElementById: (id) => byId.get(id),
    createElement: (tag) => new Node(tag),
    addEventListener() {},
    hidden: false,
  };
  let polled;
  const done = new Promise((resolve) => { polled = resolve; });
  // The script sets a timer when its first poll is over.
  const run = new Function("document", "Node", "fetch", "setTimeout", "location", script);
  run(document, Node, (path, options) => fetch(base + path, options), polled, { protocol: "http:" });
  await done;
  console.log(lines(byId.get("clusters-body"), []).join("\n"));
  const notice = byId.get("notice");
  if (!notice.hidden && notice.textContent) throw new Error(notice.textContent);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
