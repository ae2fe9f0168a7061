// Questions before something is done. The browser's own <dialog>: it keeps the focus inside and gives it back.

import { append, h, newId } from "../lib/dom.js";
import { button, perform } from "./button.js";

/**
 * Opens a dialog; resolves when it is closed. `content` gets a function that closes it. `act`: what its button does; where that fails, the reason is
 * shown and the dialog stays.
 * @param {{ title: string, wide?: boolean, action?: string, danger?: boolean, act?: () => any, content: any, close?: string }} what
 */
export function dialog({ title, wide, action, danger, act, content, close = act ? "Cancel" : "Close" }) {
  return new Promise((resolve) => {
    const id = newId("dialog");
    const fault = h("p.fault", { role: "alert", hidden: true });
    let result = false;
    const box = h("dialog", { class: wide ? "wide" : "", "aria-labelledby": id });
    const end = (value) => {
      result = value;
      box.close();
    };
    const submit = async () => {
      fault.hidden = true;
      try {
        result = (await act?.()) ?? true;
        box.close();
      } catch (e) {
        fault.textContent = e.code ? `${e.message} (${e.code})` : e.message;
        fault.hidden = false;
      }
    };
    const form = h("form", { method: "dialog", onsubmit: (event) => { event.preventDefault(); perform(submit, form.querySelector(".primary")); } },
      h("h2", { id }, title));
    append(form, typeof content === "function" ? content(end) : content);
    append(form, [fault, h("div.actions", null, button(close, () => end(false)),
      act && h("button.button.primary", { type: "submit", class: danger ? "danger" : "" }, h("span", null, action)))]);
    box.append(form);
    box.addEventListener("close", () => {
      document.body.append(...document.querySelectorAll(".toasts"));
      box.remove();
      resolve(result);
    });
    box.addEventListener("click", (event) => event.target === box && box.close());
    document.body.append(box);
    box.showModal();
  });
}

/** @param {string} title @param {string} text @param {string} action */
export const confirm = (title, text, action, act, { danger = true } = {}) => dialog({ title, action, danger, act, content: h("p", null, text) });

/** A label and its input. @param {string} label @param {any} input @param {string} [hint] */
export function field(label, input, hint) {
  const id = newId("field");
  input.id = id;
  if (hint) input.setAttribute("aria-describedby", `${id}-hint`);
  return h("div.field", null, h("label", { for: id }, label), input, hint && h("p.hint", { id: `${id}-hint` }, hint));
}

export const input = (properties) => h("input.input", { autocomplete: "off", spellcheck: "false", ...properties });

/** @param {string[][]} options each [value, text] */
export const select = (options, value, properties = {}) =>
  h("select.input", properties, options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));

export function checkbox(text, checked, properties = {}) {
  const box = h("input", { type: "checkbox", ...properties });
  box.checked = checked;
  return { box, element: h("label.check", null, box, h("span", null, text)) };
}
