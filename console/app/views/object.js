// One object beside its folder: what it looks like, what is known of it, its versions and tags, and links to it.

import { h } from "../lib/dom.js";
import { bytes, nameOf, time } from "../lib/format.js";
import { pathOf } from "../lib/http.js";
import { placeOf } from "../lib/router.js";
import { deleteObject, head } from "../lib/s3.js";
import { showsAs } from "../lib/types.js";
import { button, copyText, iconButton } from "../ui/button.js";
import { confirm } from "../ui/dialog.js";
import { badge, facts, later, menu, tabs } from "../ui/parts.js";
import { toast } from "../ui/toast.js";
import { assetFacts } from "./asset.js";
import { download } from "./download.js";
import { lockFacts } from "./lock.js";
import { transferMany } from "./many.js";
import { preview } from "./preview.js";
import { share } from "./share.js";
import { tagsEditor } from "./tags.js";
import { variantsOf } from "./variants.js";
import { versionsOf } from "./versions.js";

/** @param {{ bucket: string, key: string, close: string, changed: () => void }} what */
export function objectPanel({ bucket, key, close, changed }) {
  const stop = new AbortController();
  const leave = [];
  const folder = close.includes("prefix=") ? key.slice(0, key.lastIndexOf("/") + 1) : "";
  const name = nameOf(key, folder);
  const shut = () => { location.hash = close; };
  const remove = () => confirm(`Delete ${name}?`, "Where the bucket keeps versions, this one stays and can be restored; elsewhere it is gone.", "Delete", async () => {
    await deleteObject(bucket, key);
    toast(`${name} is deleted`);
    changed();
    shut();
  });
  const again = () => { changed(); dispatchEvent(new HashChangeEvent("hashchange")); };
  const body = later(async () => {
    const headers = await head(bucket, key, { signal: stop.signal }).catch((error) => {
      if (error.status === 404) return null;
      throw error;
    });
    if (!headers) return h("div", null, h("p.lead", null, "It is not there now. What is left of it:"), versionsOf(bucket, key, again));
    return tabs([
      { name: "Preview", content: () => preview({ bucket, key, headers, signal: stop.signal, leave }) },
      { name: "Details", content: () => details(bucket, key, headers) },
      ...(showsAs(key, headers.get("content-type") ?? "") === "model" ? [{ name: "Variants", content: () => variantsOf(bucket, key, changed) }] : []),
      { name: "Versions", content: () => versionsOf(bucket, key, changed) },
      { name: "Tags", content: () => tagsEditor(pathOf(bucket, key)) },
      { name: "Share", content: () => share(bucket, key) },
    ]);
  });
  const element = h("aside.panel", { "aria-label": `Object ${key}`, tabindex: "-1" },
    h("header.panel-head", null,
      h("h2", { title: key }, name),
      h("span.actions", null,
        iconButton("Download", "download", () => download(bucket, key)),
        menu("More", [
          { text: "Copy the key", icon: "copy", act: () => copyText(key, "The key is copied") },
          { text: "Copy s3:// address", icon: "copy", act: () => copyText(`s3://${bucket}/${key}`, "The address is copied") },
          { text: "Copy or move…", icon: "copy", act: () => transferMany(bucket, key.slice(0, key.lastIndexOf("/") + 1), [{ key, folder: false }], again) },
          { text: "Delete…", icon: "trash", danger: true, act: remove },
        ]),
        iconButton("Close", "close", shut))),
    body);
  element.addEventListener("keydown", (event) => { if (event.key === "Escape" && !document.querySelector("dialog[open], :popover-open")) shut(); });
  return { element, leave: () => { stop.abort(); leave.forEach((act) => act()); } };
}

const SHOWN = [
  ["content-encoding", "Encoding"], ["cache-control", "Cache-Control"], ["content-disposition", "Disposition"], ["content-language", "Language"], ["expires", "Expires"],
  ["x-amz-storage-class", "Storage class"], ["x-amz-server-side-encryption", "Encryption"], ["x-amz-expiration", "Lifecycle"], ["x-amz-replication-status", "Replication"],
];

function details(bucket, key, headers) {
  const meta = [...headers].filter(([name]) => name.startsWith("x-amz-meta-"));
  const parts = /-(\d+)"?$/.exec(headers.get("etag") ?? "");
  return h("div", null,
    facts([
      ["Key", h("code.wrap", null, key)],
      ["Size", `${bytes(Number(headers.get("content-length")))} (${headers.get("content-length")} bytes)`],
      ["Type", headers.get("content-type") ?? "–"],
      ["Changed", time(headers.get("last-modified") ?? "")],
      ["ETag", [h("code", null, (headers.get("etag") ?? "").replaceAll('"', "")), parts && badge(`${parts[1]} parts`)]],
      headers.get("x-amz-version-id") && ["Version", h("code", null, headers.get("x-amz-version-id"))],
      ...SHOWN.map(([name, text]) => headers.get(name) && [text, headers.get(name)]),
    ]),
    h("section.block", null, h("h3", null, "Metadata"), meta.length ? facts(meta.map(([name, value]) => [name.slice(11), h("span.wrap", null, value)])) : h("p.hint", null, "None. Uploads can bring x-amz-meta-… headers.")),
    h("section.block", null, h("h3", null, "Lock"), lockFacts(bucket, key, headers)),
    h("section.block", null, h("h3", null, "Inspection"), assetFacts(bucket, key)),
    h("p", null, button("Show the folder", () => { location.hash = placeOf(bucket, { prefix: key.slice(0, key.lastIndexOf("/") + 1) }); }, { icon: "folder" })));
}
