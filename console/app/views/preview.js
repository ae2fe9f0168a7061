// What an object looks like. The browser's own picture, sound and video elements load it by a signed address; text is shown as text; pages and
// pictures with scripts never run: HTML is shown as its source, SVG as a picture. Models are drawn in a frame of their own.

import { h } from "../lib/dom.js";
import { bytes } from "../lib/format.js";
import { address, pathOf, s3 } from "../lib/http.js";
import { firstBytes } from "../lib/s3.js";
import { showsAs } from "../lib/types.js";
import { empty, later } from "../ui/parts.js";
import { asset } from "./asset.js";
import { whyNot } from "./frame.js";
import { modelFrame } from "./model.js";
import { pictureFrame } from "./picture.js";

const TEXT_BYTES = 256 * 1024;

/** @param {{ bucket: string, key: string, headers: Headers, signal: AbortSignal, leave: (() => void)[] }} what */
export function preview({ bucket, key, headers, signal, leave }) {
  const size = Number(headers.get("content-length"));
  const type = headers.get("content-type") ?? "";
  const shown = showsAs(key, type);
  const open = (query = {}) => address(pathOf(bucket, key), query);
  const broken = (event) => event.target.replaceWith(empty("alert", "The browser can't show it", `It is stored as ${type || "no type"}, and may be something else or broken. Download it to look.`));
  if (size === 0) return empty("file", "It is empty", "Its content has no bytes.");
  switch (shown) {
    case "image":
      return later(async () => h("div.preview.checkered", null, h("img", { src: await open(), alt: key, onerror: broken })));
    case "video":
      return later(async () => h("div.preview", null, h("video", { src: await open(), controls: true, preload: "metadata", onerror: broken })));
    case "audio":
      return later(async () => h("div.preview.quiet", null, h("audio", { src: await open(), controls: true, preload: "metadata", onerror: broken })));
    case "pdf":
      // As a PDF whatever it is: a page under this name is never shown as one.
      return later(async () => h("iframe.preview.tall", { src: await open({ "response-content-type": "application/pdf" }), title: key }));
    case "model":
      return later(() => drawn("models from all sides", { bucket, key, size, type, signal }, (content) => modelFrame({ content, name: key, leave })));
    case "hdr":
    case "exr":
    case "ktx2":
      return later(() => drawn("HDR, EXR and KTX2 pictures", { bucket, key, size, type, signal }, (content) => pictureFrame({ content, format: shown, name: key, leave })));
    case "text":
      return later(() => text(bucket, key, size, type, signal));
    default:
      return later(async () => poster(bucket, key, type, size));
  }
}

async function text(bucket, key, size, type, signal) {
  const content = new TextDecoder().decode(await firstBytes(bucket, key, TEXT_BYTES, { signal }));
  const isWhole = size <= TEXT_BYTES;
  let shown = content;
  if (/json/.test(type) && isWhole) {
    try {
      shown = JSON.stringify(JSON.parse(content), null, 2);
    } catch {
      // Shown as it is.
    }
  }
  return h("div", null, h("pre.code.preview-text", { tabindex: "0" }, shown), !isWhole && h("p.hint", null, `The first ${bytes(TEXT_BYTES)} of ${bytes(size)}.`));
}

/** By the viewer, where there is one. */
async function drawn(what, { bucket, key, size, type, signal }, frame) {
  const why = whyNot(what, size);
  if (why) return h("div", null, await poster(bucket, key, type, size), h("p.hint", null, why));
  return frame(await (await s3(pathOf(bucket, key), { signal })).arrayBuffer());
}

/** The gateway's own picture of it, where it makes one. */
async function poster(bucket, key, type, size) {
  const found = await asset(bucket, key, false).catch(() => null);
  if (found?.renditions?.sources.some((one) => one.variant === "poster")) {
    return h("div.preview.checkered", null, h("img", { src: await address(pathOf(bucket, key), { variant: "poster" }), alt: `Poster of ${key}` }));
  }
  return empty(showsAs(key, type) === "model" ? "cube" : "file", "No preview", `${type || "No type"}, ${bytes(size)}. What was found in it is under Details.`);
}
