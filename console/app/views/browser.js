// A folder of a bucket: its list, what is chosen in it, what is dropped on it, and the object that is open beside it.

import { h, show } from "../lib/dom.js";
import { bytes, number } from "../lib/format.js";
import { placeOf } from "../lib/router.js";
import { keepsVersions, listDeleted, listPage } from "../lib/s3.js";
import { showsAs } from "../lib/types.js";
import { onUploads, uploads } from "../lib/upload.js";
import { button, iconButton } from "../ui/button.js";
import { checkbox, input } from "../ui/dialog.js";
import { empty, fault, heading } from "../ui/parts.js";
import { virtualList } from "../ui/virtual.js";
import { chooseFiles, dropZone, makeFolder } from "./drop.js";
import { downloadMany, linkMany, restoreMany, tagMany, transferMany } from "./many.js";
import { objectPanel } from "./object.js";
import { removeMany } from "./remove.js";
import { listRow } from "./rows.js";

const ROW = 48;

export async function browser({ parts: [bucket], query }) {
  const prefix = query.get("prefix") ?? "";
  let open = query.get("object") ?? "";
  /** @type {Map<string, any>} */
  const chosen = new Map();
  let search = "";
  let flat = false;
  let deleted = false;

  const list = virtualList({
    rowHeight: ROW,
    load: async (token, signal) => {
      const options = { prefix: prefix + search, token: token ?? undefined, delimiter: flat ? "" : "/", signal };
      return deleted ? listDeleted(bucket, options) : withPosters(await listPage(bucket, options));
    },
    row: (entry, index) => listRow({ bucket, entry, index, prefix, chosen, isOpen: entry.key === open, onChoose, onMove }),
    onLoad: (count, more) => {
      status.textContent = `${number(count)}${more ? "+" : ""} ${count === 1 && !more ? "item" : "items"}`;
      body.classList.toggle("is-empty", count === 0 && !more);
      const none = () => (deleted ? empty("trash", "Nothing is deleted here", "What is deleted while versions are kept shows here, and can be restored.") : emptyFolder(search, prefix, () => chooseFiles(bucket, prefix)));
      show(nothing, count === 0 && !more && none());
    },
    onFault: (error) => {
      body.classList.add("is-empty");
      show(nothing, fault(error, () => list.reload()));
    },
  });
  const status = h("span.status", { role: "status" });
  const nothing = h("div.nothing");
  const table = h("div.table", { role: "table", "aria-label": `Objects of ${bucket}` },
    h("div.row.head", { role: "row" },
      h("span.cell-check", { role: "columnheader" }, allBox()), h("span.cell-name", { role: "columnheader" }, "Name"),
      h("span.cell-size", { role: "columnheader" }, "Size"), h("span.cell-time", { role: "columnheader" }, "Changed"), h("span.cell-more", { role: "columnheader", "aria-label": "Open" })),
    list.element);
  const body = h("div.browser-body", null, table, nothing);
  const bar = h("div.selection", { hidden: true });

  function allBox() {
    const box = h("input", { type: "checkbox", "aria-label": "Choose all that are loaded" });
    box.addEventListener("change", () => {
      chosen.clear();
      if (box.checked) list.loaded().forEach((entry) => chosen.set(entry.key, entry));
      onChoose();
      list.redraw();
    });
    return box;
  }

  const chooseNone = () => {
    chosen.clear();
    onChoose();
  };
  const startAnew = () => {
    chooseNone();
    list.reload();
  };

  function onChoose() {
    const entries = [...chosen.values()];
    bar.hidden = !entries.length;
    const size = entries.reduce((sum, entry) => sum + (entry.size || 0), 0);
    show(bar,
      h("b", null, `${number(entries.length)} chosen`), size > 0 && h("span.hint", null, bytes(size)),
      h("span.actions", null,
        deleted ? button("Restore", () => restoreMany(bucket, entries, startAnew), { kind: "primary", icon: "refresh" }) : [
          button("Download", () => downloadMany(bucket, entries), { icon: "download" }),
          button("Links…", () => linkMany(bucket, entries), { icon: "link" }),
          button("Copy or move…", () => transferMany(bucket, prefix, entries, startAnew), { icon: "copy" }),
          button("Tag…", () => tagMany(bucket, entries), { icon: "tag" }),
          button("Delete…", () => removeMany(bucket, entries, startAnew), { kind: "danger", icon: "trash" }),
        ],
        iconButton("Choose none", "close", () => { chooseNone(); list.redraw(); })));
  }

  function onMove(index, by) {
    const row = list.scrollTo(Math.max(0, index + by));
    row?.querySelector("a")?.focus();
  }

  const box = input({ type: "search", class: "search", placeholder: "Names that begin with…", "aria-label": "Find by the beginning of the name" });
  let typing = 0;
  box.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => { search = box.value; list.reload(); }, 200);
  });
  const all = h("input", { type: "checkbox" });
  all.addEventListener("change", () => { flat = all.checked; list.reload(); });
  const gone = checkbox("Deleted", false);
  gone.element.hidden = true;
  gone.box.addEventListener("change", () => { deleted = gone.box.checked; startAnew(); });
  // Only where versions are, or were, kept is there something to restore.
  keepsVersions(bucket).then((keeps) => { gone.element.hidden = !keeps; }, () => {});

  const view = h("div.view.browser", null,
    heading(crumbs(bucket, prefix),
      [button("Upload", () => chooseFiles(bucket, prefix), { kind: "primary", icon: "upload" }), button("Folder", () => makeFolder(bucket, prefix), { icon: "plus" }),
        iconButton("Reload", "refresh", () => list.reload()), iconButton("Bucket settings", "settings", () => { location.hash = `#/settings/${encodeURIComponent(bucket)}`; })],
      h("div.toolbar", null, box, h("label.check", null, all, h("span", null, "All levels")), gone.element, status)),
    bar, body);
  const drop = dropZone(view, bucket, prefix);
  // What was uploaded into this folder shows when it is there.
  const stored = () => uploads.filter((u) => u.state === "done" && u.bucket === bucket && u.key.startsWith(prefix)).length;
  let ended = stored();
  const stopListening = onUploads(() => {
    const now = stored();
    if (now > ended) list.reload();
    ended = now;
  });
  list.reload();
  let panel = null;
  const element = h("div.split", null, view);
  /** The object that is open beside the list, or none. */
  function beside(key) {
    panel?.leave();
    panel?.element.remove();
    const before = open;
    open = key;
    panel = key ? objectPanel({ bucket, key, close: placeOf(bucket, { prefix }), changed: () => list.reload() }) : null;
    element.classList.toggle("is-open", panel !== null);
    list.redraw();
    // The focus goes into what opens, and back to where it came from.
    if (panel) {
      element.append(panel.element);
      panel.element.focus();
    } else [...element.querySelectorAll(".row")].find((row) => row.dataset.key === before)?.querySelector("a")?.focus();
  }
  beside(open);
  return {
    element,
    // The list stays as it is while objects of it are opened and closed.
    goTo: (found) => {
      if (found.name !== "b" || found.parts[0] !== bucket || (found.query.get("prefix") ?? "") !== prefix) return false;
      beside(found.query.get("object") ?? "");
      return true;
    },
    leave: () => { list.close(); drop(); stopListening(); panel?.leave(); },
  };
}

