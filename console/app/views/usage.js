// What a tenant used, day by day, and what it cost; for the operator of all tenants.

import { h } from "../lib/dom.js";
import { bytes, number } from "../lib/format.js";
import { api, s3 } from "../lib/http.js";
import { session } from "../lib/session.js";
import { button } from "../ui/button.js";
import { select } from "../ui/dialog.js";
import { empty, heading, later } from "../ui/parts.js";
import { barPlot, shares } from "../ui/plot.js";

const MONTHS = 12;

function months(now = new Date()) {
  return Array.from({ length: MONTHS }, (_, n) => {
    const date = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - n, 1));
    const name = date.toISOString().slice(0, 7);
    return [name, date.toLocaleDateString("en", { month: "long", year: "numeric", timeZone: "UTC" })];
  });
}

export async function usage() {
  const all = months();
  const month = select(/** @type {any} */ (all), all[0][0], { "aria-label": "Month" });
  const place = h("div");
  const show = () => place.replaceChildren(later(() => report(month.value)));
  month.addEventListener("change", show);
  show();
  const csv = async () => {
    const by = session()?.isOperator ? "tenant,day,bucket" : "day,bucket";
    const text = await (await s3("/-/v1/usage", { query: { month: month.value, by, format: "csv" } })).blob();
    const href = URL.createObjectURL(text);
    h("a", { href, download: `usage-${month.value}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 10_000);
  };
  return h("div.view", null, heading("Usage", [month, button("CSV", csv, { icon: "download" })]), place);
}

async function report(month) {
  const group = session()?.isOperator ? "tenant" : "bucket";
  const [daily, grouped, stored] = await Promise.all([
    api("usage", { query: { month, by: "day" } }), api("usage", { query: { month, by: group } }), api("usage/stored", { query: { by: "tenant" } }).catch(() => ({ places: [] })),
  ]);
  const days = daysOf(month, daily.lines);
  const { total, currency } = daily;
  const held = stored.places.reduce((sum, place) => sum + place.bytes, 0);
  const name = (line) => line[group] || (group === "bucket" ? "(no bucket)" : "anonymous");
  if (!total.requests_total && !held) return empty("usage", "Nothing was used", "Requests, bytes and stored bytes are counted from the first request on, and show here within a second.");
  return h("div", null,
    h("dl.figures", null,
      figure("Requests", number(total.requests_total)), figure("Received", bytes(total.bytes_in)), figure("Sent", bytes(total.bytes_out_total)), figure("Stored now", bytes(held)),
      currency && figure("Cost", `${Number(total.cost).toLocaleString("en", { maximumFractionDigits: 4 })} ${currency}`)),
    h("div.plots.wide", null,
      barPlot({ title: "Requests by day", bars: days.map(([day, line]) => ({ name: day, value: line?.requests_total ?? 0 })) }),
      barPlot({ title: "Sent by day", show: bytes, bars: days.map(([day, line]) => ({ name: day, value: line?.bytes_out_total ?? 0 })) }),
      barPlot({ title: "Received by day", show: bytes, bars: days.map(([day, line]) => ({ name: day, value: line?.bytes_in ?? 0 })) }),
      currency
        ? barPlot({ title: "Cost by day", show: (v) => `${v.toFixed(v < 1 ? 4 : 2)} ${currency}`, bars: days.map(([day, line]) => ({ name: day, value: Number(line?.cost ?? 0) })) })
        : barPlot({ title: "Stored by day", show: bytes, note: bytes(held), bars: days.map(([day, line]) => ({ name: day, value: Number(line?.byte_hours ?? 0) / 24 })) })),
    h("div.columns", null,
      h("section", null, h("h2", null, group === "tenant" ? "Requests by tenant" : "Requests by bucket"), shares(grouped.lines.map((line) => ({ name: name(line), value: line.requests_total })), number)),
      h("section", null, h("h2", null, group === "tenant" ? "Sent by tenant" : "Sent by bucket"), shares(grouped.lines.map((line) => ({ name: name(line), value: line.bytes_out_total })), bytes)),
      h("section", null, h("h2", null, "Requests by class"), shares(Object.entries(total.requests).map(([kind, value]) => ({ name: kind, value })), number))),
    !currency && h("p.hint", null, "Costs show once the operator has set [prices] in gateway.toml."));
}

const figure = (name, value) => h("div", null, h("dt", null, name), h("dd", null, value));

/** Every day of the month until today, with its line where it has one. */
function daysOf(month, lines) {
  const found = new Map(lines.map((line) => [line.day, line]));
  const [year, number] = month.split("-").map(Number);
  const last = new Date(Date.UTC(year, number, 0)).getUTCDate();
  const today = new Date().toISOString().slice(0, 10);
  return Array.from({ length: last }, (_, n) => `${month}-${String(n + 1).padStart(2, "0")}`).filter((day) => day <= today).map((day) => [day, found.get(day)]);
}
