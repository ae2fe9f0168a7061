// Plots: lines over time and bars, as SVG. One colour speaks; the others stand back.

import { h, s } from "../lib/dom.js";
import { short } from "../lib/format.js";

const WIDTH = 320;
const HEIGHT = 84;

/** The next round number. */
function ceiling(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((n) => n * power).find((n) => n >= value) ?? value;
}

/**
 * Values over time, the newest at the right. Several series share one scale.
 * @param {{ title: string, series: { name: string, values: (number | null)[] }[], show?: (value: number) => string, max?: number, slots: number }} plot
 */
export function linePlot({ title, series, show = short, max, slots }) {
  const top = max ?? ceiling(Math.max(0, ...series.flatMap((one) => one.values.filter((v) => v !== null && Number.isFinite(v)).map(Number))));
  const x = (index, length) => WIDTH - ((length - 1 - index) / Math.max(1, slots - 1)) * WIDTH;
  const y = (value) => HEIGHT - 2 - (Math.min(value, top) / top) * (HEIGHT - 8);
  const shapes = series.map((one, at) => {
    const points = one.values.map((value, index) => (value === null || !Number.isFinite(value) ? null : `${x(index, one.values.length).toFixed(1)},${y(value).toFixed(1)}`)).filter(Boolean);
    if (!points.length) return null;
    // A single point is a dot: a line of no length with round ends.
    const line = `M${points.join("L")}${points.length === 1 ? "h0.01" : ""}`;
    const end = `${WIDTH},${HEIGHT}L${points[0]?.split(",")[0]},${HEIGHT}Z`;
    return [at === 0 && s("path", { class: "plot-area", d: `${line}L${end}` }), s("path", { class: `plot-line series-${at}`, d: line })];
  });
  const last = series.map((one) => one.values.findLast((v) => v !== null && Number.isFinite(v)));
  return h("figure.plot", null,
    h("figcaption", null, h("span.plot-title", null, title), h("span.plot-now", null, last[0] === undefined ? "–" : show(Number(last[0])))),
    h("div.plot-box", null,
      s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${last[0] === undefined ? "nothing yet" : show(Number(last[0]))}` },
        s("path", { class: "plot-grid", d: `M0,${HEIGHT - 1}H${WIDTH}M0,${y(top / 2)}H${WIDTH}M0,${y(top)}H${WIDTH}` }), shapes),
      h("span.plot-max", null, show(top))),
    series.length > 1 && h("div.legend", null, series.map((one, at) => h("span", null, h("i", { class: `series-${at}` }), `${one.name} `, h("b", null, last[at] === undefined ? "–" : show(Number(last[at])))))));
}

/**
 * One bar for each name, the highest at the top of the box.
 * @param {{ title: string, bars: { name: string, value: number }[], show?: (value: number) => string, note?: string }} plot
 */
export function barPlot({ title, bars, show = short, note }) {
  const top = ceiling(Math.max(0, ...bars.map((bar) => bar.value)));
  const sum = bars.reduce((a, bar) => a + bar.value, 0);
  return h("figure.plot", null,
    h("figcaption", null, h("span.plot-title", null, title), h("span.plot-now", null, note ?? show(sum))),
    h("div.bars", { role: "img", "aria-label": `${title}: ${bars.map((bar) => `${bar.name} ${show(bar.value)}`).join(", ")}` },
      bars.map((bar) => h("div.bar", { title: `${bar.name}: ${show(bar.value)}` }, h("i", { style: { height: `${Math.max(bar.value > 0 ? 2 : 0, (bar.value / top) * 100)}%` } })))),
    h("div.bar-names", { "aria-hidden": "true" }, h("span", null, bars[0]?.name ?? ""), h("span", null, bars.length > 1 ? bars[bars.length - 1].name : "")));
}

/** Shares of a whole, the largest first. @param {{ name: string, value: number }[]} parts */
export function shares(parts, show = short) {
  const sum = parts.reduce((a, part) => a + part.value, 0) || 1;
  return h("ul.shares", null, parts.sort((a, b) => b.value - a.value).map((part) =>
    h("li", null, h("span", null, part.name), h("b", null, show(part.value)), h("div.meter", { "aria-hidden": "true" }, h("i", { style: { width: `${(part.value / sum) * 100}%` } })))));
}
