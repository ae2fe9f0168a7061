// What is done to many chosen objects at once: downloads, links, copies and moves, tags.

import { h } from "../lib/dom.js";
import { bytes, nameOf, number } from "../lib/format.js";
import { link, pathOf } from "../lib/http.js";
import { copy, deleteObjects, everythingBelow, getTags, listBuckets, putTags } from "../lib/s3.js";
import { copyText } from "../ui/button.js";
import { checkbox, dialog, field, input, select } from "../ui/dialog.js";
import { toast } from "../ui/toast.js";
import { download } from "./download.js";

/** Browsers ask before they take many files from one page. */
const MOST_DOWNLOADS = 50;
const AT_ONCE = 4;
const TIMES = [["3600", "1 hour"], ["86400", "1 day"], ["604800", "7 days"]];

const objectsOf = (entries) => entries.filter((entry) => !entry.folder);

export async function downloadMany(bucket, entries) {
  const objects = objectsOf(entries);
  if (!objects.length) throw new Error("Folders are downloaded by a tool, such as aws s3 sync.");
  if (objects.length > MOST_DOWNLOADS) throw new Error(`At most ${MOST_DOWNLOADS} at once: for more there are tools, such as aws s3 sync.`);
  for (const { key } of objects) {
    await download(bucket, key);
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  if (objects.length < entries.length) toast("Folders are left out: a tool such as aws s3 sync takes them");
}

export function linkMany(bucket, entries) {
  const objects = objectsOf(entries);
  if (!objects.length) throw new Error("Choose objects: a folder has no link.");
  const times = select(TIMES, "86400");
  return dialog({
    title: objects.length === 1 ? "A link" : `${number(objects.length)} links`,
    action: "Copy links",
    content: [h("p", null, "Presigned, one a line. Whoever has one may read its object until it ends."), field("They work for", times)],
    act: async () => {
      const links = await Promise.all(objects.map(({ key }) => link(pathOf(bucket, key), { expires: Number(times.value) })));
      await copyText(links.join("\n"), `${number(links.length)} ${links.length === 1 ? "link is" : "links are"} copied`);
    },
  });
}

/** @param {string} prefix the folder that they are in */
export async function transferMany(bucket, prefix, entries, done) {
  const buckets = await listBuckets();
  const to = select(buckets.map((one) => [one.name, one.name]), bucket);
  const single = entries.length === 1 && !entries[0].folder;
  const place = input({ value: single ? entries[0].key : prefix, placeholder: "archive/" });
  const move = checkbox("Move: delete them here when they are there", false);
  const progress = h("p.hint", { role: "status" });
  return dialog({
    title: entries.length === 1 ? `Copy or move ${nameOf(entries[0].key, prefix)}` : `Copy or move ${number(entries.length)} items`,
    action: "Go on",
    content: [
      field("To bucket", to), field(single ? "Key" : "Folder", place, single ? "The whole key of the copy." : "Names and folders below it stay as they are. Empty: the top."),
      move.element, h("p.hint", null, "The gateway copies: nothing goes through this computer. What lies there under the same key is replaced."), progress,
    ],
    act: async () => {
      const folder = single ? "" : place.value && !place.value.endsWith("/") ? `${place.value}/` : place.value;
      const target = (key) => (single ? place.value : folder + key.slice(prefix.length));
      if (to.value === bucket && entries.some((entry) => target(entry.key) === entry.key)) throw new Error("They are there already: name another bucket or folder.");
      if (to.value === bucket && entries.some((entry) => entry.folder && folder.startsWith(entry.key))) throw new Error("A folder can't go into itself.");
      const count = await transfer({ bucket, entries, to: to.value, target, isMove: move.box.checked, told: (text) => { progress.textContent = text; } });
      done();
      toast(`${number(count)} ${move.box.checked ? "moved" : "copied"}`);
    },
  });
}

async function transfer({ bucket, entries, to, target, isMove, told }) {
  let count = 0;
  const failed = [];
  const some = async (keys) => {
    const waiting = [...keys];
    const there = [];
    const worker = async () => {
      for (let key = waiting.shift(); key !== undefined; key = waiting.shift()) {
        try {
          await copy(to, target(key), { bucket, key });
          there.push({ key });
          told(`${number((count += 1))} copied …`);
        } catch (error) {
          failed.push(`${key}: ${error.message} (${error.code})`);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    if (isMove && there.length) failed.push(...(await deleteObjects(bucket, there)).map((one) => `${one.key} is copied, but stays: ${one.message} (${one.code})`));
  };
  const objects = objectsOf(entries).map((entry) => entry.key);
  for (let at = 0; at < objects.length; at += 1000) await some(objects.slice(at, at + 1000));
  for (const entry of entries.filter((one) => one.folder)) for await (const keys of everythingBelow(bucket, entry.key)) await some(keys);
  if (failed.length) throw new Error(`${number(failed.length)} could not be ${isMove ? "moved" : "copied"}, ${number(count)} are there. ${failed[0]}`);
  return count;
}

/** Takes delete markers away, so that the version before each is shown again. @param {{ key: string, folder: boolean, deleted?: string }[]} entries */
export async function restoreMany(bucket, entries, done) {
  const markers = objectsOf(entries).map((entry) => ({ key: entry.key, version: entry.deleted }));
  if (!markers.length) throw new Error("Choose objects: open a folder to restore what was in it.");
  const failed = [];
  for (let at = 0; at < markers.length; at += 1000) failed.push(...(await deleteObjects(bucket, markers.slice(at, at + 1000))));
  done();
  if (failed.length) throw new Error(`${number(failed.length)} could not be restored: ${failed[0].key}: ${failed[0].message} (${failed[0].code})`);
  toast(`${number(markers.length)} restored`);
}

/** Adds a tag to each; those that they have stay. */
export function tagMany(bucket, entries) {
  const objects = objectsOf(entries);
  if (!objects.length) throw new Error("Choose objects: a folder has no tags.");
  const name = input({ required: true, maxlength: 128 });
  const value = input({ maxlength: 256 });
  const progress = h("p.hint", { role: "status" });
  const size = objects.reduce((sum, entry) => sum + entry.size, 0);
  return dialog({
    title: objects.length === 1 ? "Add a tag" : `Add a tag to ${number(objects.length)} objects`,
    action: "Add tag",
    content: [field("Name", name), field("Value", value), h("p.hint", null, `${bytes(size)} in all. A tag of this name gets the new value; others stay.`), progress],
    act: async () => {
      let count = 0;
      const waiting = [...objects];
      const worker = async () => {
        for (let one = waiting.shift(); one; one = waiting.shift()) {
          const path = pathOf(bucket, one.key);
          const tags = new Map(await getTags(path));
          await putTags(path, [...tags.set(name.value.trim(), value.value.trim())]);
          progress.textContent = `${number((count += 1))} tagged …`;
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, worker));
      toast(`${number(count)} tagged`);
    },
  });
}
