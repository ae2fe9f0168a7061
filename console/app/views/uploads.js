// What is being uploaded, at the edge of every view.

import { h, show } from "../lib/dom.js";
import { bytes, seconds } from "../lib/format.js";
import { abandon, cancel, clearEnded, onUploads, retry, uploads } from "../lib/upload.js";
import { iconButton } from "../ui/button.js";

const SHOWN = 50;

export function uploadTray() {
  const list = h("ul.upload-list", { tabindex: "0", "aria-label": "Files" });
  const title = h("b", { role: "status" });
  const fold = iconButton("Fold", "back", () => { element.classList.toggle("folded"); });
  fold.classList.add("fold");
  const element = h("section.uploads", { "aria-label": "Uploads", hidden: true }, h("header", null, title, h("span.actions", null, fold, iconButton("Clear what has ended", "check", clearEnded))), list);
  /** @type {Map<number, any>} */
  const rows = new Map();

  function draw() {
    element.hidden = uploads.length === 0;
    const left = uploads.filter((u) => u.state === "running" || u.state === "waiting").length;
    const failed = uploads.filter((u) => u.state === "failed").length;
    title.textContent = left ? `Uploading ${left} ${left === 1 ? "file" : "files"}` : failed ? `${failed} failed` : "Uploaded";
    const seen = uploads.slice(0, SHOWN);
    for (const one of seen) {
      if (!rows.has(one.id)) rows.set(one.id, row(one));
      rows.get(one.id).draw();
    }
    const order = seen.map((one) => rows.get(one.id).element);
    if (order.some((item, at) => list.children[at] !== item) || list.children.length !== order.length) show(list, order);
  }
  onUploads(draw);
  addEventListener("beforeunload", (event) => {
    if (uploads.some((u) => u.state === "running")) event.preventDefault();
  });
  return element;
}

function row(one) {
  const bar = h("i");
  const meter = h("div.meter", { role: "progressbar", "aria-label": one.file.name, "aria-valuemin": "0", "aria-valuemax": "100" }, bar);
  const state = h("span.upload-state");
  const actions = h("span.actions");
  const element = h("li", null, h("div.upload-line", null, h("span.upload-name", { title: one.key }, one.file.name), state, actions), meter);
  let was = "";
  return {
    element,
    draw() {
      const part = one.size ? one.sent / one.size : one.state === "done" ? 1 : 0;
      bar.style.width = `${part * 100}%`;
      meter.setAttribute("aria-valuenow", String(Math.round(part * 100)));
      element.className = one.state;
      state.textContent = words(one);
      if (was === one.state) return;
      was = one.state;
      show(actions,
        (one.state === "running" || one.state === "waiting") && iconButton(`Cancel ${one.file.name}`, "close", () => cancel(one.id)),
        (one.state === "failed" || one.state === "cancelled") && iconButton(`Try ${one.file.name} again`, "refresh", () => retry(one.id)),
        one.state === "cancelled" && iconButton(`Forget ${one.file.name}`, "trash", () => abandon(one).then(clearEnded)));
    },
  };
}

function words(one) {
  if (one.state === "waiting") return "waiting";
  if (one.state === "done") return one.resumed ? "done, resumed" : bytes(one.size);
  if (one.state === "failed") return one.reason;
  if (one.state === "cancelled") return "cancelled";
  const left = one.rate > 0 ? ` · ${seconds((one.size - one.sent) / one.rate)} left` : "";
  return `${bytes(one.sent)} of ${bytes(one.size)}${one.rate ? ` · ${bytes(one.rate)}/s` : ""}${left}`;
}
