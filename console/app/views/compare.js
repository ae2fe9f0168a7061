// Two forms of a model at once: beside each other, or one over the other with an edge that is moved between them.

import { h, show } from "../lib/dom.js";
import { bytes, number } from "../lib/format.js";
import { pathOf, s3 } from "../lib/http.js";
import { dialog, select } from "../ui/dialog.js";
import { fault } from "../ui/parts.js";
import { viewerFrame } from "./frame.js";

/** @param {{ bucket: string, key: string, forms: any[] }} what the first is the original */
export async function compare({ bucket, key, forms }) {
  const names = forms.map((form, n) => [String(n), form.name]);
  const sides = [select(names, "0", { "aria-label": "Left" }), select(names, String(forms.length - 1), { "aria-label": "Right" })];
  const ways = select([["wipe", "One over the other"], ["beside", "Beside each other"]], "wipe", { "aria-label": "How" });
  const wipe = h("input.range", { type: "range", min: "0", max: "1", step: "0.01", value: "0.5", "aria-label": "Where the edge between them is" });
  const place = h("div.compare-view");
  const table = h("div.table-scroll", { tabindex: "0", role: "region", "aria-label": "What each costs" });
  const leave = [];
  const stop = new AbortController();
  const contents = new Map();
  let set = (_name, _value) => {};
  let turn = 0;

  /** The bytes of a form, asked for once. */
  const content = (form) => {
    if (!contents.has(form.variant)) {
      contents.set(form.variant, s3(pathOf(bucket, key), { query: form.variant ? { variant: form.variant } : {}, signal: stop.signal }).then((answer) => answer.arrayBuffer()));
      contents.get(form.variant).catch(() => contents.delete(form.variant));
    }
    return contents.get(form.variant);
  };
  const arrange = () => {
    wipe.hidden = ways.value === "beside";
    set("beside", ways.value === "beside");
    set("wipe", Number(wipe.value));
  };
  async function load() {
    const mine = (turn += 1);
    leave.splice(0).forEach((act) => act());
    const chosen = sides.map((side) => forms[Number(side.value)]);
    show(table, costs(chosen, []));
    const told = h("p.hint", { role: "status" }, "Drawing …");
    show(place, told);
    try {
      // The frame is given them for good, so it gets copies.
      const both = (await Promise.all(chosen.map(content))).map((one) => one.slice(0));
      if (mine !== turn || stop.signal.aborted) return;
      const frame = viewerFrame({
        name: `${chosen[0].name} and ${chosen[1].name} of ${key}`, message: { what: "models", contents: both }, transfer: both, leave,
        shown: ({ models }) => {
          told.remove();
          arrange();
          show(table, costs(chosen, models));
        },
        failed: (text) => { told.textContent = text; },
      });
      set = frame.set;
      show(place, frame.element, told);
    } catch (error) {
      if (mine === turn && !stop.signal.aborted) show(place, fault(error, load));
    }
  }
  [...sides].forEach((side) => side.addEventListener("change", load));
  ways.addEventListener("change", arrange);
  wipe.addEventListener("input", arrange);
  load();
  await dialog({ title: "Compare", wide: true, content: h("div.compare", null, h("div.compare-sides", null, sides[0], ways, sides[1]), place, wipe, table) });
  stop.abort();
  leave.forEach((act) => act());
}

/** What the manifest says of both, and what the viewer measured where it has drawn them. */
function costs(forms, drawn) {
  /** @type {[string, (form: any, seen: any) => string][]} */
  const lines = [
    ["Bytes", (form) => bytes(form.size)],
    ["Triangles", (form, seen) => number(seen?.triangles ?? form.triangles)],
    ["GPU memory", (form, seen) => (seen ? bytes(seen.memory) : form.gpu_bytes ? bytes(form.gpu_bytes) : "–")],
    ["Likeness", (form) => (form.psnr === undefined ? "–" : `${form.psnr.toFixed(1)} dB`)],
  ];
  return h("table", null,
    h("thead", null, h("tr", null, h("th", { scope: "col" }, "What it costs"), forms.map((form) => h("th.number", { scope: "col" }, form.name)))),
    h("tbody", null, lines.map(([name, of]) => h("tr", null, h("th", { scope: "row" }, name), forms.map((form, n) => h("td.number", null, of(form, drawn[n])))))));
}
