// One stream of what changes in the service, for all tabs of a browser: a browser opens six connections
// to a host, so with a stream a tab the seventh would never load. A shared worker, which is this file too,
// holds the stream; where there is none, the tab that holds a lock does and tells the others; and where
// there is neither, each tab has a stream of its own while it is seen.
// Pages hear each event as a "feed" event of the document: its detail is {topic, data}.
"use strict";

// Scripts are two folders below the service, wherever a proxy puts it.
const ADDRESS = self.document?.currentScript.src ?? self.location.href;
const FEED = new URL("../../v1/feed", ADDRESS).href, TOPICS = ["hello", "run", "run_events", "trace", "health"];
const SILENT_MS = 12_000, FIRST_MS = 500, LONGEST_MS = 5_000;

class Stream {
  constructor(tell) {
    [this.tell, this.lastId, this.wait, this.lostAt, this.runs] = [tell, "", FIRST_MS, null, null];
    this.heardAt = Date.now();
    this.open();
  }

  open() {
    this.source = new EventSource(this.lastId ? `${FEED}?after=${this.lastId}` : FEED);
    for (const topic of TOPICS) this.source.addEventListener(topic, (event) => this.hear(topic, event));
    this.source.addEventListener("beat", () => this.watchOn());
    // Whoever is too slow misses nothing by coming back at once.
    this.source.addEventListener("dropped", () => this.again(0));
    this.source.onerror = () => this.lose();
    this.watch();
  }

  // A stream in which not even a beat comes is dead, whatever the connection says.
  watch() {
    clearTimeout(this.alarm);
    this.alarm = setTimeout(() => this.lose(), SILENT_MS);
  }

  watchOn() {
    this.heardAt = Date.now();
    this.watch();
  }

  hear(topic, event) {
    this.watchOn();
    [this.lastId, this.wait] = [event.lastEventId || this.lastId, FIRST_MS];
    const data = JSON.parse(event.data);
    if (topic === "hello") [this.runs, this.lostAt] = [data.runs, null];
    else if (topic === "run" && data.state === "queued") this.runs[data.run_id] ??= 0;
    else if (topic === "run" && data.state !== "running") delete this.runs[data.run_id];
    else if (topic === "run_events" && data.run_id in this.runs) this.runs[data.run_id] = data.first + data.events.length - 1;
    this.tell({ topic, data });
  }

  lose() {
    this.lostAt ??= this.heardAt; // Of what happened since then nothing is known.
    this.tell({ topic: "lost", data: { at: this.lostAt } });
    this.again(this.wait);
    this.wait = Math.min(2 * this.wait, LONGEST_MS);
  }

  again(after) {
    this.close();
    this.timer = setTimeout(() => this.open(), after);
  }

  close() {
    this.source.close();
    clearTimeout(this.alarm);
    clearTimeout(this.timer);
  }

  // What one that begins to listen has to know.
  greeting() {
    if (this.lostAt !== null) return { topic: "lost", data: { at: this.lostAt } };
    return this.runs && { topic: "hello", data: { missed: false, runs: this.runs } };
  }
}

function serveTabs(scope) {
  const ports = new Set();
  const stream = new Stream((news) => ports.forEach((port) => port.postMessage(news)));
  scope.onconnect = ({ ports: [port] }) => {
    ports.add(port);
    port.onmessage = () => ports.delete(port); // Its tab says goodbye.
    if (stream.greeting()) port.postMessage(stream.greeting());
  };
}

function hearWorker(hear) {
  const { port } = new SharedWorker(ADDRESS, { name: "trading-graph-feed" });
  port.onmessage = ({ data }) => hear(data);
  addEventListener("pagehide", () => port.postMessage("bye"));
}

function hearLeader(hear) {
  const channel = new BroadcastChannel(FEED);
  let stream = null;
  channel.onmessage = ({ data }) => {
    if (data.topic !== "who") hear(data);
    else if (stream?.greeting()) channel.postMessage(stream.greeting());
  };
  channel.postMessage({ topic: "who" });
  // The lock goes to another tab when this one is closed.
  navigator.locks.request(FEED, () => new Promise(() => {
    stream = new Stream((news) => { hear(news); channel.postMessage(news); });
  }));
}

function hearAlone(hear) {
  let stream = new Stream(hear);
  document.addEventListener("visibilitychange", () => {
    stream.close();
    if (!document.hidden) stream = new Stream(hear);
  });
}

if (self.SharedWorkerGlobalScope) serveTabs(self);
else if (document.querySelector("[data-feed], [data-events], [data-grows]")) {
  const hear = (detail) => document.dispatchEvent(new CustomEvent("feed", { detail }));
  // A page that comes back from the browser's memory has said goodbye: it begins anew.
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  // Deferred scripts that come after this one want to hear everything.
  document.addEventListener("DOMContentLoaded", () => {
    if (self.SharedWorker) hearWorker(hear);
    else if (navigator.locks && self.BroadcastChannel) hearLeader(hear);
    else hearAlone(hear);
  });
}
