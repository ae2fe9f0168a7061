// When objects go by themselves.

import { h } from "../lib/dom.js";
import { getSetting } from "../lib/s3.js";
import { build, parse } from "../lib/xml.js";
import { checkbox, dialog, field, input } from "../ui/dialog.js";
import { codeEditor } from "./editor.js";
import { ruleList } from "./rules.js";

/** What the form knows. A rule with more is edited as XML, whole. */
function read(element) {
  const filter = element.one("Filter");
  const rule = {
    element, id: element.text("ID"), on: element.text("Status") === "Enabled", prefix: filter?.text("Prefix") || element.text("Prefix"),
    days: element.one("Expiration")?.text("Days") ?? "", markers: element.one("Expiration")?.text("ExpiredObjectDeleteMarker") === "true",
    noncurrent: element.one("NoncurrentVersionExpiration")?.text("NoncurrentDays") ?? "", keep: element.one("NoncurrentVersionExpiration")?.text("NewerNoncurrentVersions") ?? "",
    abort: element.one("AbortIncompleteMultipartUpload")?.text("DaysAfterInitiation") ?? "",
  };
  return { ...rule, isPlain: same(element, rule) };
}

/** An element as the writer takes it. */
const tree = (element) => [element.name, element.children.length ? element.children.map(tree) : element.content];

/** Whether the form would lose nothing of it. */
function same(element, rule) {
  const flat = (one) => one.children.length ? one.children.flatMap(flat) : [`${one.name}=${one.content}`];
  const have = flat(element).filter((line) => !line.endsWith("=")).sort().join();
  const would = flat(parse(build(write(rule), ""))).filter((line) => !line.endsWith("=")).sort().join();
  return have === would;
}

function write(rule) {
  const expiration = rule.days ? [["Days", rule.days]] : rule.markers ? [["ExpiredObjectDeleteMarker", "true"]] : null;
  const noncurrent = rule.noncurrent ? [["NoncurrentDays", rule.noncurrent], rule.keep ? ["NewerNoncurrentVersions", rule.keep] : null] : null;
  return ["Rule", [
    rule.id ? ["ID", rule.id] : null, ["Filter", [["Prefix", rule.prefix]]], ["Status", rule.on ? "Enabled" : "Disabled"],
    expiration && ["Expiration", expiration], noncurrent && ["NoncurrentVersionExpiration", noncurrent],
    rule.abort ? ["AbortIncompleteMultipartUpload", [["DaysAfterInitiation", rule.abort]]] : null,
  ]];
}

export async function lifecycleEditor(path) {
  const now = await getSetting(path, "lifecycle");
  return ruleList({
    title: "Lifecycle", setting: "lifecycle", path, rules: now ? parse(now).all("Rule").map(read) : [], edit,
    hint: "What becomes of objects as they grow old. Days end at the next midnight of UTC, as on S3.",
    none: "Objects stay until somebody deletes them.",
    words: (rule) => `${rule.id || "Rule"}${rule.on ? "" : " (off)"}`,
    detail: words,
    write: (rules) => build(["LifecycleConfiguration", rules.map((rule) => (rule.isPlain ? write(rule) : tree(rule.element)))]),
  });
}

function words(rule) {
  if (!rule.isPlain) return `${rule.prefix || "All objects"} · more than the form shows: edited as XML`;
  return [
    rule.prefix ? `below ${rule.prefix}` : "all objects", rule.days && `deleted after ${rule.days} days`, rule.noncurrent && `old versions after ${rule.noncurrent} days${rule.keep ? `, but the newest ${rule.keep}` : ""}`,
    rule.markers && "lone delete markers go", rule.abort && `unfinished uploads after ${rule.abort} days`,
  ].filter(Boolean).join(" · ");
}

function edit(rule, store) {
  if (rule && !rule.isPlain) return editXml(rule, store);
  const id = input({ value: rule?.id ?? "", maxlength: 255, placeholder: "old drafts" });
  const prefix = input({ value: rule?.prefix ?? "", placeholder: "drafts/" });
  const number = (value) => input({ type: "number", min: 1, max: 36500, value });
  const [days, noncurrent, keep, abort] = [rule?.days, rule?.noncurrent, rule?.keep, rule?.abort].map((value) => number(value ?? ""));
  const markers = checkbox("Remove delete markers that hide nothing any more", rule?.markers ?? false);
  const on = checkbox("The rule is on", rule?.on ?? true);
  return dialog({
    title: rule ? "Edit the rule" : "Add a rule",
    action: "Save rule",
    content: [
      field("Name", id), field("Keys that begin with", prefix, "Empty: all objects of the bucket."), field("Delete after days", days), field("Delete old versions after days", noncurrent),
      field("Of these keep the newest", keep), field("Abort unfinished uploads after days", abort), h("div.checks", null, markers.element, on.element),
    ],
    act: () => {
      const wanted = { id: id.value, prefix: prefix.value, days: days.value, noncurrent: noncurrent.value, keep: keep.value, abort: abort.value, markers: markers.box.checked, on: on.box.checked };
      if (!wanted.days && !wanted.noncurrent && !wanted.abort && !wanted.markers) throw new Error("Say what the rule does: one of the days, or delete markers.");
      if (wanted.days && wanted.markers) throw new Error("Days of expiry and delete markers can't stand in one rule, as on S3.");
      if (wanted.keep && !wanted.noncurrent) throw new Error("Keeping the newest goes with the days of old versions.");
      const made = parse(build(write(wanted), ""));
      return store({ ...wanted, element: made, isPlain: true });
    },
  });
}

function editXml(rule, store) {
  const check = (text) => { if (parse(text).name !== "Rule") throw new Error("The outermost element is Rule."); };
  const editor = codeEditor({ label: "Rule", value: build(tree(rule.element), "").replace(/></g, ">\n<"), check });
  return dialog({ title: "Edit the rule", wide: true, action: "Save rule", content: editor.element, act: () => { check(editor.value()); return store(read(parse(editor.value().replace(/>\s+</g, "><")))); } });
}
