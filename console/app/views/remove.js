// Deleting what was chosen: objects, and everything below folders.

import { h } from "../lib/dom.js";
import { number } from "../lib/format.js";
import { deleteObjects, everythingBelow } from "../lib/s3.js";
import { dialog } from "../ui/dialog.js";
import { toast } from "../ui/toast.js";

const AT_ONCE = 1000;

/** @param {{ key: string, folder: boolean }[]} entries */
export function removeMany(bucket, entries, done) {
  const folders = entries.filter((entry) => entry.folder);
  const progress = h("p.hint", { role: "status" });
  const what = entries.length === 1 ? entries[0].key : `${number(entries.length)} items`;
  return dialog({
    title: `Delete ${what}?`,
    action: "Delete",
    danger: true,
    content: [
      h("p", null, folders.length ? "Folders go with everything below them." : "", " Where the bucket keeps versions, the versions stay and can be restored; elsewhere this can't be undone."),
      progress,
    ],
    act: async () => {
      let count = 0;
      const failed = [];
      const remove = async (keys) => {
        failed.push(...(await deleteObjects(bucket, keys.map((key) => ({ key })))));
        count += keys.length;
        progress.textContent = `${number(count)} deleted …`;
      };
      const objects = entries.filter((entry) => !entry.folder).map((entry) => entry.key);
      for (let at = 0; at < objects.length; at += AT_ONCE) await remove(objects.slice(at, at + AT_ONCE));
      for (const folder of folders) {
        for await (const keys of everythingBelow(bucket, folder.key)) await remove(keys);
      }
      done();
      if (failed.length) throw new Error(`${number(failed.length)} could not be deleted: ${failed[0].key}: ${failed[0].message} (${failed[0].code})`);
      toast(`${number(count)} deleted`);
    },
  });
}
