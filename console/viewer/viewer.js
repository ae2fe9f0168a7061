// Draws models, and pictures that browsers don't know. It lives in a frame without an origin of its own, is given bytes, and tells what it made of them.
//
// What a model names beside itself (pictures, buffers elsewhere) is not fetched: the frame's policy allows its own files and memory alone.

import { showModels } from "./models.js";
import { showPicture } from "./pictures.js";

const canvas = document.getElementById("view");
const tell = (message) => parent.postMessage(message, "*");
/** What can be changed of what is shown. */
let controls = {};

addEventListener("message", async ({ source, data }) => {
  if (source !== parent) return;
  try {
    if (data?.what === "models") {
      const shown = await showModels(canvas, data.contents);
      controls = shown.controls;
      tell({ what: "shown", models: shown.models });
    } else if (data?.what === "picture") {
      const shown = await showPicture(canvas, data.content, data.format);
      controls = shown.controls;
      tell({ what: "shown", picture: shown.picture });
    } else if (data?.what === "set") {
      controls[data.name]?.(data.value);
    }
  } catch (fault) {
    tell({ what: "fault", text: String(fault?.message ?? fault) });
  }
});
tell({ what: "ready" });
