// The viewer's frame: another origin, which has no key and gets bytes alone.

import { h } from "../lib/dom.js";
import { bytes } from "../lib/format.js";
import { hasViewer } from "../lib/session.js";

/** @param {{ name: string, message: Record<string, any>, transfer: ArrayBuffer[], leave: (() => void)[], shown: (what: any) => void, failed: (text: string) => void }} what */
export function viewerFrame({ name, message, transfer, leave, shown, failed }) {
  const element = h("iframe.preview.model", { src: "viewer/", title: name, sandbox: "allow-scripts" });
  const hear = (event) => {
    // Once it is taken away it has no window, and neither have some messages a source.
    if (!element.contentWindow || event.source !== element.contentWindow) return;
    const { what, text } = event.data ?? {};
    // Its origin is opaque, so it can't be named.
    if (what === "ready") element.contentWindow.postMessage(message, "*", transfer);
    if (what === "fault") failed(`It can't be drawn: ${String(text).slice(0, 300)}`);
    if (what === "shown") {
      shown(event.data);
      element.dataset.shown = "yes";
    }
  };
  addEventListener("message", hear);
  leave.push(() => removeEventListener("message", hear));
  return { element, set: (setting, value) => element.contentWindow?.postMessage({ what: "set", name: setting, value }, "*") };
}

/** Larger files are for a viewer of their own. */
export const MOST_BYTES = 256 * 1024 * 1024;

/** Why a file is not drawn; null: it is. @param {string} what @param {number} size */
export function whyNot(what, size) {
  if (!hasViewer) return `To see ${what} in here, the gateway needs the viewer's bundle: the image has it; elsewhere console/viewer/build.sh makes it, and console.viewer in gateway.toml names its folder.`;
  return size > MOST_BYTES ? `Files of more than ${bytes(MOST_BYTES)} are not drawn here.` : null;
}
