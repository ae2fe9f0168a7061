// Small parts that views share: headings, empty states, lists of facts, menus.

import { h } from "../lib/dom.js";
import { iconButton, perform } from "./button.js";
import { icon } from "./icon.js";

/** @param {any} title @param {any} [actions] @param {any} [below] */
export const heading = (title, actions, below) => h("header.heading", null, h("div.heading-line", null, typeof title === "string" ? h("h1", null, title) : title, h("div.actions", null, actions)), below);

/** What is shown where nothing is: what this place is for, and what to do first. */
export const empty = (picture, title, text, ...actions) =>
  h("div.empty", null, h("div.empty-icon", null, icon(picture)), h("h2", null, title), h("p", null, text), actions.length > 0 && h("div.actions", null, actions));

/** What went wrong, in place of what was asked for. */
export function fault(error, again) {
  return h("div.empty", { role: "alert" }, h("div.empty-icon.bad", null, icon("alert")), h("h2", null, error.code === "AccessDenied" ? "This key may not see it" : "That did not work"),
    h("p", null, error.message), h("p.hint", null, [error.code, error.requestId && `request ${error.requestId}`].filter(Boolean).join(" · ")),
    again && h("div.actions", null, h("button.button", { type: "button", onclick: again }, h("span", null, "Try again"))));
}

export const waiting = () => h("div.waiting-view", { "aria-busy": "true", "aria-label": "Loading" }, h("span.shimmer"), h("span.shimmer"), h("span.shimmer"));

/** Names and what they are. @param {any[]} pairs each [name, what], or nothing */
export const facts = (pairs) => h("dl.facts", null, pairs.filter(Boolean).map((pair) => h("div", null, h("dt", null, pair[0]), h("dd", null, pair[1]))));

/** @param {string} text @param {string} [kind] good, bad, note */
export const badge = (text, kind = "") => h("span.badge", { class: kind }, text);

/** A menu of things to do. @param {{ text: string, icon?: string, danger?: boolean, act: () => any }[]} items */
export function menu(name, items, picture = "more") {
  const list = h("div.menu", { popover: "auto", role: "menu" });
  const opener = iconButton(name, picture, () => {
    list.togglePopover();
    const box = opener.getBoundingClientRect();
    list.style.top = `${Math.min(box.bottom + 4, innerHeight - list.offsetHeight - 8)}px`;
    list.style.left = `${Math.max(8, Math.min(box.right - list.offsetWidth, innerWidth - list.offsetWidth - 8))}px`;
    list.querySelector("button")?.focus();
  }, { "aria-haspopup": "menu" });
  list.append(...items.map((item) => h("button.menu-item", { type: "button", role: "menuitem", class: item.danger ? "danger" : "", onclick: () => { list.hidePopover(); perform(item.act, null); } }, item.icon && icon(item.icon), h("span", null, item.text))));
  list.addEventListener("keydown", (event) => {
    const all = [...list.querySelectorAll("button")];
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move) {
      event.preventDefault();
      all[(all.indexOf(/** @type {any} */ (document.activeElement)) + move + all.length) % all.length].focus();
    }
  });
  return h("span.menu-holder", null, opener, list);
}

/** Panels of which one is seen. @param {{ name: string, content: () => any }[]} list */
export function tabs(list, selected = 0) {
  const panel = h("div.tab-panel", { role: "tabpanel", tabindex: "0" });
  const strip = h("div.tabs", { role: "tablist" });
  const choose = (at) => {
    buttons.forEach((one, n) => { one.setAttribute("aria-selected", String(n === at)); one.tabIndex = n === at ? 0 : -1; });
    panel.replaceChildren(list[at].content());
    panel.setAttribute("aria-label", list[at].name);
  };
  const buttons = list.map((tab, at) => h("button.tab", { type: "button", role: "tab", onclick: () => choose(at) }, tab.name));
  strip.append(...buttons);
  strip.addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!move) return;
    const at = (buttons.findIndex((one) => one === document.activeElement) + move + buttons.length) % buttons.length;
    choose(at);
    buttons[at].focus();
  });
  choose(selected);
  return h("div.tabbed", null, strip, panel);
}

/** Shows what comes, or why it does not come. @param {() => Promise<any>} load */
export function later(load) {
  const place = h("div.later", null, waiting());
  const run = async () => {
    try {
      place.replaceChildren(await load());
    } catch (error) {
      if (error?.name !== "AbortError") place.replaceChildren(fault(error, run));
    }
  };
  run();
  return place;
}
