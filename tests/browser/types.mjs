// Bodies that run a script when a browser takes them for a page, and the types under which they are shown: those of pages and of
// containers of pages, each well formed and malformed in every way that some browser reads its own way.
//
// A script that runs tells its own origin, and what it can reach of the page around it.

/** Runs wherever it is understood, as HTML, XHTML, SVG or a script. */
const SCRIPT = 'let reach="closed";try{reach=String(parent.document.title)}catch{}parent.postMessage({name:String(location.href),origin:self.origin,reach},"*")';
const HTML = `<html xmlns="http://www.w3.org/1999/xhtml"><head><title>x</title><script>${SCRIPT}</script></head><body><p>x</p></body></html>`;
const SVG = `<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><script>${SCRIPT}</script></svg>`;
const PART = `--x\r\nContent-Type: text/html\r\n\r\n${HTML}\r\n--x--\r\n`;
const MHTML = `MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary="x"; type="text/html"\r\n\r\n${PART}`;
const XSL = `<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="#s"?><x xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:stylesheet id="s" version="1.0"><xsl:template match="/"><html xmlns="http://www.w3.org/1999/xhtml"><script>${SCRIPT}</script></html></xsl:template></xsl:stylesheet></x>`;
const PDF = `%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R/OpenAction 4 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>endobj
4 0 obj<</S/JavaScript/JS(try{${SCRIPT.replace(/[()\\]/g, "\\$&")}}catch(e){})>>endobj
trailer<</Root 1 0 R>>`;

/** Types that are pages or hold pages, and a body for each. */
const PAGES = [
  ["text/html", HTML], ["application/xhtml+xml", HTML], ["image/svg+xml", SVG], ["text/xml", HTML], ["application/xml", SVG], ["application/xml", XSL], ["text/xsl", XSL],
  ["application/rss+xml", HTML], ["application/mathml+xml", HTML], ["application/vnd.wap.xhtml+xml", HTML], ["multipart/x-mixed-replace; boundary=x", PART],
  ["multipart/related; boundary=x", MHTML], ["message/rfc822", MHTML], ["application/x-mimearchive", MHTML], ["application/pdf", PDF],
];
/** Types that are none, with a page for a body: nobody may find it there. */
const OTHERS = ["", "text/plain", "application/octet-stream", "image/png", "model/gltf-binary", "application/json", "text/css", "text/javascript", "text/vtt", "text/cache-manifest",
  "application/x-shockwave-flash", "unknown/unknown", "application/unknown", "*/*", "text/unheard-of", "image/*", "application/pdf"];

const AROUND = [
  (t) => t, (t) => t.toUpperCase(), (t) => ` ${t}`, (t) => `\t${t}`, (t) => `${t};`, (t) => `${t};charset=utf-8`, (t) => `${t} charset=utf-8`, (t) => `${t}\tx`, (t) => `${t} x`,
  (t) => `${t}(x)`, (t) => `${t}(`, (t) => `${t})`, (t) => `${t},`, (t) => `${t},text/plain`, (t) => `text/plain,${t}`, (t) => `image/png, ${t}`, (t) => `${t}"`, (t) => `"${t}"`,
  (t) => `${t};"`, (t) => `${t};a="`, (t) => `${t};a="b"c`, (t) => `${t}<`, (t) => `${t}\u00e9`, (t) => `${t}\u00a0`, (t) => `\u00a0${t}`, (t) => `${t};a=b c`, (t) => `image/png;${t}`,
  (t) => `image/png ${t}`, (t) => `image/png;a=", ${t}"`, (t) => `image/png;a=';b="', ${t};"`, (t) => `image/png;a="\\", ${t}`, (t) => `image/png; a=b, ${t}`, (t) => `${t}/x`,
  (t) => t.replace("/", " /"), (t) => t.replace("/", "/ "), (t) => `${t};charset="utf-8`, (t) => `${t}; charset=utf-7`,
];

/** [type, body] of each case. */
export const cases = [...PAGES.flatMap(([type, body]) => AROUND.map((write) => [write(type), body])), ...OTHERS.flatMap((type) => [[type, HTML], [type, SVG]])];
export const page = HTML;
