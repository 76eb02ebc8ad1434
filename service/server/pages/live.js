// What moves on the pages: a run's bars grow as its events come, and pages of what goes on stay fresh.
// Everything can be read without this. Text goes into the page as text only.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 24, INSET = 4, LIMIT_S = Number(document.body.dataset.limitS), ROOM = 1.25;
const ENDS = [2, 4, 6, 8, 10, 15, 20, 30, 45, 60, 90, 120, 150, 180, 240, 300];
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;

const seconds = (s) => (s < 0.1 ? `${(s * 1000).toPrecision(s ? 3 : 1)} ms` : `${s.toFixed(s < 10 ? 2 : 1)} s`);
const percent = (share) => `${(100 * Math.min(Math.max(share, 0), 1)).toFixed(3)}%`;
const spoken = (agent) => agent.replaceAll("_", " ");

function shape(tag, attributes, parent) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  parent.append(made);
  return made;
}

function axisEnd(spent) {
  return ENDS.find((end) => spent * ROOM <= end) ?? Math.ceil((spent * ROOM) / 60) * 60;
}

// The bars of one agent; `work` is in the order of its starts.
class Lane {
  constructor(row) {
    [this.row, this.svg, this.tip] = [row, row.querySelector("svg"), row.querySelector(".tip")];
    [this.took, this.agent, this.work] = [row.querySelector(".took"), row.dataset.agent, []];
    for (const rect of this.svg.querySelectorAll("rect")) {
      const { kind, name, start, end } = rect.dataset;
      this.work.push({ rect, kind, name, start: Number(start), end: end ? Number(end) : null });
    }
    this.work.sort((a, b) => a.start - b.start);
  }

  add(kind, name, start) {
    const rect = document.createElementNS(SVG, "rect");
    rect.setAttribute("class", kind === "agent" ? "other turn" : kind);
    shape("title", {}, rect);
    // An agent's own bar lies below those of its work.
    if (kind === "agent") this.svg.prepend(rect); else this.svg.insertBefore(rect, this.tip);
    const made = { rect, kind, name, start, end: null };
    this.work.push(made);
    this.row.classList.remove("waits");
    return made;
  }

  goingOn() {
    return this.work.filter((each) => each.end === null);
  }

  draw(begin, now, whole) {
    const free = [], level = new Map();
    for (const each of this.work.filter((one) => one.kind === "tool")) {
      let at = free.findIndex((end) => end <= each.start);
      if (at < 0) at = free.length;
      free[at] = each.end ?? Infinity;
      level.set(each, at);
    }
    const thick = (HEIGHT - 2 * INSET) / Math.max(free.length, 1);
    for (const each of this.work) {
      let [y, height, rx] = each.kind === "agent" ? [1, HEIGHT - 2, 3] : [INSET, HEIGHT - 2 * INSET, 2];
      if (each.kind === "tool") [y, height, rx] = [INSET + thick * level.get(each), Math.max(thick - 1, 1), 1];
      const width = Math.max(((each.end ?? now) - each.start) / whole, 0.0015);
      for (const [name, value] of Object.entries({ x: percent((each.start - begin) / whole), width: percent(width), y, height, rx }))
        each.rect.setAttribute(name, value);
    }
    const turns = this.work.filter((each) => each.kind === "agent");
    const spent = turns.reduce((sum, each) => sum + (each.end ?? now) - each.start, 0);
    this.took.textContent = turns.length ? seconds(spent) : "";
    const open = this.goingOn(), tools = open.filter((each) => each.kind === "tool");
    const model = open.some((each) => each.kind === "llm") ? "model" : "";
    this.tip.textContent = tools.length ? tools[0].name + (tools.length > 1 ? ` + ${tools.length - 1}` : "") : model;
    this.tip.setAttribute("x", percent((now - begin) / whole));
  }
}

function doing(lanes) {
  const said = { "Waiting for the model": [], "Calling tools": [], Working: [] };
  for (const lane of lanes) {
    const open = lane.goingOn(), tools = open.filter((each) => each.kind === "tool");
    if (tools.length) said["Calling tools"].push(`${spoken(lane.agent)} (${tools.map((each) => each.name).join(", ")})`);
    else if (open.some((each) => each.kind === "llm")) said["Waiting for the model"].push(spoken(lane.agent));
    else if (open.length) said.Working.push(spoken(lane.agent));
  }
  const sentences = Object.entries(said).filter(([, names]) => names.length).map(([title, names]) => `${title}: ${names.join(", ")}.`);
  return sentences.join(" ") || "Between two agents.";
}

function drawAxis(chart, whole) {
  const raw = whole / 6, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= raw * 0.999);
  const [grid, axis] = [chart.querySelector(".grid"), chart.querySelector(".axis")];
  grid.replaceChildren();
  axis.replaceChildren();
  for (let at = 0; at <= whole * 1.0001; at += step) {
    const x = percent(at / whole), share = at / whole;
    shape("line", { x1: x, x2: x, y1: 0, y2: "100%" }, grid);
    const anchor = share < 0.03 ? "start" : share > 0.97 ? "end" : "middle";
    shape("text", { x, y: 11, "text-anchor": anchor }, axis).textContent = `${Number(at.toFixed(3))} s`;
  }
  const x = percent(LIMIT_S / whole);
  if (LIMIT_S <= whole) shape("line", { class: "limit", x1: x, x2: x, y1: 0, y2: "100%" }, grid);
}

