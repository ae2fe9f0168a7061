// Files that come by drag and drop or by the browser's chooser, and folders.

import { h } from "../lib/dom.js";
import { pathOf, s3 } from "../lib/http.js";
import { placeOf } from "../lib/router.js";
import { EMPTY } from "../lib/sigv4.js";
import { upload } from "../lib/upload.js";
import { dialog, field, input } from "../ui/dialog.js";
import { toast } from "../ui/toast.js";

/** More files in one drop are a job for a tool: `aws s3 sync`, `tidegate import`. */
const MOST_FILES = 10_000;

export function chooseFiles(bucket, prefix) {
  const chooser = h("input", { type: "file", multiple: true });
  chooser.addEventListener("change", () => [...chooser.files].forEach((file) => upload(file, bucket, prefix + file.name)));
  chooser.click();
}

export function makeFolder(bucket, prefix) {
  const name = input({ required: true, maxlength: 200 });
  return dialog({
    title: "Make a folder",
    action: "Make folder",
    content: [field("Name", name, "S3 has no folders: this stores an empty object whose name ends with a slash, so that it shows before files are in it.")],
    act: async () => {
      const key = `${prefix}${name.value.replace(/\/+$/, "")}/`;
      await s3(pathOf(bucket, key), { method: "PUT", hash: EMPTY });
      location.hash = placeOf(bucket, { prefix: key });
    },
  });
}

/** Takes what is dropped on the element; returns what stops that. @param {HTMLElement} element */
export function dropZone(element, bucket, prefix) {
  const veil = h("div.veil", { hidden: true }, h("p", null, `Drop to upload to ${bucket}/${prefix}`));
  element.append(veil);
  let inside = 0;
  const stop = new AbortController();
  const on = (name, act) => addEventListener(name, act, { signal: stop.signal });
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  on("dragenter", (event) => { if (hasFiles(event)) { inside += 1; veil.hidden = false; } });
  on("dragleave", (event) => { if (hasFiles(event) && (inside -= 1) <= 0) { inside = 0; veil.hidden = true; } });
  on("dragover", (event) => hasFiles(event) && event.preventDefault());
  on("drop", async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    inside = 0;
    veil.hidden = true;
    // Both must be asked for before anything else is waited for. Only entries know folders; not everything that is dropped has one.
    const items = [...event.dataTransfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
    const files = [];
    for (const item of items) {
      if (item instanceof File) files.push([item.name, item]);
      else if (item) await walk(item, "", files);
    }
    if (files.length > MOST_FILES) toast(`More than ${MOST_FILES} files: the first of them are uploaded.`, { kind: "bad" });
    files.slice(0, MOST_FILES).forEach(([path, file]) => upload(file, bucket, prefix + path));
  });
  return () => stop.abort();
}

async function walk(entry, path, files) {
  if (files.length > MOST_FILES) return;
  if (entry.isFile) {
    files.push([path + entry.name, await new Promise((resolve, reject) => entry.file(resolve, reject))]);
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const one of some) await walk(one, `${path}${entry.name}/`, files);
  }
}
