// The admin door's metrics: read every few seconds, kept for a while in this tab, and turned into rates.

import { prefix } from "./session.js";

const EVERY_MS = 3000;
export const KEPT = 120;

/** @typedef {Map<string, { labels: Record<string, string>, value: number }[]>} Sample */
/** @type {{ at: number, sample: Sample }[]} */
export const samples = [];
const listeners = new Set();
let timer = 0;

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/** OpenMetrics text. @param {string} text @returns {Sample} */
export function read(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    if (line[0] === "#") continue;
    const match = LINE.exec(line);
    if (!match) continue;
    const labels = {};
    for (const [, name, value] of (match[2] ?? "").matchAll(LABEL)) labels[name] = value.replace(/\\n/g, "\n").replace(/\\(.)/g, "$1");
    const name = match[1].replace(/^tidegate_/, "");
    if (!found.has(name)) found.set(name, []);
    found.get(name).push({ labels, value: Number(match[3]) });
  }
  return found;
}

async function take() {
  const response = await fetch(`${prefix}/metrics`, { cache: "no-store" });
  if (!response.ok) throw new Error(`The metrics can't be read: ${response.status}`);
  samples.push({ at: performance.now(), sample: read(await response.text()) });
  if (samples.length > KEPT) samples.shift();
  listeners.forEach((listener) => listener());
}

/** Begins to read while somebody listens. Resolves with the first reading. @param {() => void} listener */
export async function watch(listener) {
  listeners.add(listener);
  if (!samples.length) await take();
  if (!timer) timer = setInterval(() => { if (listeners.size && !document.hidden) take().catch(() => {}); }, EVERY_MS);
  return () => listeners.delete(listener);
}

/** The sum of the series that fit. @param {Sample} sample @param {(labels: Record<string, string>) => boolean} [fits] */
export const sum = (sample, name, fits = () => true) => (sample.get(name) ?? []).reduce((all, one) => (fits(one.labels) ? all + one.value : all), 0);

/** Each reading's value of what is only ever a level: of its series the sum, or what `join` says. @param {string} name
 * @param {(labels: Record<string, string>) => boolean} [fits] @param {(...values: number[]) => number} [join] */
export const levels = (name, fits = () => true, join = (...values) => values.reduce((a, b) => a + b, 0)) =>
  samples.map(({ sample }) => join(0, ...(sample.get(name) ?? []).filter((one) => fits(one.labels)).map((one) => one.value)));

/** What was added in each second between two readings. A gateway that began anew counts from zero. */
export function rates(name, fits) {
  return samples.map(({ at, sample }, n) => {
    if (n === 0) return null;
    const before = samples[n - 1];
    const more = sum(sample, name, fits) - sum(before.sample, name, fits);
    return more < 0 ? null : more / ((at - before.at) / 1000);
  });
}

/** Of two rates. */
export const ratio = (part, all) => part.map((value, n) => (value === null || !(all[n] > 0) ? null : value / all[n]));

/** The value below which that share of what was observed between two readings lies. */
export function quantiles(name, share, fits = (_) => true) {
  const buckets = (sample) => {
    const all = new Map();
    for (const { labels, value } of sample.get(`${name}_bucket`) ?? []) {
      if (!fits(labels)) continue;
      const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
      all.set(bound, (all.get(bound) ?? 0) + value);
    }
    return all;
  };
  return samples.map(({ sample }, n) => {
    if (n === 0) return null;
    const [now, before] = [buckets(sample), buckets(samples[n - 1].sample)];
    const bounds = [...now.keys()].sort((a, b) => a - b);
    const counts = bounds.map((bound) => (now.get(bound) ?? 0) - (before.get(bound) ?? 0));
    const all = counts[counts.length - 1];
    if (!(all > 0)) return null;
    const at = counts.findIndex((count) => count >= all * share);
    const [low, high] = [at > 0 ? bounds[at - 1] : 0, bounds[at]];
    if (!Number.isFinite(high)) return low;
    const [below, upTo] = [at > 0 ? counts[at - 1] : 0, counts[at]];
    return low + ((all * share - below) / Math.max(1e-9, upTo - below)) * (high - low);
  });
}

/** The newest reading. */
export const newest = () => samples[samples.length - 1]?.sample ?? new Map();
