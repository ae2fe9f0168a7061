// The state of this node as it goes: queue, disk, cache, replicas, the other nodes. Out of its metrics.

import { h } from "../lib/dom.js";
import { bytes, number, seconds } from "../lib/format.js";
import { KEPT, levels, newest, quantiles, sum } from "../lib/metrics.js";
import { badge, facts } from "../ui/parts.js";
import { linePlot } from "../ui/plot.js";

const STATES = ["waiting", "running", "dead"];

/** Plots of what grows where something is wrong. */
export function statePlots() {
  const now = newest();
  const plot = (title, series, show) => linePlot({ title, series: series.map(([name, values]) => ({ name, values })), show, slots: KEPT });
  const replicas = labelsOf(now, "replica_lag_seconds", "replica");
  return [
    plot("Jobs that wait", [["wait", levels("jobs", (l) => l.state === "waiting")], ["given up", levels("jobs", (l) => l.state === "dead")]], number),
    plot("Oldest job waits", [["all kinds", levels("job_oldest_seconds", undefined, Math.max)]], seconds),
    plot("A sync of the journal", [["half", quantiles("journal_sync_duration_seconds", 0.5)], ["95 %", quantiles("journal_sync_duration_seconds", 0.95)]], seconds),
    plot("Disk for cached things", [["blocks", levels("cache_bytes")], ["compressed", levels("variants_bytes")]], bytes),
    replicas.length > 0 && plot("Replicas behind", replicas.slice(0, 2).map((name) => [name, levels("replica_lag_seconds", (l) => l.replica === name)]), seconds),
    sum(now, "write_back_waiting") > 0 && plot("Waits for the upstream", [["objects", levels("write_back_waiting")]], number),
  ];
}

const labelsOf = (sample, name, label) => [...new Set((sample.get(name) ?? []).map(({ labels }) => labels[label]))].sort();
const tile = (title, content) => h("section.tile", null, h("h2", null, title), content);
const upOrDown = (value) => badge(value ? "up" : "down", value ? "good" : "bad");

export function stateTiles() {
  const now = newest();
  const count = (name) => number(sum(now, name));
  return [
    tile("Queue", queue(now)),
    tile("Nodes", nodes(now)),
    tile("Replicas and upstream", replicas(now)),
    tile("Store and cache", facts([
      ["Records written", count("journal_records_total")], ["Syncs", `${count("journal_syncs_total")}, failed ${count("journal_sync_failures_total")}`],
      ["Kept once", `${count("dedup_hits_total")} writes`], ["Blocks cached", `${bytes(sum(now, "cache_bytes"))}, ${count("cache_evictions_total")} let go`],
      ["Fetched", bytes(sum(now, "cache_fetched_bytes_total"))], ["Compressed forms", bytes(sum(now, "variants_bytes"))], ["Saved by them", bytes(sum(now, "variants_saved_bytes_total"))],
      ["Damaged blocks", count("cache_faults_total")],
    ])),
  ];
}

/** By kind: what waits, runs, was given up, and for how long the oldest waits. */
function queue(now) {
  const kinds = labelsOf(now, "jobs", "kind");
  const of = (kind, state) => sum(now, state === "running" ? "jobs_running" : "jobs", (l) => l.kind === kind && (state === "running" || l.state === state));
  const rows = kinds.map((kind) => ({ kind, counts: STATES.map((state) => of(kind, state)), oldest: sum(now, "job_oldest_seconds", (l) => l.kind === kind) })).filter((row) => row.counts.some((n) => n > 0));
  if (!rows.length) return h("p.hint", null, "Nothing waits, runs or was given up.");
  return h("table.plain", null,
    h("thead", null, h("tr", null, ["Kind", "Waiting", "Running", "Given up", "Oldest"].map((name, n) => h("th", { scope: "col", class: n ? "number" : "" }, name)))),
    h("tbody", null, rows.map((row) => h("tr", null, h("th", { scope: "row" }, row.kind.replaceAll("_", " ")),
      row.counts.map((n, at) => h("td.number", null, at === 2 && n > 0 ? h("a", { href: "#/jobs?state=dead" }, number(n)) : number(n))), h("td.number", null, row.oldest > 0 ? seconds(row.oldest) : "–")))));
}

/** This one, and those that it tells of changes. */
function nodes(now) {
  const peers = labelsOf(now, "peer_up", "peer");
  const owed = sum(now, "jobs", (l) => l.kind === "peer" && l.state === "waiting");
  return h("div", null, facts([
    ["This node", h("span", null, upOrDown(true), ` ${number(sum(now, "connections"))} connections, ${number(sum(now, "requests_active"))} requests`)],
    ...peers.map((peer) => [peer.replace(/^https?:\/\//, ""), upOrDown(sum(now, "peer_up", (l) => l.peer === peer))]),
    peers.length > 0 && ["Owed to others", `${number(owed)} messages`],
  ]), peers.length === 0 && h("p.hint", null, "It tells no other: peers in [cluster] of gateway.toml makes several nodes one."));
}

function replicas(now) {
  const names = labelsOf(now, "replica_up", "replica");
  const of = (name, replica) => sum(now, name, (l) => l.replica === replica);
  const waits = sum(now, "write_back_waiting");
  return h("div", null, facts([
    names.length > 0 && ["Origin", upOrDown(sum(now, "origin_up"))],
    ...names.map((name) => [name, h("span", null, upOrDown(of("replica_up", name)), ` ${seconds(of("replica_lag_seconds", name))} behind, ${number(of("replica_copied_total", name))} brought, ${number(of("replica_failures_total", name))} failed`)]),
    waits > 0 && ["Waits for the upstream", `${number(waits)} objects, ${bytes(sum(now, "write_back_waiting_bytes"))}`],
  ]), names.length === 0 && h("p.hint", null, "No replica is set: [[replica]] in gateway.toml brings everything to another S3 as well."));
}
