// Elements out of names, properties and children. Text is only ever text: nothing here reads markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * `h("button.primary", { onclick }, "Save")`. Properties: `on…` listens, `class`, `data`, `style` (an object), booleans switch an attribute,
 * null leaves it out, anything else is an attribute. Children: nodes, texts, lists of them; null and false are left out.
 * @param {string} what @param {Record<string, any> | null} [properties] @param {...any} children
 * @returns {any}
 */
export function h(what, properties, ...children) {
  const [name, ...classes] = what.split(".");
  const element = document.createElement(name || "div");
  if (classes.length) element.className = classes.join(" ");
  return fill(element, properties, children);
}

/** The same for SVG. @returns {any} */
export function s(name, properties, ...children) {
  return fill(document.createElementNS(SVG, name), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.classList.add(...String(value).split(" ").filter(Boolean));
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else if (name === "value") element.value = value;
    else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, String(value));
  }
  append(element, children);
  return element;
}

export function append(element, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Puts these in the place of what is there. */
export function show(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

let count = 0;
/** An id that no other element has. */
export const newId = (name = "id") => `${name}-${(count += 1)}`;
