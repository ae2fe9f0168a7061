// A download by the browser itself: it goes to the disk, not through this page's memory.

import { h } from "../lib/dom.js";
import { address, pathOf } from "../lib/http.js";

export async function download(bucket, key, version) {
  const name = key.split("/").pop() || "object";
  const disposition = `attachment; filename*=UTF-8''${encodeURIComponent(name)}`;
  const href = await address(pathOf(bucket, key), { "response-content-disposition": disposition, versionId: version }, 600);
  const link = h("a", { href, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
}
