// A place for text that a program reads: what is wrong with it is told while it is written.

import { h, newId } from "../lib/dom.js";

/** @param {{ label: string, value: string, placeholder?: string, check: (text: string) => void }} what `check` throws what is wrong */
export function codeEditor({ label, value, placeholder = "", check }) {
  const id = newId("check");
  const area = h("textarea.editor", { "aria-label": label, "aria-describedby": id, spellcheck: "false", placeholder, rows: Math.min(24, Math.max(8, value.split("\n").length + 1)), value });
  const told = h("p.hint", { id, role: "status" });
  const look = () => {
    told.textContent = "";
    told.classList.remove("fault-text");
    if (!area.value.trim()) return;
    try {
      check(area.value);
      told.textContent = "Well formed.";
    } catch (e) {
      told.textContent = e.message;
      told.classList.add("fault-text");
    }
  };
  area.addEventListener("input", look);
  // Two spaces by the tab key, but for who leaves by it: Escape lets it go.
  let captures = true;
  area.addEventListener("keydown", (event) => {
    if (event.key === "Escape") captures = false;
    if (event.key !== "Tab" || event.shiftKey || !captures) return;
    event.preventDefault();
    area.setRangeText("  ", area.selectionStart, area.selectionEnd, "end");
    look();
  });
  area.addEventListener("focus", () => { captures = true; });
  return { element: h("div", null, area, told), value: () => area.value, set: (text) => { area.value = text; area.rows = Math.min(24, Math.max(8, text.split("\n").length + 1)); look(); } };
}
