// A list of any length: only the rows in sight are there. What is far away is let go of and asked for again.
//
// The rows come in pages, each found by the token of the one before, so scrolling down asks for one after the other. Browsers end at some
// 33 million pixels: a longer list moves by more than the wheel does.

import { h } from "../lib/dom.js";

const TALLEST = 16_000_000;
const KEPT_PAGES = 40;
const AROUND = 8;

/**
 * @param {{ rowHeight: number, load: (token: string | null, signal: AbortSignal) => Promise<{ entries: any[], next: string | null }>,
 *   row: (entry: any, index: number) => HTMLElement, onLoad?: (count: number, more: boolean) => void, onFault: (fault: any) => void }} list
 */
export function virtualList({ rowHeight, load, row, onLoad, onFault }) {
  const canvas = h("div.rows", { role: "rowgroup" });
  const element = h("div.scroller", null, canvas);
  /** @type {{ token: string | null, first: number, count: number, entries: any[] | null, used: number }[]} */
  let pages = [];
  let next = /** @type {string | null | undefined} */ (undefined);
  let loading = null;
  let stop = new AbortController();
  let clock = 0;
  /** What is shown is of before a reload: it stays until there is something in its place. */
  let isOld = false;

  const count = () => (pages.length ? pages[pages.length - 1].first + pages[pages.length - 1].count : 0);
  const total = () => count() + (next === null ? 0 : 1);

  function pageAt(index) {
    let low = 0;
    let high = pages.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (pages[middle].first <= index) low = middle;
      else high = middle - 1;
    }
    return pages[low];
  }

  function at(index) {
    const page = pageAt(index);
    if (!page || index >= page.first + page.count) return undefined;
    page.used = clock += 1;
    return page.entries ? page.entries[index - page.first] : null;
  }

  async function fetchPage(page) {
    if (loading) return;
    const { signal } = stop;
    const token = page ? page.token : next ?? null;
    loading = load(token, signal);
    try {
      const found = await loading;
      if (signal.aborted) return;
      if (page) page.entries = found.entries;
      else {
        if (isOld) forget();
        pages.push({ token, first: count(), count: found.entries.length, entries: found.entries, used: (clock += 1) });
        next = found.next;
      }
      const held = pages.filter((p) => p.entries).sort((a, b) => a.used - b.used);
      held.slice(0, Math.max(0, held.length - KEPT_PAGES)).forEach((p) => { p.entries = null; });
      loading = null;
      onLoad?.(count(), next !== null);
      draw();
    } catch (fault) {
      if (signal.aborted) return;
      loading = null;
      forget();
      onFault(fault);
    }
  }

  let shown = new Map();
  function forget() {
    isOld = false;
    shown = new Map();
    canvas.replaceChildren();
    element.scrollTop = 0;
  }

  function draw() {
    if (isOld) return;
    const height = total() * rowHeight;
    const view = element.clientHeight || 600;
    const tall = Math.min(height, TALLEST);
    canvas.style.height = `${tall}px`;
    const scale = height > TALLEST ? (height - view) / (TALLEST - view) : 1;
    const top = element.scrollTop * scale;
    const shift = element.scrollTop - top;
    const from = Math.max(0, Math.floor(top / rowHeight) - AROUND);
    const to = Math.min(total(), Math.ceil((top + view) / rowHeight) + AROUND);
    const now = new Map();
    let missing = null;
    for (let index = from; index < to; index += 1) {
      const entry = at(index);
      if (entry === undefined && index >= count()) missing ??= "next";
      if (entry === null) missing = pageAt(index);
      const old = shown.get(index);
      const kept = old && old.entry === entry ? old : { entry, element: entry ? row(entry, index) : h("div.row.waiting", { role: "row" }, h("span.shimmer", { role: "cell" })) };
      kept.element.style.transform = `translateY(${index * rowHeight + shift}px)`;
      now.set(index, kept);
    }
    for (const [index, one] of shown) if (now.get(index) !== one) one.element.remove();
    for (const [, one] of [...now].sort(([a], [b]) => a - b)) if (!one.element.isConnected) canvas.append(one.element);
    shown = now;
    if (missing) fetchPage(missing === "next" ? null : missing);
  }

  element.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  new ResizeObserver(() => draw()).observe(element);

  return {
    element,
    /** From the beginning. */
    reload() {
      stop.abort();
      stop = new AbortController();
      [pages, next, loading, isOld] = [[], undefined, null, true];
      fetchPage(null);
    },
    /** Rows say something else of the same entries. */
    redraw() {
      shown.forEach((one) => one.element.remove());
      shown = new Map();
      draw();
    },
    close: () => stop.abort(),
    /** The entries that are at hand. */
    loaded: () => pages.flatMap((page) => page.entries ?? []),
    scrollTo(index) {
      const top = index * rowHeight;
      if (top < element.scrollTop) element.scrollTop = top;
      else if (top + rowHeight > element.scrollTop + element.clientHeight) element.scrollTop = top + rowHeight - element.clientHeight;
      draw();
      return shown.get(index)?.element;
    },
  };
}
