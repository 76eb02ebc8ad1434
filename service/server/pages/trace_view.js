// The trace view: a waterfall of all spans as a tree grid, with a map of the whole and a panel for one span.
// Only the rows in sight are elements, so that very many spans are no burden. What a trace says goes
// into the page as text only, and the place of a bar through the object model, never as markup.
import { panelOf } from "./trace_panel.js";
import { NS, Tree, brief, element, plural } from "./trace_parts.js";
import { offerFixes } from "./trace_what_if.js";

const PIECES = 400, OVERSCAN = 6, DEEPEST = 12, VERBS = /^((?:invoke_agent|execute_tool|invoke_workflow|create_agent) )(?=.)/;
const KIND = { llm: "llm", tool: "tool", retrieval: "tool", fetch: "http", http: "http" };
const narrow = matchMedia("(max-width: 44rem)"), dark = matchMedia("(prefers-color-scheme: dark)");
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

class TraceView {
  constructor(mount, view) {
    [this.mount, this.address, this.tree] = [mount, mount.dataset.trace, new Tree(view)];
    Object.assign(this, { folded: new Set(), from: 0, to: this.tree.whole, current: this.tree.order[0] ?? -1, open: -1, lit: null, after: null, mouseAt: "", keyAt: "" });
    this.filter = { text: "", role: "", errors: false, path: false };
    this.details = new Map();
    this.build();
    this.arrange();
    addEventListener("hashchange", () => this.follow());
    if (mount.dataset.grows !== undefined) document.addEventListener("feed", ({ detail }) => this.hear(detail));
    for (const query of [narrow, dark]) query.addEventListener("change", () => this.render(true));
    new ResizeObserver(() => this.render(true)).observe(this.scroll);
    this.follow();
    mount.dataset.ready = "";
  }

