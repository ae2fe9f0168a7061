// S3's documents: elements and text, no attributes that matter, no mixed content. A reader and a writer of just that.

const ENTITIES = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

const unescape = (value) => value.replace(/&(#x[0-9a-f]+|#\d+|[a-z]+);/gi, (all, name) => {
  if (name[0] !== "#") return ENTITIES[name] ?? all;
  const code = name[1] === "x" || name[1] === "X" ? parseInt(name.slice(2), 16) : Number(name.slice(1));
  return code <= 0x10ffff ? String.fromCodePoint(code) : all;
});

const escape = (value) => String(value).replace(/[<>&"'\r\n\t]/g, (c) => `&#${c.charCodeAt(0)};`);

/** An element. `all("Key")` are its children of that name; `text("Key")` the text of the first. */
export class Element {
  constructor(name) {
    this.name = name;
    /** @type {Element[]} */
    this.children = [];
    this.content = "";
  }

  all(name) {
    return this.children.filter((child) => child.name === name);
  }

  /** @returns {Element | undefined} */
  one(name) {
    return this.children.find((child) => child.name === name);
  }

  text(name) {
    return this.one(name)?.content ?? "";
  }
}

/** Throws where the text is no XML. @param {string} source @returns {Element} */
export function parse(source) {
  const root = new Element("");
  const open = [root];
  const token = /<!--[\s\S]*?-->|<\?[\s\S]*?\?>|<!\[CDATA\[([\s\S]*?)\]\]>|<(\/?)([^\s/>]+)([^>]*?)(\/?)>|([^<]+)/g;
  let at = 0;
  for (let found = token.exec(source); found; found = token.exec(source)) {
    if (found.index !== at) break;
    at = token.lastIndex;
    const [, raw, closing, fullName, , selfClosing, chars] = found;
    const top = open[open.length - 1];
    if (chars !== undefined) top.content += unescape(chars);
    else if (raw !== undefined) top.content += raw;
    else if (fullName !== undefined) {
      const name = fullName.replace(/^.*:/, "");
      if (closing) {
        if (top.name !== name || open.length === 1) throw new Error(`</${name}> closes nothing`);
        open.pop();
        if (top.children.length) top.content = top.content.trim();
      } else {
        const element = new Element(name);
        top.children.push(element);
        if (!selfClosing) open.push(element);
      }
    }
  }
  if (at !== source.length || open.length !== 1 || root.children.length !== 1) throw new Error("the answer is no XML document");
  return root.children[0];
}

/**
 * A document of nested `[name, content]`: content is a text, or a list of the same; null is left out.
 * @param {any[]} tree
 */
export function build([name, content], namespace = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"') {
  return write(name, content, namespace);
}

function write(name, content, attributes = "") {
  if (content === null || content === undefined) return "";
  const inner = Array.isArray(content) ? content.filter(Boolean).map(([key, value]) => write(key, value)).join("") : escape(content);
  return `<${name}${attributes}>${inner}</${name}>`;
}
