// Pictures that browsers don't know: more light than a screen has (HDR, EXR), and textures for GPUs (KTX2).

import { h } from "../lib/dom.js";
import { checkbox } from "../ui/dialog.js";
import { viewerFrame } from "./frame.js";

/** @param {{ content: ArrayBuffer, format: string, name: string, leave: (() => void)[] }} what */
export function pictureFrame({ content, format, name, leave }) {
  const told = h("p.hint", { role: "status" }, "Drawing …");
  const stops = h("input.range", { id: "exposure", type: "range", min: "-8", max: "8", step: "0.25", value: "0" });
  const value = h("output", null, "0");
  const around = checkbox("Look around: the picture is all directions", false);
  const light = h("div", { hidden: true }, h("div.field", null, h("label", { for: "exposure" }, "Exposure, in stops"), h("div.range-line", null, stops, value)), around.element);
  const { element, set } = viewerFrame({
    name: `Picture ${name}`, message: { what: "picture", content, format }, transfer: [content], leave,
    shown: ({ picture: { width, height, isLight, looksAround } }) => {
      told.textContent = `${width} × ${height} pixels`;
      light.hidden = !isLight;
      around.element.hidden = !looksAround;
    },
    failed: (text) => { told.textContent = text; },
  });
  stops.addEventListener("input", () => {
    value.textContent = Number(stops.value) > 0 ? `+${stops.value}` : stops.value;
    set("exposure", Number(stops.value));
  });
  around.box.addEventListener("change", () => set("around", around.box.checked));
  return h("div", null, element, told, light);
}
