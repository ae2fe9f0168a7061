// A model, drawn, and what it costs a GPU.

import { h } from "../lib/dom.js";
import { bytes, number } from "../lib/format.js";
import { viewerFrame } from "./frame.js";

export const many = (count, name, ending = "s") => `${number(count)} ${name}${count === 1 ? "" : ending}`;

/** @param {{ content: ArrayBuffer, name: string, leave: (() => void)[] }} what */
export function modelFrame({ content, name, leave }) {
  const told = h("p.hint", { role: "status" }, "Drawing …");
  const { element } = viewerFrame({
    name: `Model ${name}`, message: { what: "models", contents: [content] }, transfer: [content], leave,
    shown: ({ models: [{ triangles, meshes, textures, clips, memory }] }) => {
      told.textContent = [many(triangles, "triangle"), many(meshes, "mesh", "es"), many(textures, "texture"), `about ${bytes(memory)} on the GPU`, clips > 0 && many(clips, "animation")].filter(Boolean).join(" · ");
    },
    failed: (text) => { told.textContent = text; },
  });
  return h("div", null, element, told);
}
