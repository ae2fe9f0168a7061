// Background work: what waits, runs, has ended or was given up, with its reason; begin again, cancel.

import { append, h } from "../lib/dom.js";
import { ago, number, time } from "../lib/format.js";
import { api, isAborted } from "../lib/http.js";
import { session } from "../lib/session.js";
import { button } from "../ui/button.js";
import { dialog, select } from "../ui/dialog.js";
import { badge, empty, facts, fault, heading } from "../ui/parts.js";
import { toast } from "../ui/toast.js";

const STATES = [["", "All"], ["running", "Running"], ["waiting", "Waiting"], ["dead", "Given up"], ["cancelled", "Cancelled"], ["done", "Done"]];
const KINDS = { running: "note", waiting: "", dead: "bad", cancelled: "", done: "good" };
const EVERY_MS = 3000;

export async function jobs({ query }) {
  const stop = new AbortController();
  const states = select(STATES, query.get("state") ?? "", { "aria-label": "State" });
  const list = h("ul.jobs");
  const more = h("div.actions");
  let shownPages = 1;

  async function load() {
    try {
      const found = [];
      let after;
      for (let page = 0; page < shownPages; page += 1) {
        const answer = await api("jobs", { query: { state: states.value || undefined, max: 100, after }, signal: stop.signal });
        found.push(...answer.jobs);
        after = answer.next;
        if (!after) break;
      }
      list.replaceChildren(...(found.length ? found.map((job) => row(job, load)) : [h("li", null, empty("jobs", states.value ? "No such job" : "No job yet", "What takes longer than a request is a job: inspections, purges, warming, replicas, lifecycle. It is kept for a while after it has ended."))]));
      more.replaceChildren(...(after ? [button("Show more", () => { shownPages += 1; return load(); })] : []));
    } catch (error) {
      if (!isAborted(error)) list.replaceChildren(h("li", null, fault(error, load)));
    }
  }
  states.addEventListener("change", () => { shownPages = 1; load(); });
  await load();
  // Not while something in it has the focus: a press would hit another row.
  const timer = setInterval(() => { if (!document.hidden && !list.contains(document.activeElement) && !document.querySelector("dialog[open]")) load(); }, EVERY_MS);
  return { element: h("div.view", null, heading("Jobs", states), list, more), leave: () => { stop.abort(); clearInterval(timer); } };
}

/** How far a job is that runs: only each by itself tells. */
function progressOf(job) {
  const place = h("div.job-progress");
  api(`jobs/${job.id}`).then(({ progress }) => { if (progress) append(place, meter(progress)); }, () => {});
  return place;
}

const meter = ({ done = 0, total = 0, note = "" }) => [
  h("div.meter", { role: "progressbar", "aria-label": "Progress", "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": String(total ? Math.round((done / total) * 100) : 0) }, h("i", { style: { width: `${total ? (done / total) * 100 : 0}%` } })),
  h("p.hint", null, `${number(done)}${total ? ` of ${number(total)}` : ""} ${note}`),
];

function row(job, again) {
  const when = job.ended ? `ended ${ago(job.ended)}` : job.started ? `runs since ${ago(job.started)}` : job.due ? `due ${ago(job.due)}` : `asked ${ago(job.created)}`;
  return h("li.job", null,
    h("div", null,
      h("b", null, job.recurring?.name ?? job.kind), badge(job.state, KINDS[job.state]), job.recurring && badge("recurring"),
      h("p.hint", null, [when, `attempt ${job.attempts} of ${job.max_attempts}`, job.items > 1 && `${number(job.items)} items`, session()?.isOperator && job.tenant].filter(Boolean).join(" · ")),
      job.reason && h("p.reason", null, job.reason),
      job.state === "running" && progressOf(job)),
    h("span.actions", null,
      button("Details", () => details(job.id)),
      ["dead", "cancelled"].includes(job.state) && button("Try again", async () => { await api(`jobs/${job.id}/retry`, { method: "POST" }); toast("It begins anew"); await again(); }),
      ["waiting", "running"].includes(job.state) && button("Cancel", async () => { await api(`jobs/${job.id}/cancel`, { method: "POST" }); toast("It is cancelled"); await again(); })));
}

async function details(id) {
  const job = await api(`jobs/${id}`);
  return dialog({
    title: `Job ${job.recurring?.name ?? job.kind}`,
    wide: true,
    content: [
      job.progress && h("div.job-progress", null, meter(job.progress)),
      job.reason && h("p.reason", null, job.reason),
      facts([
        ["Id", h("code", null, job.id)], ["State", badge(job.state, KINDS[job.state])], ["Asked", time(job.created)], job.asked_by && ["By key", h("code", null, job.asked_by)], ["Tenant", job.tenant],
        job.started && ["Started", time(job.started)], job.ended && ["Ended", time(job.ended)], job.due && ["Due", time(job.due)], ["Attempts", `${job.attempts} of ${job.max_attempts}`],
      ]),
      h("h3", null, "What it is to do"), h("pre.code", { tabindex: "0" }, JSON.stringify(job.payload, null, 2)),
      job.result && [h("h3", null, "Result"), h("pre.code", { tabindex: "0" }, JSON.stringify(job.result, null, 2))],
    ],
  });
}