  build() {
    const { tree } = this, roles = [...new Set(tree.role)];
    const toggle = (label, key) => element("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: (event) => {
      this.filter[key] = !this.filter[key];
      event.target.setAttribute("aria-pressed", String(this.filter[key]));
      this.arrange();
    } }, label);
    const button = (label, title, act) => element("button", { type: "button", class: "quiet", title, "aria-label": title, onclick: act }, label);
    this.text = element("input", { type: "search", placeholder: "Filter by name (f)", "aria-label": "Filter spans by name", oninput: () => this.setFilter("text", this.text.value.toLowerCase()) });
    this.roles = element("select", { "aria-label": "Role", onchange: () => this.setFilter("role", this.roles.value) },
      element("option", { value: "" }, "All roles"), ...roles.map((each) => element("option", { value: each }, each)));
    this.found = element("span", { class: "note found", role: "status" });
    this.bar = element("div", { class: "view-tools", role: "toolbar", "aria-label": "Trace" }, this.text, this.roles,
      tree.failed.size ? toggle("Errors", "errors") : null, tree.view.path.length ? toggle("Critical path", "path") : null, this.found,
      element("span", { class: "view-zoom" },
        button("−", "Zoom out (-)", () => this.zoom(2)), button("+", "Zoom in (+)", () => this.zoom(0.5)), button("Whole trace", "Show the whole trace (0)", () => this.range(0, tree.whole)),
        button("Fold", "Fold all", () => this.foldAll(true)), button("Unfold", "Unfold all", () => this.foldAll(false))));
    this.said = element("div", { class: "view-said", role: "status" });
    this.map = element("canvas", { class: "view-map", "aria-hidden": "true" });
    this.window = element("div", { class: "view-window", "aria-hidden": "true" });
    this.axis = element("div", { class: "view-axis", "aria-hidden": "true" });
    this.rows = element("div", { class: "view-rows", role: "presentation" });
    this.lines = element("div", { class: "view-lines", "aria-hidden": "true" });
    this.drag = element("div", { class: "view-drag", hidden: true });
    this.tip = element("div", { class: "view-tip", hidden: true });
    this.scroll = element("div", { class: "view-scroll", role: "treegrid", tabindex: "0", "aria-label": "Spans of the trace", "aria-rowcount": tree.count, "aria-colcount": 3,
      onscroll: () => this.render(), onkeydown: (event) => this.key(event) }, this.rows);
    this.panel = element("aside", { class: "view-panel", "aria-label": "Span", hidden: true, tabindex: "-1", onkeydown: (event) => {
      if (event.key === "Escape") { event.stopPropagation(); this.close(); }
    } });
    this.chart = element("div", { class: "view-chart" },
      element("div", { class: "view-top", "aria-hidden": "true" }, element("span", { class: "note" }, "Overview"), element("div", { class: "view-over" }, this.map, this.window), element("span")),
      element("div", { class: "view-head", "aria-hidden": "true" }, element("span", {}, "Span"), this.axis, element("span", {}, "Took")),
      element("div", { class: "view-body" }, this.lines, this.scroll, this.drag), this.tip);
    this.mount.replaceChildren(this.bar, this.said, element("div", { class: "view-split" }, this.chart, this.panel));
    this.pool = [];
    this.rows.addEventListener("click", (event) => this.click(event));
    this.rows.addEventListener("dblclick", (event) => this.rowOf(event) >= 0 && this.zoomTo(this.rowOf(event)));
    this.rows.addEventListener("pointermove", (event) => this.point(event));
    this.rows.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    this.draggable(this.rows, (event) => event.pointerType === "mouse" && event.target.closest(".span-bar") !== null);
    this.draggable(this.map, () => true);
    this.scroll.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest("input, select, textarea");
      if (event.key === "Escape" && event.target === this.text) this.scroll.focus();
      else if (!typing && !event.ctrlKey && !event.metaKey && !event.altKey && (event.key === "/" || event.key === "f")) { event.preventDefault(); this.text.focus(); }
    });
    offerFixes(this);
    for (const each of document.querySelectorAll("[data-check]")) {
      const mark = this.tree.view.checks.find((check) => check.id === each.dataset.check);
      if (mark?.spans.length) each.append(element("a", { href: `#check=${encodeURIComponent(mark.id)}`, class: "light" }, `Show ${plural(mark.spans.length, "span")} in the trace`));
    }
  }

  setFilter(key, value) {
    this.filter[key] = value;
    this.arrange();
  }

  matches(at) {
    const { text, role, errors, path } = this.filter, { tree } = this;
    return (!text || tree.name[at].toLowerCase().includes(text) || tree.id[at] === text) && (!role || tree.role[at] === role) &&
      (!errors || tree.failed.has(at)) && (!path || tree.path.has(at));
  }

  // Which spans have rows: those that match with those above them, or those that are not folded away.
  arrange() {
    const { tree } = this, { text, role, errors, path } = this.filter;
    this.matching = text || role || errors || path ? new Set(tree.order.filter((at) => this.matches(at))) : null;
    if (this.matching) {
      const shown = new Set();
      for (let at of this.matching) for (; at >= 0 && !shown.has(at); at = tree.parent[at]) shown.add(at);
      this.visible = tree.order.filter((at) => shown.has(at));
    } else {
      this.visible = [];
      for (let n = 0; n < tree.count; n += this.folded.has(tree.order[n]) ? tree.size[tree.order[n]] : 1) this.visible.push(tree.order[n]);
    }
    this.rowAt = new Map(this.visible.map((at, row) => [at, row]));
    this.found.textContent = this.matching ? `${this.matching.size.toLocaleString("en")} of ${plural(tree.count, "span")}` : plural(tree.count, "span");
    if (!this.rowAt.has(this.current)) this.current = [this.current, ...(this.current < 0 ? [] : tree.ancestors(this.current))].find((at) => this.rowAt.has(at)) ?? this.visible[0] ?? -1;
    this.render(true);
  }

  range(from, to) {
    const least = Math.max(this.tree.whole / 1e7, 10), length = clamp(to - from, least, this.tree.whole);
    this.from = clamp(from, 0, this.tree.whole - length);
    this.to = this.from + length;
    this.render(true);
  }

  zoom(factor, around = (this.from + this.to) / 2) {
    this.range(around - (around - this.from) * factor, around + (this.to - around) * factor);
  }

  zoomTo(at) {
    const { start, end, whole } = this.tree, room = Math.max((end[at] - start[at]) * 0.1, whole / 1e5);
    this.range(start[at] - room, end[at] + room);
  }

  foldAll(fold) {
    const { tree } = this;
    // The top stays open: what is directly below it is what one looks for.
    this.folded = new Set(fold ? tree.order.filter((at) => tree.children[at].length && tree.depth[at] > 0) : []);
    this.arrange();
  }

  fold(at, fold) {
    if (this.matching || !this.tree.children[at].length) return;
    this.folded[fold ? "add" : "delete"](at);
    this.arrange();
  }

  // News of a trace that grows: more of its spans are drawn, and what was folded, open and in sight stays.
  async hear({ topic, data }) {
    if (topic !== "trace" || !this.address.endsWith(data.trace_id)) return;
    if (data.state === "judged") return location.reload();
    if (this.growing) return;
    this.growing = true;
    const view = await fetch(`${this.address}/view`, { headers: { Accept: "application/json" } }).then((answer) => (answer.ok ? answer.json() : null)).catch(() => null);
    if (view && view.spans.id.length !== this.tree.count) this.grow(new Tree(view));
    setTimeout(() => { this.growing = false; }, 2000);
  }

  grow(tree) {
    const old = this.tree, now = (at) => (at < 0 ? -1 : tree.at.get(old.id[at]) ?? -1), whole = this.to - this.from >= old.whole;
    this.tree = tree;
    [this.folded, this.current, this.open] = [new Set([...this.folded].map(now)), now(this.current), now(this.open)];
    if (this.lit) this.lit.spans = new Set([...this.lit.spans].map(now));
    this.details.clear();
    if (whole) [this.from, this.to] = [0, tree.whole];
    this.scroll.setAttribute("aria-rowcount", tree.count);
    this.arrange();
  }

  // Elements for the rows in sight, and what else depends on the range.
  render(all = false) {
    const high = this.height = narrow.matches ? 42 : 24, { visible } = this;
    this.rows.style.height = `${visible.length * high}px`;
    const first = Math.max(Math.floor(this.scroll.scrollTop / high) - OVERSCAN, 0);
    const last = Math.min(Math.ceil((this.scroll.scrollTop + this.scroll.clientHeight) / high) + OVERSCAN, visible.length);
    while (this.pool.length < last - first) this.pool.push(this.makeRow());
    const free = [];
    const kept = new Map();
    for (const row of this.pool) (row.number >= first && row.number < last && !all ? kept.set(row.number, row) : free.push(row));
    for (let number = first; number < last; number++) if (!kept.has(number)) this.fill(free.shift(), number, high);
    for (const row of free) { row.number = Infinity; row.hidden = true; }
    // A reader of the document meets the rows in the order in which the eye sees them.
    this.pool.sort((a, b) => (a.number === b.number ? 0 : a.number - b.number));
    this.pool.forEach((row, place) => { if (this.rows.children[place] !== row) this.rows.insertBefore(row, this.rows.children[place]); });
    this.scroll.setAttribute("aria-activedescendant", this.rowAt.has(this.current) ? `span-row-${this.current}` : "");
    if (!all) return;
    this.chart.style.setProperty("--bar", `${this.scroll.offsetWidth - this.scroll.clientWidth}px`);
    this.drawAxis();
    this.drawMap();
  }

  makeRow() {
    const row = element("div", { role: "row", class: "span-row", hidden: true });
    row.fold = element("span", { class: "fold", "aria-hidden": "true" });
    row.dot = element("span", { class: "dot", "aria-hidden": "true" });
    row.verb = element("span", { class: "verb" });
    row.text = element("span", { class: "text" });
    row.pill = element("span", { class: "pill" });
    row.bars = element("div", { class: "span-bar", role: "gridcell" });
    row.took = element("div", { class: "span-took", role: "gridcell" });
    row.append(element("div", { class: "span-name", role: "rowheader" }, row.fold, row.dot, row.verb, row.text, row.pill), row.bars, row.took);
    this.rows.append(row);
    return row;
  }

  fill(row, number, high) {
    const { tree } = this, at = this.visible[number], { start, end } = tree, folded = this.folded.has(at) && !this.matching;
    // With a filter only what is in sight counts.
    const parent = this.matching ? tree.depth[this.visible[number + 1]] > tree.depth[at] : tree.children[at].length > 0, fanOut = tree.fanOut.get(at), kind = KIND[tree.role[at]] ?? "other";
    Object.assign(row, { number, at, hidden: false, id: `span-row-${at}` });
    row.style.transform = `translateY(${number * high}px)`;
    row.classList.toggle("current", at === this.current);
    row.classList.toggle("opened", at === this.open);
    row.classList.toggle("failed", tree.failed.has(at));
    row.classList.toggle("pale", (this.lit !== null && !this.lit.spans.has(at)) || (this.matching !== null && !this.matching.has(at)));
    row.classList.toggle("lit", this.lit?.spans.has(at) ?? false);
    for (const [name, value] of Object.entries({ "aria-level": tree.depth[at] + 1, "aria-rowindex": number + 1, "aria-selected": at === this.current })) row.setAttribute(name, value);
    if (parent) row.setAttribute("aria-expanded", !folded); else row.removeAttribute("aria-expanded");
    row.fold.textContent = parent ? (folded ? "▸" : "▾") : "";
    row.fold.style.marginLeft = `${Math.min(tree.depth[at], DEEPEST) * (narrow.matches ? 0.6 : 0.85)}rem`;
    row.dot.className = `dot ${kind}`;
    const verb = VERBS.exec(tree.name[at])?.[1] ?? "";
    row.verb.textContent = verb.trim();
    row.text.textContent = tree.name[at].slice(verb.length);
    row.pill.textContent = fanOut ? `${fanOut.number}/${fanOut.spans.length}` : folded ? `+${tree.size[at] - 1}` : "";
    row.pill.classList.toggle("fan", Boolean(fanOut));
    row.took.textContent = brief((this.after ? this.after.end_ns[at] - this.after.start_ns[at] : end[at] - start[at]) / NS);
    const pieces = [];
    if (this.after) {
      this.piece(pieces, "before", start[at], end[at]);
      this.piece(pieces, "after", this.after.start_ns[at], this.after.end_ns[at]);
    } else {
      this.piece(pieces, `bar ${kind}${tree.failed.has(at) ? " failed-bar" : ""}${tree.cut.has(at) ? " cut" : ""}`, start[at], end[at]);
      for (const [from, to] of (tree.waits.get(at) ?? []).slice(0, PIECES)) this.piece(pieces, "wait", from, to);
      for (const [from, to] of tree.pathOf(at, folded).slice(0, PIECES)) this.piece(pieces, "path", from, to);
      if (fanOut) this.piece(pieces, "release", start[at], start[at]);
    }
    row.bars.replaceChildren(...pieces);
    row.bars.setAttribute("aria-label", this.sentence(at));
  }

  piece(pieces, kind, from, to) {
    if (to < this.from || from > this.to) return;
    const whole = this.to - this.from, left = clamp((from - this.from) / whole, -0.01, 1.01), right = clamp((to - this.from) / whole, -0.01, 1.01);
    const made = element("i", { class: kind });
    made.style.left = `${100 * left}%`;
    made.style.width = `${100 * (right - left)}%`;
    pieces.push(made);
  }

  sentence(at) {
    const { tree } = this, sum = (list) => (list ?? []).reduce((total, [from, to]) => total + to - from, 0) / NS;
    const path = sum(tree.path.get(at)), wait = sum(tree.waits.get(at)), fanOut = tree.fanOut.get(at);
    return [`${brief((tree.end[at] - tree.start[at]) / NS)} from ${brief(tree.start[at] / NS)}`, tree.failed.has(at) ? "failed" : tree.cut.has(at) ? "cancelled" : "",
      path ? `${brief(path)} on the critical path` : "", wait ? `waited ${brief(wait)}` : "",
      fanOut ? `branch ${fanOut.number} of ${fanOut.spans.length} of ${fanOut.name}: ${fanOut.strength}` : ""].filter(Boolean).join("; ");
  }

  drawAxis() {
    const whole = this.to - this.from, count = clamp(Math.round(this.axis.clientWidth / 110), 2, 8), raw = whole / count;
    const power = 10 ** Math.floor(Math.log10(raw)), step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= raw * 0.999);
    const unit = step >= 1e8 ? [1e9, "s"] : step >= 1e5 ? [1e6, "ms"] : [1e3, "µs"], digits = Math.max(0, -Math.floor(Math.log10(step / unit[0]) + 1e-9));
    const marks = [], lines = [];
    for (let at = Math.ceil(this.from / step - 1e-9) * step; at <= this.to + step * 1e-6; at += step) {
      const share = (at - this.from) / whole, mark = element("span", { class: share < 0.04 ? "first" : share > 0.96 ? "last" : "" }, `${(at / unit[0]).toFixed(digits)} ${unit[1]}`), line = element("i");
      mark.style.left = line.style.left = `${100 * share}%`;
      marks.push(mark);
      lines.push(line);
    }
    this.axis.replaceChildren(...marks);
    this.lines.replaceChildren(...lines);
  }

  drawMap() {
    const { map, tree } = this, scale = devicePixelRatio || 1, wide = map.clientWidth, high = map.clientHeight;
    if (!wide) return;
    [map.width, map.height] = [wide * scale, high * scale];
    const context = map.getContext("2d"), style = getComputedStyle(map), colour = (name) => style.getPropertyValue(`--${name}`);
    const levels = tree.depth.reduce((most, each) => Math.max(most, each), 0) + 1, thick = (high - 6) / levels;
    const colours = Object.fromEntries(["llm", "tool", "http", "other", "path", "bad"].map((name) => [name, colour(name)]));
    context.scale(scale, scale);
    const x = (time) => (time / tree.whole) * wide;
    for (const at of tree.order) {
      context.fillStyle = tree.failed.has(at) ? colours.bad : colours[KIND[tree.role[at]] ?? "other"];
      context.globalAlpha = this.lit && !this.lit.spans.has(at) ? 0.2 : tree.cut.has(at) ? 0.45 : 1;
      context.fillRect(x(tree.start[at]), tree.depth[at] * thick, Math.max(x(tree.end[at]) - x(tree.start[at]), 1), Math.max(thick - 1, 1));
    }
    context.globalAlpha = 1;
    context.fillStyle = colours.path;
    for (const [, from, to] of tree.view.path) context.fillRect(x(from), high - 4, Math.max(x(to) - x(from), 0.5), 3);
    this.window.style.left = `${(100 * this.from) / tree.whole}%`;
    this.window.style.width = `${(100 * (this.to - this.from)) / tree.whole}%`;
    this.window.hidden = this.from === 0 && this.to === tree.whole;
  }

  rowOf(event) {
    return event.target.closest(".span-row")?.at ?? -1;
  }

  click(event) {
    const at = this.rowOf(event);
    if (at < 0 || this.dragged) return;
    this.move(at);
    if (event.target.closest(".fold") && this.tree.children[at].length) this.fold(at, !this.folded.has(at));
    else this.show(at);
  }

  point(event) {
    const at = this.rowOf(event), box = this.chart.getBoundingClientRect();
    // Rows that move below a mouse at rest are no news of the mouse.
    if (this.keyAt === `${event.clientX},${event.clientY}`) return;
    [this.keyAt, this.mouseAt] = ["", `${event.clientX},${event.clientY}`];
    this.tip.hidden = at < 0 || event.pointerType !== "mouse" || !this.drag.hidden;
    if (this.tip.hidden) return;
    this.tip.replaceChildren(element("b", {}, this.tree.name[at]), element("span", {}, this.sentence(at)));
    const left = clamp(event.clientX - box.left + 14, 0, Math.max(box.width - this.tip.offsetWidth - 4, 0));
    const below = event.clientY - box.top + 18, above = event.clientY - box.top - this.tip.offsetHeight - 10;
    this.tip.style.transform = `translate(${left}px, ${below + this.tip.offsetHeight > box.height && above > 0 ? above : below}px)`;
  }

  // A drag over time zooms to it; one over the map starts from the whole trace.
  draggable(surface, starts) {
    surface.addEventListener("pointerdown", (down) => {
      if (down.button || !starts(down)) return;
      const area = (surface === this.map ? this.map : this.axis).getBoundingClientRect(), body = this.drag.parentElement.getBoundingClientRect();
      const [from, to] = surface === this.map ? [0, this.tree.whole] : [this.from, this.to];
      const time = (x) => from + clamp((x - area.left) / area.width, 0, 1) * (to - from);
      this.dragged = false;
      const move = (event) => {
        if (!this.dragged && Math.abs(event.clientX - down.clientX) < 5) return;
        if (!this.dragged) surface.setPointerCapture?.(down.pointerId);
        this.dragged = true;
        [this.drag.hidden, this.tip.hidden] = [false, true];
        const [left, right] = [down.clientX, event.clientX].map((x) => clamp(x, area.left, area.right)).sort((a, b) => a - b);
        this.drag.style.left = `${left - body.left}px`;
        this.drag.style.width = `${right - left}px`;
      };
      const end = (event) => {
        removeEventListener("pointermove", move);
        this.drag.hidden = true;
        if (event.type === "pointercancel") return;
        const [a, b] = [time(down.clientX), time(event.clientX)].sort((x, y) => x - y);
        if (this.dragged) this.range(a, b);
        else if (surface === this.map) this.range(a - (this.to - this.from) / 2, a + (this.to - this.from) / 2);
        setTimeout(() => { this.dragged = false; });
      };
      addEventListener("pointermove", move);
      addEventListener("pointerup", end, { once: true });
      addEventListener("pointercancel", end, { once: true });
    });
  }

  wheel(event) {
    const area = this.axis.getBoundingClientRect();
    if (event.ctrlKey) {
      event.preventDefault();
      this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.from + clamp((event.clientX - area.left) / area.width, 0, 1) * (this.to - this.from));
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      this.pan((event.deltaX / area.width) * (this.to - this.from));
    }
  }

  pan(by) {
    this.range(this.from + by, this.to + by);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || this.current < 0) return;
    const { tree, current } = this, row = this.rowAt.get(current), page = Math.max(Math.floor(this.scroll.clientHeight / this.height) - 1, 1);
    const step = (by) => this.move(this.visible[clamp(row + by, 0, this.visible.length - 1)]);
    const folded = this.folded.has(current), parent = tree.children[current].length > 0;
    const acts = {
      ArrowDown: () => step(1), ArrowUp: () => step(-1), PageDown: () => step(page), PageUp: () => step(-page), Home: () => step(-Infinity), End: () => step(Infinity),
      ArrowRight: () => (event.shiftKey ? this.pan((this.to - this.from) / 5) : parent && folded ? this.fold(current, false) : parent && step(1)),
      ArrowLeft: () => (event.shiftKey ? this.pan((this.from - this.to) / 5) : parent && !folded && !this.matching ? this.fold(current, true) : tree.parent[current] >= 0 && this.move(tree.parent[current])),
      Enter: () => (this.open === current ? this.panel.focus() : this.show(current)), " ": () => this.show(current),
      Escape: () => (this.open >= 0 ? this.close() : this.light(null)),
      "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2), 0: () => this.range(0, tree.whole), z: () => this.zoomTo(current),
    };
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    [this.tip.hidden, this.keyAt] = [true, this.mouseAt];
    act();
  }

  // Make a span the current one, in sight; an open panel follows.
  move(at) {
    this.current = at;
    this.reveal(at);
    this.render(true);
    if (this.open >= 0 && this.open !== at) this.show(at);
  }

  reveal(at) {
    const above = this.tree.ancestors(at), hides = above.filter((each) => this.folded.delete(each)).length;
    if (hides || !this.rowAt.has(at)) {
      if (!this.rowAt.has(at) && this.matching) {
        this.filter = { text: "", role: "", errors: false, path: false };
        [this.text.value, this.roles.value] = ["", ""];
        for (const each of this.bar.querySelectorAll("[aria-pressed]")) each.setAttribute("aria-pressed", "false");
      }
      this.arrange();
    }
    const top = this.rowAt.get(at) * this.height, { scrollTop, clientHeight } = this.scroll;
    if (top < scrollTop) this.scroll.scrollTop = Math.max(top - this.height, 0);
    else if (top + this.height > scrollTop + clientHeight) this.scroll.scrollTop = top + 2 * this.height - clientHeight;
  }

  // What the address says: a span to open, and a check or finding whose spans are lit.
  follow() {
    const words = new URLSearchParams(location.hash.slice(1)), { view } = this.tree;
    const check = view.checks.find((each) => each.id === words.get("check")), finding = view.findings.find((each) => String(each.number) === words.get("finding"));
    if (check) this.light(`check=${encodeURIComponent(check.id)}`, check.title, check.spans);
    else if (finding) this.light(`finding=${finding.number}`, `${finding.kind} in ${finding.place}`, finding.spans);
    const at = this.tree.at.get(words.get("span"));
    if (at !== undefined) {
      if (this.tree.end[at] < this.from || this.tree.start[at] > this.to) this.range(0, this.tree.whole);
      this.current = at;
      this.reveal(at);
    }
    if (check || finding || at !== undefined) this.mount.scrollIntoView({ block: "start" });
    if (at !== undefined) this.show(at);
    else if (words.get("span")) this.say(`The trace has no span ${words.get("span")}.`);
  }

  light(address, title = "", spans = []) {
    this.lit = address ? { address, spans: new Set(spans) } : null;
    if (this.lit) {
      this.say(`${plural(spans.length, "span")} of: ${title}`, "Light off", () => this.light(null));
      const first = this.tree.order.find((at) => this.lit.spans.has(at));
      for (const at of spans) for (const above of this.tree.ancestors(at)) this.folded.delete(above);
      this.arrange();
      if (first !== undefined) { this.current = first; this.reveal(first); }
    } else this.say("");
    this.note();
    this.render(true);
  }

  say(text, action, act) {
    this.said.replaceChildren(...(text ? [element("span", {}, text)] : []), ...(action ? [element("button", { type: "button", class: "quiet", onclick: act }, action)] : []));
  }

  note() {
    const parts = [this.lit?.address, this.open >= 0 ? `span=${encodeURIComponent(this.tree.id[this.open])}` : null].filter(Boolean);
    history.replaceState(null, "", parts.length ? `#${parts.join("&")}` : location.pathname + location.search);
  }

  close() {
    this.open = -1;
    this.panel.hidden = true;
    this.mount.classList.remove("with-panel");
    this.note();
    this.render(true);
    this.scroll.focus();
  }

  async show(at) {
    this.open = at;
    this.panel.hidden = false;
    this.mount.classList.add("with-panel");
    this.note();
    this.render(true);
    this.drawPanel(at, this.details.get(at));
    if (this.details.has(at)) return;
    try {
      const answer = await fetch(`${this.address}/spans/${encodeURIComponent(this.tree.id[at])}`, { headers: { Accept: "application/json" } });
      const body = await answer.json();
      if (answer.ok) this.details.set(at, body);
      if (this.open === at) this.drawPanel(at, body, answer.ok ? "" : body.detail);
    } catch {
      if (this.open === at) this.drawPanel(at, null, "The service does not answer; open the span again.");
    }
  }

  // A panel that lies over the page leaves the row in sight above it.
  clear(at) {
    const row = this.pool.find((each) => !each.hidden && each.at === at)?.getBoundingClientRect();
    if (!row || getComputedStyle(this.panel).position !== "fixed") return;
    const room = innerHeight - this.panel.offsetHeight;
    if (row.top < 0 || row.bottom > room) scrollBy({ top: row.top - room / 2 });
  }

  drawPanel(at, details, problem = "") {
    this.panel.replaceChildren(...panelOf(this.tree, at, details, problem, () => this.close()));
    this.panel.scrollTop = 0;
    this.clear(at);
  }
}

const mount = document.querySelector("[data-trace]");
if (mount) {
  const answer = await fetch(`${mount.dataset.trace}/view`, { headers: { Accept: "application/json" } }).catch(() => null);
  const body = await answer?.json().catch(() => null);
  if (answer?.ok && body) globalThis.traceView = new TraceView(mount, body);
  else mount.replaceChildren(element("p", { class: "error" }, body?.detail ?? "The service does not answer; load the page again."));
}
