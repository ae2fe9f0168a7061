// The state of this node: queue, disk and cache, replicas, webhooks, lifecycle; and the operator's commands.

import { h, show } from "../lib/dom.js";
import { number, time } from "../lib/format.js";
import { admin, api } from "../lib/http.js";
import { watch } from "../lib/metrics.js";
import { button } from "../ui/button.js";
import { confirm, dialog, field, input } from "../ui/dialog.js";
import { badge, facts, heading, later } from "../ui/parts.js";
import { toast } from "../ui/toast.js";
import { onAdminDoor } from "./operator.js";
import { statePlots, stateTiles } from "./state.js";

export const system = () => onAdminDoor("System", async () => {
  const [plots, live] = [h("div.plots.small"), h("div.tiles.wide")];
  const draw = () => {
    show(plots, statePlots());
    // Not under the hand of who is about to press something in it.
    if (!live.contains(document.activeElement)) show(live, stateTiles());
  };
  const stop = await watch(draw);
  draw();
  return {
    element: h("div.view", null,
      heading("System", [button("Purge…", purge, { icon: "refresh" }), button("Snapshot…", snapshot, { icon: "download" })]), plots, live,
      h("div.tiles", null,
        h("section.tile", null, h("h2", null, "Webhooks"), later(webhooks)),
        h("section.tile", null, h("h2", null, "Lifecycle"), later(lifecycle)),
        h("section.tile", null, h("h2", null, "Recurring work"), later(recurring)))),
    leave: stop,
  };
});

async function webhooks() {
  const { webhooks: list } = await admin("events");
  if (!list.length) return h("p.hint", null, "None is set: [[webhook]] in gateway.toml.");
  const again = async (name, command, words) => {
    const { count } = await admin(`events/${command}`, { json: { webhook: name } });
    toast(`${number(count)} ${words}`);
  };
  return facts(list.map((one) => [one.name ?? one.webhook, h("span", null, `${number(one.waiting ?? 0)} wait, ${number(one.dead ?? 0)} dead `,
    one.dead > 0 && h("span.actions", null, button("Bring again", () => again(one.name ?? one.webhook, "replay", "are brought again")), button("Forget", () => again(one.name ?? one.webhook, "forget", "are forgotten"), { kind: "danger" })))]));
}

async function lifecycle() {
  const report = await admin("lifecycle").catch((fault) => { if (fault.status === 404) return null; throw fault; });
  const run = async (dryRun) => {
    const { job } = await admin("lifecycle", { json: { dry_run: dryRun } });
    const ended = await admin("lifecycle", { json: { dry_run: dryRun, job, wait: 30 } });
    await dialog({ title: dryRun ? "What would go" : "What went", wide: true, content: h("pre.code", { tabindex: "0" }, JSON.stringify(ended.report ?? { state: ended.state, reason: ended.reason }, null, 2)) });
  };
  return h("div", null, h("p.hint", null, report ? `Last run: ${time(report.at ?? report.finished ?? report.began ?? "")}` : "It was not carried out yet."),
    h("div.actions.left", null, button("What would go?", () => run(true)), button("Carry it out…", () => confirm("Carry out lifecycle rules now?", "What is due goes, as it would by itself within the day.", "Carry out", () => run(false)))));
}

async function recurring() {
  const { jobs } = await api("jobs", { query: { max: 1000 } });
  const list = jobs.filter((job) => job.recurring);
  if (!list.length) return h("p.hint", null, "None on this node.");
  return facts(list.map((job) => [job.recurring.name, h("span", null, badge(job.state, job.reason ? "bad" : ""), job.due ? ` due ${time(job.due)}` : "", job.reason && h("p.reason", null, job.reason))]));
}

function purge() {
  const bucket = input({ placeholder: "media" });
  const prefix = input({ placeholder: "run-17/" });
  const tags = input({ placeholder: "t-acme" });
  return dialog({
    title: "Purge",
    action: "Purge",
    content: [h("p.hint", null, "This node's cache, those of its peers, and CDNs forget what they keep. Objects stay."), field("Bucket", bucket), field("Keys that begin with", prefix), field("or cache tags", tags)],
    act: async () => {
      const list = tags.value.split(/[\s,]+/).filter(Boolean);
      if (!bucket.value && !list.length) throw new Error("Name a bucket or tags.");
      const told = await api("purge", { json: { ...(bucket.value ? { bucket: bucket.value, prefix: prefix.value } : {}), ...(list.length ? { tags: list } : {}) } });
      toast(`Purged${told.cached ? `: ${number(told.cached.objects)} objects here` : ""}${told.jobs.length ? `; ${told.jobs.length} jobs tell the CDN` : ""}`);
    },
  });
}

function snapshot() {
  const dir = input({ required: true, placeholder: "/backup/2026-11-30" });
  return dialog({
    title: "Snapshot", action: "Take snapshot", content: [field("Folder", dir, "On the gateway's machine; it must not be there yet. A consistent copy while it serves.")],
    act: async () => { await admin("snapshot", { json: { dir: dir.value } }); toast(`The snapshot is in ${dir.value}`); },
  });
}
