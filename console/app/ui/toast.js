// Short words at the edge of the page about what was done, or was not.

import { h } from "../lib/dom.js";

const tray = h("div.toasts", { role: "status", "aria-live": "polite" });
document.body.append(tray);

/** @param {string} text @param {{ kind?: string, detail?: string }} [more] */
export function toast(text, { kind = "", detail = "" } = {}) {
  const one = h("div.toast", { class: kind, onclick: () => one.remove() }, h("p", null, text), detail && h("code", null, detail));
  tray.append(one);
  // In a dialog the rest of the page is out of reach: the tray goes where it is seen.
  (document.querySelector("dialog[open]") ?? document.body).append(tray);
  setTimeout(() => one.remove(), kind === "bad" ? 10_000 : 5000);
}
