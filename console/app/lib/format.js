// Numbers and times as people read them.

const UNITS = ["B", "KB", "MB", "GB", "TB", "PB"];

/** In powers of 1,000, as disks and bills count. */
export function bytes(count) {
  if (!Number.isFinite(count)) return "–";
  let unit = 0;
  let value = Math.abs(count);
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${count < 0 ? "-" : ""}${value.toFixed(digits)} ${UNITS[unit]}`;
}

export const number = (value) => (Number.isFinite(value) ? value.toLocaleString("en") : "–");

/** 1,234 → 1.2k. */
export function short(value) {
  if (!Number.isFinite(value)) return "–";
  for (const [power, name] of ["k", "M", "G"].map((name, n) => [n + 1, name]).reverse()) {
    const size = 1000 ** Number(power);
    if (Math.abs(value) >= size) return `${(value / size).toFixed(value / size >= 100 ? 0 : 1)}${name}`;
  }
  return Number.isInteger(value) ? String(value) : value.toFixed(value >= 10 ? 1 : 2);
}

export function seconds(value) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0 s";
  if (value < 0.001) return `${(value * 1e6).toFixed(0)} µs`;
  if (value < 1) return `${(value * 1000).toFixed(value < 0.01 ? 1 : 0)} ms`;
  if (value < 90) return `${value.toFixed(value < 10 ? 1 : 0)} s`;
  if (value < 5400) return `${Math.round(value / 60)} min`;
  return value < 172800 ? `${Math.round(value / 3600)} h` : `${Math.round(value / 86400)} days`;
}

export const percent = (value) => (Number.isFinite(value) ? `${(value * 100).toFixed(value > 0.9995 || value < 0.0005 ? 0 : 1)} %` : "–");

const pad = (n) => String(n).padStart(2, "0");

/** 2026-11-30 16:04, in the reader's own zone. */
export function time(value) {
  const date = new Date(value);
  if (Number.isNaN(date.getTime())) return "–";
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${pad(date.getHours())}:${pad(date.getMinutes())}`;
}

/** 3 minutes ago, or the day. */
export function ago(value, now = Date.now()) {
  const passed = (now - new Date(value).getTime()) / 1000;
  if (Number.isNaN(passed)) return "–";
  if (passed < -60) return `in ${seconds(-passed)}`;
  if (passed < 45) return "just now";
  if (passed < 86400 * 2) return `${seconds(passed)} ago`;
  return time(value).slice(0, 10);
}

/** The end of a key: its name in the folder. */
export const nameOf = (key, prefix = "") => key.slice(prefix.length) || key;
