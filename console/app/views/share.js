// Links to an object: the plain one where anyone may read it, and those that open it for a while.

import { h } from "../lib/dom.js";
import { api, link, pathOf } from "../lib/http.js";
import { endpoint } from "../lib/session.js";
import { encodePath } from "../lib/sigv4.js";
import { button, copyText } from "../ui/button.js";
import { field, input, select } from "../ui/dialog.js";
import { badge, later } from "../ui/parts.js";

const TIMES = [["900", "15 minutes"], ["3600", "1 hour"], ["86400", "1 day"], ["604800", "7 days"]];
const FORMS = [
  ["s3", "Presigned URL of S3: any door of the gateway"],
  ["path-token", "Path token: relative addresses below it work (glTF, HTML bundles)"],
  ["cloudfront", "CloudFront's signed URL"],
  ["cookie", "CloudFront's cookies: many files, unchanged addresses"],
];

export function share(bucket, key) {
  const forms = select(FORMS, "s3");
  const times = select(TIMES, "3600");
  const base = input({ type: "url", placeholder: "https://cdn.example.com", value: localStorage.getItem("tidegate-base") ?? "" });
  const baseField = field("Base", base, "The name under which browsers reach the edge door, where its [[site]] has no url.");
  baseField.hidden = true;
  forms.addEventListener("change", () => { baseField.hidden = forms.value === "s3"; });
  const made = h("div.made", { role: "status" });
  const make = async () => {
    const answer = forms.value === "s3" ? { url: await link(pathOf(bucket, key), { expires: Number(times.value) }) } : await ask(bucket, key, forms.value, Number(times.value), base.value);
    made.replaceChildren(linkBox(answer));
  };
  return h("div", null,
    later(() => plain(bucket, key)),
    h("section.block", null, h("h3", null, "A link for a while"),
      h("p.hint", null, "Whoever has it may read this object until it ends, or until the key that made it is disabled."),
      field("Form", forms), field("Works for", times), baseField, button("Make link", make, { kind: "primary", icon: "link" }), made),
    endpoint() && h("section.block", null, h("h3", null, "By tools"), h("pre.code", { tabindex: "0" }, `aws --endpoint-url ${endpoint()} s3 cp "s3://${bucket}/${key}" .`)));
}

async function ask(bucket, key, form, expires, base) {
  if (base) localStorage.setItem("tidegate-base", base);
  return api("presign", { json: { bucket, key, form, expires, ...(base ? { base } : {}) } });
}

/** The plain address, and whether it opens without a key. */
async function plain(bucket, key) {
  const url = endpoint() && `${endpoint()}/${bucket}/${encodePath(key)}`;
  const answer = await api("url", { json: { bucket, key } }).catch(() => null);
  const isPublic = answer?.public === true;
  return h("section.block", null, h("h3", null, "Address ", badge(isPublic ? "public" : "private", isPublic ? "good" : "")),
    h("p.hint", null, isPublic ? "Anyone may read it." : "It opens for who signs. A policy of the bucket can open it to anyone."),
    url && linkBox({ url: isPublic && !answer.url.startsWith(location.origin) ? answer.url : url }));
}

/** @param {{ url: string, cookies?: Record<string, string>, expires?: string }} link */
function linkBox({ url, cookies, expires }) {
  const list = Object.entries(cookies ?? {});
  return h("div.link-box", null,
    h("div.link-line", null, h("output.code.wrap", { tabindex: "0" }, url), button("Copy", () => copyText(url, "The link is copied"), { icon: "copy" })),
    expires && h("p.hint", null, `It ends ${expires}.`),
    list.length > 0 && h("pre.code", null, list.map(([name, value]) => `${name}=${value}`).join("\n")));
}
