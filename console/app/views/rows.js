// A row of a folder's list.

import { h } from "../lib/dom.js";
import { ago, bytes, nameOf, time } from "../lib/format.js";
import { address, pathOf } from "../lib/http.js";
import { placeOf } from "../lib/router.js";
import { iconOf, showsAs } from "../lib/types.js";
import { icon } from "../ui/icon.js";

/** Pictures up to this size are their own thumbnails. */
const SMALL = 400_000;
/** Signed once for each content, so that scrolling back asks for nothing. */
const signed = new Map();
const KEPT = 500;

/** A small picture of it, where there is one; until it is there, and where it is broken, an icon. */
function thumbnail(bucket, entry) {
  const isPicture = showsAs(entry.key) === "image" && entry.size > 0 && entry.size <= SMALL;
  if (entry.folder || entry.deleted || !(isPicture || entry.hasPoster)) return icon(iconOf(entry));
  const name = `${bucket}/${entry.key}/${entry.etag}`;
  if (!signed.has(name)) {
    if (signed.size >= KEPT) signed.clear();
    signed.set(name, address(pathOf(bucket, entry.key), entry.hasPoster ? { variant: "poster" } : {}));
  }
  const place = h("span.thumbnail", null, icon(iconOf(entry)));
  signed.get(name).then((src) => {
    const image = h("img", { src, alt: "", loading: "lazy", decoding: "async", onload: () => place.replaceChildren(image), onerror: () => signed.delete(name) });
    place.append(image);
  });
  return place;
}

/** @param {{ bucket: string, entry: any, index: number, prefix: string, chosen: Map<string, any>, isOpen: boolean, onChoose: () => void, onMove: (index: number, by: number) => void }} what */
export function listRow({ bucket, entry, index, prefix, chosen, isOpen, onChoose, onMove }) {
  const name = nameOf(entry.key, prefix).replace(/\/$/, "") || "(empty name)";
  const href = entry.folder ? placeOf(bucket, { prefix: entry.key }) : placeOf(bucket, { prefix, object: entry.key });
  const box = h("input", { type: "checkbox", "aria-label": `Choose ${name}` });
  box.checked = chosen.has(entry.key);
  const link = h("a.name", { href, title: name }, thumbnail(bucket, entry), h("span.name-text", null, name));
  const element = h("div.row", { role: "row", data: { key: entry.key }, class: [isOpen && "open", box.checked && "chosen", entry.folder && "folder"].filter(Boolean).join(" ") },
    h("span.cell-check", { role: "cell" }, box),
    h("span.cell-name", { role: "cell" }, link),
    h("span.cell-size", { role: "cell" }, entry.folder ? "" : entry.deleted ? "deleted" : bytes(entry.size)),
    h("span.cell-time", { role: "cell", title: entry.folder ? null : time(entry.modified) }, entry.folder ? "" : ago(entry.modified)),
    h("span.cell-more", { role: "cell", "aria-hidden": "true" }, entry.folder ? "›" : ""));
  box.addEventListener("change", () => {
    if (box.checked) chosen.set(entry.key, entry);
    else chosen.delete(entry.key);
    element.classList.toggle("chosen", box.checked);
    onChoose();
  });
  element.addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (by) {
      event.preventDefault();
      onMove(index, by);
    } else if (event.key === " " && event.target === link) {
      event.preventDefault();
      box.click();
    }
  });
  // The whole row opens it, but for its box.
  element.addEventListener("click", (event) => {
    if (event.target instanceof HTMLElement && !event.target.closest("a, input, .cell-check")) link.click();
  });
  return element;
}
