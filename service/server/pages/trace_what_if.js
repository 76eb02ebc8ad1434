// What if? Findings are chosen, the service plays the run again with them fixed, and the trace view
// draws every span before and after.
import { brief, element, plural } from "./trace_parts.js";

// What can be played again: a box beside each finding, and a link that lights its bars.
export function offerFixes(view) {
  for (const each of document.querySelectorAll("[data-finding]")) offer(view, each);
}

function offer(view, place) {
  const number = Number(place.dataset.finding), mark = view.tree.view.findings.find((each) => each.number === number);
  if (!mark) return;
  const box = element("input", { type: "checkbox", value: number, onchange: () => play(view) });
  place.querySelector(".choice")?.replaceChildren(element("label", { class: "box" }, box, "Fix it: show before and after"));
  if (mark.spans.length) place.querySelector(".choice")?.append(element("a", { href: `#finding=${number}`, class: "light" }, `Show ${plural(mark.spans.length, "span")} in the trace`));
}

async function play(view) {
  const chosen = [...document.querySelectorAll("[data-finding] input:checked")].map((each) => each.value);
  const asked = (view.asked = chosen.join(","));
  view.after = null;
  view.mount.classList.toggle("played", chosen.length > 0);
  if (!chosen.length) { view.say(""); return view.render(true); }
  view.say("The run is played again ...");
  try {
    const answer = await fetch(`${view.address}/what-if?findings=${asked}`, { headers: { Accept: "application/json" } }), body = await answer.json();
    if (asked !== view.asked) return;
    if (!answer.ok) return view.say(body.detail);
    view.after = body;
    const { low, likely, high } = body.wall_s;
    view.say(`Before ${brief(body.before_s)}, after ${brief(likely)} (${brief(low)} to ${brief(high)}) with ${plural(chosen.length, "fix").replace("fixs", "fixes")} made.`, "Back to the recorded run", () => {
      for (const each of document.querySelectorAll("[data-finding] input:checked")) each.checked = false;
      play(view);
    });
    view.mount.scrollIntoView({ block: "start" });
  } catch { view.say("The service does not answer; choose again."); }
  view.render(true);
}
