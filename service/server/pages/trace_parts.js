// What the trace view is made of: words for times, elements, and the spans as a tree.

export const NS = 1e9;

export const brief = (s) => {
  const size = Math.abs(s);
  if (!size) return "0 s";
  if (size < 1e-4) return `${(s * 1e6).toPrecision(3)} µs`;
  return size < 0.1 ? `${(s * 1e3).toPrecision(3)} ms` : `${s.toFixed(size < 10 ? 2 : 1)} s`;
};
export const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((each) => each !== null));
  return made;
}

// The spans as a tree: `order` has parents before children, and `size` how many are in a subtree.
export class Tree {
  constructor(view) {
    const { id, parent, start_ns: start, end_ns: end, name, role } = view.spans, count = id.length;
    Object.assign(this, { view, count, id, parent, start, end, whole: Math.max(view.duration_ns, 1) });
    this.name = name.map((at) => view.names[at] || "(unnamed)");
    this.role = role.map((at) => view.roles[at]);
    this.at = new Map(id.map((each, at) => [each, at]));
    this.children = Array.from({ length: count }, () => []);
    const roots = [];
    for (let at = 0; at < count; at++) (parent[at] < 0 ? roots : this.children[parent[at]]).push(at);
    const byStart = (a, b) => start[a] - start[b] || a - b;
    roots.sort(byStart);
    for (const each of this.children) if (each.length > 1) each.sort(byStart);
    [this.order, this.place, this.depth, this.size] = [[], new Int32Array(count), new Int32Array(count), new Int32Array(count).fill(1)];
    const pending = roots.reverse();
    while (pending.length) {
      const at = pending.pop();
      this.place[at] = this.order.length;
      this.order.push(at);
      this.depth[at] = parent[at] < 0 ? 0 : this.depth[parent[at]] + 1;
      for (let n = this.children[at].length - 1; n >= 0; n--) pending.push(this.children[at][n]);
    }
    for (let n = count - 1; n >= 0; n--) if (parent[this.order[n]] >= 0) this.size[parent[this.order[n]]] += this.size[this.order[n]];
    this.cut = new Set(view.cut ?? []);
    this.failed = new Set(view.failed.filter((at) => !this.cut.has(at)));
    [this.path, this.waits, this.onPath, this.below] = [new Map(), new Map(), new Set(), new Map()];
    for (const [list, where] of [[view.path, this.path], [view.waits, this.waits]])
      for (const [at, from, to] of list) (where.get(at) ?? where.set(at, []).get(at)).push([from, to]);
    for (let at of this.path.keys()) for (; at >= 0 && !this.onPath.has(at); at = parent[at]) this.onPath.add(at);
    this.fanOut = new Map();
    for (const each of view.fan_outs) each.spans.forEach((at, n) => this.fanOut.set(at, { ...each, number: n + 1 }));
  }

  ancestors(at) {
    const above = [];
    for (at = this.parent[at]; at >= 0; at = this.parent[at]) above.push(at);
    return above;
  }

  // The critical path in a span, or in all of a subtree that is folded.
  pathOf(at, folded) {
    if (!folded) return this.path.get(at) ?? [];
    if (!this.below.has(at)) {
      const [first, end] = [this.place[at], this.place[at] + this.size[at]], found = [];
      for (const [span, from, to] of this.view.path) {
        if (this.place[span] < first || this.place[span] >= end) continue;
        if (found.length && found.at(-1)[1] >= from) found.at(-1)[1] = to;
        else found.push([from, to]);
      }
      this.below.set(at, found);
    }
    return this.below.get(at);
  }
}
