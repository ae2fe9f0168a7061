// Traffic of this node as it happens: requests, errors, latency, hits, bytes.

import { h, show } from "../lib/dom.js";
import { bytes, percent, seconds, short } from "../lib/format.js";
import { KEPT, newest, quantiles, rates, ratio, sum, watch } from "../lib/metrics.js";
import { heading } from "../ui/parts.js";
import { linePlot, shares } from "../ui/plot.js";
import { onAdminDoor } from "./operator.js";

const served = (labels) => labels.door === "s3" || labels.door === "edge";
const perSecond = (value) => `${short(value)}/s`;
const bytesPerSecond = (value) => `${bytes(value)}/s`;

export const traffic = () => onAdminDoor("Traffic", async () => {
  const plots = h("div.plots");
  const lists = h("div.columns");
  const draw = () => {
    show(plots, plotsOf());
    show(lists, listsOf());
  };
  const stop = await watch(draw);
  draw();
  return { element: h("div.view", null, heading("Traffic", null, h("p.hint", null, "This node, every three seconds, for as long as this tab is open. Prometheus keeps more: /metrics on this door.")), plots, lists), leave: stop };
});

function plotsOf() {
  const by = (door) => rates("requests_total", (labels) => labels.door === door);
  const all = rates("requests_total", served);
  const [hits, misses] = ["hot_cache_hits_total", "hot_cache_misses_total"].map((name) => rates(name));
  const [found, fetched] = [rates("cache_hits_total"), rates("cache_misses_total")];
  const both = (a, b) => a.map((value, n) => (value === null ? null : value + (b[n] ?? 0)));
  const plot = (title, series, show, max) => linePlot({ title, series: series.map(([name, values]) => ({ name, values })), show, max, slots: KEPT });
  return [
    plot("Requests", [["S3", by("s3")], ["edge", by("edge")]], perSecond),
    plot("Time to the first byte", [["half", quantiles("request_first_byte_seconds", 0.5, served)], ["95 %", quantiles("request_first_byte_seconds", 0.95, served)]], seconds),
    plot("Errors", [["5xx", ratio(rates("requests_total", (l) => served(l) && l.status === "5xx"), all)], ["4xx", ratio(rates("requests_total", (l) => served(l) && l.status === "4xx"), all)]], percent),
    plot("Sent", [["S3", rates("bytes_out_total", (l) => l.door === "s3")], ["edge", rates("bytes_out_total", (l) => l.door === "edge")]], bytesPerSecond),
    plot("Received", [["S3", rates("bytes_in_total", (l) => l.door === "s3")]], bytesPerSecond),
    plot("Answered from memory", [["hot", ratio(hits, both(hits, misses))], ["blocks", ratio(found, both(found, fetched))]], percent, 1),
  ];
}

function listsOf() {
  const now = newest();
  const top = (name, label, fits = (_) => true) => {
    const all = new Map();
    for (const { labels, value } of now.get(name) ?? []) if (value > 0 && fits(labels)) all.set(labels[label], (all.get(labels[label]) ?? 0) + value);
    return [...all].map(([key, value]) => ({ name: key, value })).sort((a, b) => b.value - a.value).slice(0, 8);
  };
  const section = (title, parts, format, none) => h("section", null, h("h2", null, title), parts.length ? shares(parts, format) : h("p.hint", null, none));
  return [
    section("Sent by tenant", top("tenant_bytes_out_total", "tenant"), bytes, "Nothing was sent yet."),
    section("Operations", top("requests_total", "operation", served), short, "No request yet."),
    section("Refused", top("refusals_total", "code"), short, "Nothing was refused."),
    section("Faults by side", top("faults_total", "side"), short, "No fault."),
    h("section", null, h("h2", null, "Now"), shares([
      { name: "open connections", value: sum(now, "connections") }, { name: "requests being answered", value: sum(now, "requests_active") }, { name: "watching events", value: sum(now, "event_streams") },
    ], short)),
  ];
}