function followRun(chart) {
  const ahead = Date.now() / 1000 - Number(chart.dataset.now); // of the service's clock
  let begin = chart.dataset.begin ? Number(chart.dataset.begin) : null;
  const lanes = [...chart.querySelectorAll("[data-agent]")].map((row) => new Lane(row));
  const figures = Object.fromEntries([...document.querySelectorAll("[data-figure]")].map((each) => [each.dataset.figure, each]));
  const sentence = document.querySelector("[data-doing]");
  const spans = new Map(), agents = new Map();
  for (const lane of lanes)
    for (const each of lane.work) {
      spans.set(each.rect.dataset.span, each);
      agents.set(each.rect.dataset.span, lane);
    }
  let tokens = Number(figures.tokens.textContent.replaceAll(",", "")), shown = 0, drawn = 0;

  function laneOf(event) {
    const known = agents.get(event.parent_id) ?? lanes.find((each) => each.agent === event.agent);
    if (known || !event.agent) return known;
    const row = lanes[0].row.cloneNode(true);
    row.querySelectorAll("rect").forEach((rect) => rect.remove());
    row.dataset.agent = event.agent;
    row.querySelector(".label").textContent = spoken(event.agent);
    lanes.at(-1).row.after(row);
    lanes.push(new Lane(row));
    return lanes.at(-1);
  }

  function take(event) {
    const [kind, what] = event.type.split(".");
    // The time that no process lived in is taken out by the page, which knows what lies before it.
    if (event.type === "finished" || event.type === "interruption.ended") return location.reload();
    if (!["agent", "llm", "tool"].includes(kind)) return;
    const lane = kind === "agent" ? lanes.find((each) => each.agent === event.agent) ?? laneOf(event) : laneOf(event);
    if (!lane) return;
    begin ??= event.start;
    let work = spans.get(event.span_id);
    if (!work) {
      work = lane.add(kind, event.tool ?? event.model ?? spoken(lane.agent), event.start);
      spans.set(event.span_id, work);
      agents.set(event.span_id, lane);
    }
    if (what === "ended") {
      work.end = event.end;
      if (["cancelled", "killed"].includes(event.error)) work.rect.classList.add("cut");
      else if (event.error) (kind === "agent" ? lane.row : work.rect).classList.add(kind === "agent" ? "failed" : "failed-bar");
      tokens += kind === "llm" ? (event.input_tokens ?? 0) + (event.output_tokens ?? 0) : 0;
    }
    const took = work.end === null ? "goes on" : seconds(work.end - work.start);
    let title = work.rect.querySelector("title") ?? shape("title", {}, work.rect);
    title.textContent = `${work.name}: ${took}${event.error ? `, failed: ${event.error}` : ""}`;
  }

  function draw(at) {
    requestAnimationFrame(draw);
    if (begin === null || (calm && at - drawn < 1000) || at - drawn < 33) return;
    drawn = at;
    const now = Date.now() / 1000 - ahead, target = axisEnd(now - begin);
    // The axis glides to its next end rather than jumps.
    const whole = !shown || calm || Math.abs(target - shown) < 0.01 ? target : shown + (target - shown) * 0.15;
    if (whole !== shown) drawAxis(chart, whole);
    shown = whole;
    for (const lane of lanes) lane.draw(begin, now, whole);
    const said = doing(lanes);
    if (said !== sentence.textContent) sentence.textContent = said;
    figures.elapsed.textContent = `${Math.max(now - begin, 0).toFixed(1)} s`;
    for (const kind of ["llm", "tool"])
      figures[kind].textContent = lanes.reduce((sum, lane) => sum + lane.work.filter((each) => each.kind === kind).length, 0);
    figures.tokens.textContent = tokens.toLocaleString("en");
  }

  // A screen reader reads every change: once a second is as much as anybody can follow.
  const heard = document.querySelector("[data-heard]");
  setInterval(() => {
    if (heard.textContent !== sentence.textContent) heard.textContent = sentence.textContent;
  }, 1000);
  const source = new EventSource(`${chart.dataset.events}?after=${chart.dataset.after}`);
  source.onmessage = (message) => take(JSON.parse(message.data));
  // Whoever cancels the run is led to its page already.
  document.addEventListener("submit", () => source.close());
  source.onerror = () => {
    // Where the service has nothing more to tell, its page has.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 2000);
  };
  requestAnimationFrame(draw);
}

// A page that goes on loads itself again and takes over the parts that have changed.
async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    const next = new DOMParser().parseFromString(answer.ok ? await answer.text() : "", "text/html");
    for (const part of document.querySelectorAll("[data-fresh]")) {
      const other = next.querySelector(`[data-fresh="${part.dataset.fresh}"]`);
      // What somebody has the focus in stays until they leave it.
      if (!other || other.outerHTML === part.outerHTML || part.contains(document.activeElement)) continue;
      part.dataset.fresh === "counted" ? (part.textContent = other.textContent) : part.replaceWith(other);
    }
  } catch { /* The service is away for a while; the next time it may be back. */ }
}

async function stayFresh() {
  while (document.querySelector("[data-live]")) {
    await new Promise((done) => setTimeout(done, 2000));
    await refresh();
  }
}

const chart = document.querySelector("[data-events]");
if (chart) followRun(chart);
else stayFresh();
const waits = document.querySelector("[data-reload]");
if (waits) setTimeout(() => location.reload(), 1000 * Number(waits.dataset.reload));
