// The versions of one key: open, restore, delete.

import { h } from "../lib/dom.js";
import { bytes, time } from "../lib/format.js";
import { copy, deleteObject, listVersions } from "../lib/s3.js";
import { button } from "../ui/button.js";
import { confirm } from "../ui/dialog.js";
import { badge, later, menu } from "../ui/parts.js";
import { toast } from "../ui/toast.js";
import { download } from "./download.js";

export function versionsOf(bucket, key, changed) {
  const place = h("div");
  const load = () => place.replaceChildren(later(() => list(bucket, key, () => { changed(); load(); })));
  load();
  return place;
}

async function list(bucket, key, changed) {
  const all = [];
  let from = {};
  // Other keys that begin so stand between; a key's own come first.
  for (let next; ; from = next) {
    const page = await listVersions(bucket, key, from);
    all.push(...page.versions.filter((version) => version.key === key));
    next = page.next;
    if (!next || page.versions.some((version) => version.key !== key) || all.length >= 1000) break;
  }
  if (!all.length) return h("p.hint", null, "Nothing: no version is stored under this key.");
  if (all.length === 1 && all[0].id === "null") return h("p.hint", null, "There is this one. Versions are kept where the bucket's versioning is enabled, from then on.");
  return h("ol.versions", null, all.map((version) =>
    h("li", { class: version.latest ? "latest" : "" },
      h("div", null,
        h("b", null, version.marker ? "Deleted" : bytes(version.size)), version.latest && badge("current", "good"), version.marker && badge("delete marker", "note"),
        h("p.hint", null, time(version.modified), " · ", h("code", { title: version.id }, version.id.slice(0, 16)))),
      h("span.actions", null,
        !version.latest && !version.marker && button("Restore", () => restore(bucket, key, version, changed)),
        version.latest && version.marker && button("Undelete", async () => { await deleteObject(bucket, key, { version: version.id }); toast("It is back"); changed(); }),
        menu("More for this version", [
          !version.marker && { text: "Download", icon: "download", act: () => download(bucket, key, version.id) },
          { text: "Delete for good…", icon: "trash", danger: true, act: () => removeVersion(bucket, key, version, changed) },
        ].filter(Boolean))))));
}

/** A copy of the old version becomes the newest one; none is lost. */
async function restore(bucket, key, version, changed) {
  await copy(bucket, key, { bucket, key }, { version: version.id });
  toast("Restored: a copy of it is the current version");
  changed();
}

const removeVersion = (bucket, key, version, changed) =>
  confirm("Delete this version for good?", `The version of ${time(version.modified)} can't be restored afterwards.`, "Delete for good", async () => {
    await deleteObject(bucket, key, { version: version.id });
    toast("The version is deleted");
    changed();
  });
