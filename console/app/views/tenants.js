// All tenants, by what they hold and what they did this month.

import { h } from "../lib/dom.js";
import { bytes, number } from "../lib/format.js";
import { admin } from "../lib/http.js";
import { button } from "../ui/button.js";
import { empty, heading } from "../ui/parts.js";
import { toast } from "../ui/toast.js";
import { onAdminDoor } from "./operator.js";

export const tenants = () => onAdminDoor("Tenants", async () => {
  const [used, stored, keys] = await Promise.all([admin("usage", { json: { by: "tenant" } }), admin("stored", { json: { by: "type" } }), admin("keys")]);
  const all = new Map();
  const of = (name) => {
    if (!all.has(name)) all.set(name, { name, bytes: 0, objects: 0, buckets: new Set(), requests: 0, sent: 0, cost: null, keys: 0 });
    return all.get(name);
  };
  for (const place of stored.places) {
    const one = of(place.tenant);
    one.bytes += place.bytes;
    one.objects += place.objects;
    if (place.bucket) one.buckets.add(place.bucket);
  }
  for (const line of used.lines) Object.assign(of(line.tenant), { requests: line.requests_total, sent: line.bytes_out_total, cost: line.cost });
  for (const key of keys) of(key.tenant).keys += 1;
  const rows = [...all.values()].sort((a, b) => b.bytes - a.bytes);
  const reload = async () => {
    const { tenants: count, policies, warnings } = await admin("reload", { method: "POST" });
    toast(`${count} tenants and ${policies} policies are read${warnings.length ? `; ${warnings.join("; ")}` : ""}`);
  };
  const columns = ["Tenant", "Stored", "Objects", "Buckets", "Requests", "Sent", ...(used.currency ? [`Cost, ${used.currency}`] : []), "Made keys"];
  return h("div.view", null,
    heading("Tenants", button("Read policies again", reload, { icon: "refresh" }), h("p.hint", null, `What they hold now and did in ${used.month}. Tenants and their limits are files in policies/tenants; changes are taken up by themselves.`)),
    rows.length ? h("div.table-scroll", { tabindex: "0", role: "region", "aria-label": "Tenants" }, h("table", null,
      h("thead", null, h("tr", null, columns.map((name, n) => h("th", { scope: "col", class: n ? "number" : "" }, name)))),
      h("tbody", null, rows.map((one) => h("tr", null, h("th", { scope: "row" }, one.name),
        [bytes(one.bytes), number(one.objects), number(one.buckets.size), number(one.requests), bytes(one.sent), ...(used.currency ? [one.cost ?? "0"] : []), number(one.keys)].map((text) => h("td.number", null, text)))))))
      : empty("users", "No tenant has done anything yet", "A tenant is a file: policies/tenants/NAME.toml. It is taken up while the gateway runs."));
});
