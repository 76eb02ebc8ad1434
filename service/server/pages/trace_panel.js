// One span of the trace view: what its panel shows. What a trace says becomes text nodes, never markup.
import { NS, brief, element, plural } from "./trace_parts.js";

// What the panel shows of a span: `details` are its own, missing while they are loaded.
export function panelOf(tree, at, details, problem, close) {
  const link = (to) => element("a", { href: `#span=${encodeURIComponent(tree.id[to])}` }, tree.name[to]);
  const list = (pairs) => element("dl", {}, ...pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  const attributes = (title, found) => (found.length ? element("details", { open: title === "Attributes" }, element("summary", {}, `${title} (${found.length})`),
    element("dl", { class: "attributes" }, ...found.flatMap(({ key, value }) => [element("dt", {}, key), element("dd", {}, value)]))) : null);
  const part = (title, ...items) => (items.length ? [element("h4", {}, title), ...items] : []);
  const fanOut = tree.fanOut.get(at), seconds = (value) => (value === null ? null : brief(value));
  const parts = [
    element("div", { class: "panel-head" }, element("h3", {}, tree.name[at]),
      element("button", { type: "button", class: "quiet", "aria-label": "Close the panel", onclick: close }, "×")),
    element("p", { class: "note" }, `${tree.role[at]}${tree.failed.has(at) ? ", failed" : tree.cut.has(at) ? ", cancelled" : ""}, ${brief((tree.end[at] - tree.start[at]) / NS)} from ${brief(tree.start[at] / NS)} on`),
  ];
  if (problem) parts.push(element("p", { class: "error" }, problem));
  if (details && !problem) {
    const named = [
      ...details.checks.map((id) => [tree.view.checks.find((each) => each.id === id), `#check=${encodeURIComponent(id)}`]).map(([each, to]) => element("li", { class: "fail" }, "✗ ", element("a", { href: to }, each.title), element("span", { class: "note" }, ` ${each.measured}`))),
      ...details.findings.map((number) => tree.view.findings.find((each) => each.number === number)).map((each) => element("li", {}, element("a", { href: `#finding=${each.number}` }, each.task), element("span", { class: "note" }, ` ${each.evidence}`))),
    ];
    if (named.length) parts.push(element("ul", { class: "named" }, ...named));
    parts.push(list([
      ["On the critical path", details.own_on_path_s === null ? null : details.own_on_path_s ? brief(details.own_on_path_s) : "not itself"],
      ["Could end later by", seconds(details.slack_s)],
      ["Waited", details.wait_ms ? `${brief(details.wait_ms / 1e3)}${details.wait_kind ? ` (${details.wait_kind.replaceAll("_", " ")})` : ""}` : null],
      ["Event loop lag, most", details.loop_lag_ms === null ? null : brief(details.loop_lag_ms / 1e3)],
      ["CPU of the process", details.cpu_over_wall === null ? null : `${(100 * details.cpu_over_wall).toFixed(0)} % of the time`],
      ["Garbage collection", details.gc_ms ? brief(details.gc_ms / 1e3) : null],
      ["Fan-out", fanOut ? `branch ${fanOut.number} of ${fanOut.spans.length} of ${fanOut.name}: ${fanOut.strength}` : null],
      ["Kind", details.kind], ["Status", details.status], ["Started", `${new Date(details.start_unix_s * 1e3).toISOString().replace("T", " ").replace("Z", "")} UTC`],
      ["Parent", tree.parent[at] >= 0 ? link(tree.parent[at]) : details.parent_id ? `${details.parent_id}, not in this trace` : null],
      ["Span id", element("code", {}, tree.id[at])],
    ]));
    if (details.time_use.length) parts.push(...part("Its time", list(details.time_use.map(({ what, seconds: spent }) => [what, brief(spent)]))));
    parts.push(attributes("Attributes", details.attributes));
    if (details.events.length) parts.push(element("details", { open: true }, element("summary", {}, `Events (${details.events.length})`),
      ...details.events.map((each) => element("div", { class: "event" }, element("p", {}, element("b", {}, each.name), element("span", { class: "note" }, ` after ${brief(each.after_s)}`)),
        each.attributes.length ? element("dl", { class: "attributes" }, ...each.attributes.flatMap(({ key, value }) => [element("dt", {}, key), element("dd", {}, value)])) : null))));
    if (details.links.length) parts.push(element("details", { open: true }, element("summary", {}, `Links (${details.links.length})`),
      ...details.links.map((each) => element("p", {}, each.here ? link(tree.at.get(each.span_id)) : /^[0-9a-f]{32}$/.test(each.trace_id)
        ? element("a", { href: new URL(`../../traces/${each.trace_id}#span=${encodeURIComponent(each.span_id)}`, import.meta.url).href }, `trace ${each.trace_id}`) : `trace ${each.trace_id}, span ${each.span_id}`))));
    parts.push(attributes("Process", details.resource));
    if (details.left_out) parts.push(element("p", { class: "note" }, `${plural(details.left_out, "further entry")} left out; the trace itself has them.`));
  } else if (!problem) parts.push(element("p", { class: "note" }, "Loading ..."));
  return parts.filter(Boolean);
}
