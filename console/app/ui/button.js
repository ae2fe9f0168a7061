// Buttons, and what else is pressed.

import { h } from "../lib/dom.js";
import { isAborted } from "../lib/http.js";
import { icon } from "./icon.js";
import { toast } from "./toast.js";

/** @param {string} text @param {() => any} act @param {{ kind?: string, icon?: string, [name: string]: any }} [more] */
export function button(text, act, { kind = "", icon: picture, ...more } = {}) {
  return h("button.button", { type: "button", class: kind, onclick: (event) => perform(act, event.currentTarget), ...more }, picture && icon(picture), h("span", null, text));
}

/** A button with a picture alone; its name is for those who do not see it, and for who waits over it. */
export function iconButton(name, picture, act, more = {}) {
  return h("button.icon-button", { type: "button", "aria-label": name, title: name, onclick: (event) => perform(act, event.currentTarget), ...more }, icon(picture));
}

/** Runs what a button does: it can't be pressed twice, and what went wrong is told. */
export async function perform(act, element) {
  if (element?.getAttribute("aria-busy") === "true") return;
  element?.setAttribute("aria-busy", "true");
  try {
    await act();
  } catch (fault) {
    if (!isAborted(fault)) toast(fault.message, { kind: "bad", detail: fault.code });
  } finally {
    element?.removeAttribute("aria-busy");
  }
}

export async function copyText(text, what = "Copied") {
  try {
    await navigator.clipboard.writeText(text);
    toast(what);
  } catch {
    toast("The browser does not let this page copy. Mark the text instead.", { kind: "bad" });
  }
}
