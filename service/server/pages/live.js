// What moves on the pages: a run's bars grow as its events come, and pages of what goes on stay fresh.
// Everything can be read without this. Text goes into the page as text only.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
// Scripts are two folders below the service, wherever a proxy puts it.
const HOME = new URL("../..", document.currentScript.src).href;
const HEIGHT = 24, INSET = 4, LIMIT_S = Number(document.body.dataset.limitS), ROOM = 1.25;
const ENDS = [2, 4, 6, 8, 10, 15, 20, 30, 45, 60, 90, 120, 150, 180, 240, 300];
let lostAt = null; // When the stream was lost, in ms: what moves stands still at that moment.
const now = () => lostAt ?? Date.now();
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
  const runId = chart.dataset.events.split("/").at(-2);
  let [last, upTo, leaving] = [Number(chart.dataset.after), 0, false]; // numbers of events
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
    if (event.type === "finished" || event.type === "interruption.ended") return leaving || location.reload();
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
    const at_s = now() / 1000 - ahead, target = axisEnd(at_s - begin);
    // The axis glides to its next end rather than jumps.
    const whole = !shown || calm || Math.abs(target - shown) < 0.01 ? target : shown + (target - shown) * 0.15;
    if (whole !== shown) drawAxis(chart, whole);
    shown = whole;
    for (const lane of lanes) lane.draw(begin, at_s, whole);
    const said = doing(lanes);
    if (said !== sentence.textContent) sentence.textContent = said;
    figures.elapsed.textContent = `${Math.max(at_s - begin, 0).toFixed(1)} s`;
    for (const kind of ["llm", "tool"])
      figures[kind].textContent = lanes.reduce((sum, lane) => sum + lane.work.filter((each) => each.kind === kind).length, 0);
    figures.tokens.textContent = tokens.toLocaleString("en");
  }

  // A screen reader reads every change: once a second is as much as anybody can follow.
  const heard = document.querySelector("[data-heard]");
  setInterval(() => {
    if (heard.textContent !== sentence.textContent) heard.textContent = sentence.textContent;
  }, 1000);
  // Events that were told before this page listened, or while the stream was lost, are asked for.
  async function catchUp() {
    const stop = new AbortController();
    try {
      const answer = await fetch(`${chart.dataset.events}?after=${last}`, { signal: stop.signal });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let text = ""; last < upTo;) {
        const { value, done } = await reader.read();
        if (done) break;
        const blocks = (text + value).split("\n\n");
        text = blocks.pop();
        for (const [, number, body] of blocks.map((block) => block.match(/^id: (\d+)\ndata: (.*)$/)).filter(Boolean))
          takeAll(Number(number), [JSON.parse(body)]);
      }
    } catch { /* The stream is lost again; its return brings us back here. */ }
    upTo = 0;
    stop.abort();
  }

  function takeAll(first, events) {
    events.forEach((event, at) => {
      if (first + at !== last + 1) return;
      last += 1;
      take(event);
    });
  }

  function reach(number) {
    const idle = !upTo;
    upTo = Math.max(upTo, number);
    if (idle && last < upTo) catchUp(); else if (idle) upTo = 0;
  }

  document.addEventListener("feed", ({ detail: { topic, data } }) => {
    if (topic === "hello") {
      if (runId in data.runs) reach(data.runs[runId]);
      else setTimeout(() => leaving || location.reload(), 1000); // It is over.
    } else if (topic === "run_events" && data.run_id === runId) {
      takeAll(data.first, data.events);
      reach(data.first + data.events.length - 1);
    }
  });
  // Whoever cancels the run is led to its page already.
  document.addEventListener("submit", () => { leaving = true; });
  requestAnimationFrame(draw);
}

// Says that the stream is lost, until it is back; what moves stands still meanwhile.
function showLost(at) {
  if (lostAt !== null) return;
  lostAt = at;
  document.body.dataset.stream = "lost";
  const banner = document.createElement("p"), time = new Date(at).toLocaleTimeString("en-GB");
  banner.className = "banner";
  banner.setAttribute("role", "alert");
  banner.textContent = `The connection to the service is lost. This page shows how things stood at ${time}, and goes on by itself when the service answers again.`;
  document.querySelector("main").before(banner);
}

function showBack() {
  document.body.dataset.stream = "live";
  if (lostAt === null) return;
  lostAt = null;
  document.querySelector(".banner").remove();
}

// The page is loaded again, and the parts that have changed are taken over; false where that fails.
async function refresh() {
  try {
    // The answer to a form of the home page has that form's address, which has no page.
    const isForm = ["runs", "traces"].some((form) => location.pathname === new URL(form, HOME).pathname);
    const answer = await fetch(isForm ? HOME : location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) return false;
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-fresh]")) {
      const other = next.querySelector(`[data-fresh="${part.dataset.fresh}"]`);
      if (other && other.outerHTML !== part.outerHTML) replacePart(part, other);
    }
    return true;
  } catch {
    return false;
  }
}

function replacePart(part, other) {
  if (part.dataset.fresh === "counted") return (part.textContent = other.textContent);
  // What somebody has the focus in stays until they leave it, unless the same is in the new part.
  const active = part.contains(document.activeElement) ? document.activeElement : null;
  if (active && !(active.id && other.querySelector(`#${CSS.escape(active.id)}`))) return;
  for (const tick of part.querySelectorAll("input:checked")) {
    const same = other.querySelector(`#${CSS.escape(tick.id)}`);
    if (same) same.checked = true;
  }
  part.replaceWith(other);
  countTicks();
  if (active) document.getElementById(active.id).focus();
}

// The button that compares can be pressed when two are ticked.
function countTicks() {
  for (const button of document.querySelectorAll("[data-needs-two]"))
    button.disabled = document.querySelectorAll(".tick input:checked").length !== 2;
}
document.addEventListener("change", countTicks);
addEventListener("pageshow", countTicks);

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const seen = () => new Promise((done) => {
  if (!document.hidden) return done();
  document.addEventListener("visibilitychange", done, { once: true });
});

// Pages of portfolios, whose runs tell nothing, ask again and again.
async function poll() {
  while (document.querySelector("[data-live]")) {
    await pause(2000);
    await seen();
    (await refresh()) ? showBack() : showLost(Date.now());
  }
}

// Pages that follow the feed ask when it says that something has changed, once a second at most.
function refreshOnNews(follower) {
  const ahead = Date.now() / 1000 - Number(follower.dataset.now); // of the service's clock
  let due = false, busy = false;
  document.addEventListener("feed", async ({ detail: { topic } }) => {
    due ||= topic !== "lost";
    if (busy) return;
    for (busy = true; due;) {
      await seen();
      due = false;
      await refresh();
      await pause(1000);
    }
    busy = false;
  });
  setInterval(() => {
    for (const each of document.querySelectorAll("[data-since]"))
      each.textContent = `${Math.max(now() / 1000 - ahead - Number(each.dataset.since), 0).toFixed(0)} s`;
  }, 1000);
}

document.addEventListener("feed", ({ detail: { topic, data } }) => {
  topic === "lost" ? showLost(data.at) : showBack();
});
const chart = document.querySelector("[data-events]"), follower = document.querySelector("[data-feed]");
if (chart) followRun(chart);
else if (follower) refreshOnNews(follower);
else poll();
const waits = document.querySelector("[data-reload]");
if (waits) setTimeout(() => location.reload(), 1000 * Number(waits.dataset.reload));
