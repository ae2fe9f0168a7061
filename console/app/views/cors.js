// Which pages may read and write the bucket from a browser.

import { h } from "../lib/dom.js";
import { getSetting } from "../lib/s3.js";
import { build, parse } from "../lib/xml.js";
import { checkbox, dialog, field, input } from "../ui/dialog.js";
import { ruleList } from "./rules.js";

const METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE"];
const texts = (element, name) => element.all(name).map((one) => one.content);

export async function corsEditor(path) {
  const now = await getSetting(path, "cors");
  const rules = now ? parse(now).all("CORSRule").map((rule) => ({
    id: rule.text("ID"), origins: texts(rule, "AllowedOrigin"), methods: texts(rule, "AllowedMethod"), headers: texts(rule, "AllowedHeader"), exposed: texts(rule, "ExposeHeader"), age: rule.text("MaxAgeSeconds"),
  })) : [];
  return ruleList({
    title: "CORS", setting: "cors", path, rules, edit,
    hint: "Which pages may use the bucket from a browser. The first rule that fits a request counts. It opens nothing that a policy does not.",
    none: "No page of another origin may read it.",
    words: (rule) => rule.origins.join(", "),
    detail: (rule) => [rule.methods.join(", "), rule.headers.length && `headers ${rule.headers.join(", ")}`, rule.exposed.length && `exposes ${rule.exposed.join(", ")}`, rule.age && `kept ${rule.age} s`].filter(Boolean).join(" · "),
    write: (all) => build(["CORSConfiguration", all.map((rule) => ["CORSRule", [
      rule.id ? ["ID", rule.id] : null,
      ...rule.headers.map((one) => ["AllowedHeader", one]), ...rule.methods.map((one) => ["AllowedMethod", one]), ...rule.origins.map((one) => ["AllowedOrigin", one]),
      ...rule.exposed.map((one) => ["ExposeHeader", one]), rule.age ? ["MaxAgeSeconds", rule.age] : null,
    ]])]),
  });
}

const list = (box) => box.value.split(/[\s,]+/).filter(Boolean);

function edit(rule, store) {
  const origins = input({ required: true, value: rule?.origins.join(" ") ?? "", placeholder: "https://app.example.com https://*.example.com" });
  const methods = METHODS.map((name) => ({ name, ...checkbox(name, rule ? rule.methods.includes(name) : name === "GET" || name === "HEAD") }));
  const headers = input({ value: rule?.headers.join(" ") ?? "", placeholder: "*" });
  const exposed = input({ value: rule?.exposed.join(" ") ?? "", placeholder: "ETag x-amz-version-id" });
  const age = input({ type: "number", min: 0, max: 86400, value: rule?.age ?? "3600" });
  return dialog({
    title: rule ? "Edit the rule" : "Add a rule",
    action: "Save rule",
    content: [
      field("Origins", origins, "Scheme and host, or *. One star in each at most."),
      h("fieldset.field", null, h("legend", null, "Methods"), h("div.checks", null, methods.map((one) => one.element))),
      field("Request headers", headers, "Which headers a page may send; * for all."), field("Exposed headers", exposed, "Which headers of answers a page may read."), field("Kept for seconds", age),
    ],
    act: () => {
      const chosen = methods.filter((one) => one.box.checked).map((one) => one.name);
      if (!chosen.length) throw new Error("A rule needs a method.");
      return store({ id: rule?.id ?? "", origins: list(origins), methods: chosen, headers: list(headers), exposed: list(exposed), age: age.value });
    },
  });
}
