// What the gateway found in a file: verdict, facts, findings.

import { h } from "../lib/dom.js";
import { number } from "../lib/format.js";
import { api } from "../lib/http.js";
import { encodePath } from "../lib/sigv4.js";
import { badge, facts, later } from "../ui/parts.js";

const KINDS = { passed: "good", flagged: "note", refused: "bad", failed: "bad", skipped: "" };
const WORDS = {
  passed: "Nothing was found.", flagged: "It can be used, and something should be looked at.", refused: "It is not what it is declared to be, or is broken.",
  failed: "It could not be looked into.", skipped: "It was not looked into.",
};

const words = (name) => name[0].toUpperCase() + name.slice(1).replaceAll("-", " ");

export const asset = (bucket, key, wait) => api(`assets/${bucket}/${encodePath(key)}`, { query: { wait: wait ? "10s" : undefined } });

export function assetFacts(bucket, key) {
  return later(async () => {
    const found = await asset(bucket, key, true);
    if (!found.inspection) return h("p.hint", null, found.is_media ? "It is being looked into." : "Models, pictures, sound and video are looked into; this is none of them.");
    const { verdict, format, facts: values, uses, findings } = found.inspection;
    return h("div", null,
      h("p", null, badge(verdict, KINDS[verdict]), ` ${WORDS[verdict] ?? ""}`),
      findings?.length > 0 && h("ul.findings", null, findings.map((one) => h("li", { class: one.fault ? "bad" : "note" }, one.text))),
      facts([
        format && ["Format", format],
        ...Object.entries(values ?? {}).map(([name, value]) => [words(name), typeof value === "number" ? number(value) : String(value)]),
        uses?.length && ["Uses", uses.join(", ")],
      ]));
  });
}