/** Which objects have a poster: results lie beside their model, in a folder that is called after it. */
function withPosters(page) {
  const places = new Set();
  for (const { key, folder } of page.entries) {
    const [, source] = (folder ? /^(.+)\.variants\/$/ : /^(.+)\.variants\/poster-[^/]*$/).exec(key) ?? [];
    if (source) places.add(source);
  }
  for (const entry of page.entries) entry.hasPoster = !entry.folder && places.has(entry.key) && showsAs(entry.key) === "model";
  return page;
}

function crumbs(bucket, prefix) {
  const folders = prefix.split("/").slice(0, -1);
  return h("nav.crumbs", { "aria-label": "Folders" },
    h("a", { href: "#/buckets" }, "Buckets"), h("i", { "aria-hidden": "true" }, "/"),
    folders.length ? h("a", { href: placeOf(bucket) }, bucket) : h("h1", null, bucket),
    folders.map((name, at) => [
      h("i", { "aria-hidden": "true" }, "/"),
      at === folders.length - 1 ? h("h1", null, name || "(empty name)") : h("a", { href: placeOf(bucket, { prefix: `${folders.slice(0, at + 1).join("/")}/` }) }, name || "(empty name)"),
    ]));
}

function emptyFolder(search, prefix, choose) {
  if (search) return empty("search", "No name begins so", `Nothing under ${prefix || "this bucket"} begins with “${search}”. Names are compared letter by letter.`);
  return empty("upload", prefix ? "This folder is empty" : "This bucket is empty", "Drop files or folders anywhere on this page.", button("Choose files", choose, { kind: "primary", icon: "upload" }));
}
