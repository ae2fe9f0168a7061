// The settings of a bucket, each in a section that says what is set now.

import { h } from "../lib/dom.js";
import { pathOf, s3Xml } from "../lib/http.js";
import { placeOf } from "../lib/router.js";
import { getSetting, putSetting } from "../lib/s3.js";
import { build, parse } from "../lib/xml.js";
import { button } from "../ui/button.js";
import { checkbox, field, input, select } from "../ui/dialog.js";
import { badge, facts, heading, later, tabs } from "../ui/parts.js";
import { toast } from "../ui/toast.js";
import { accessEditor } from "./access.js";
import { corsEditor } from "./cors.js";
import { lifecycleEditor } from "./lifecycle.js";
import { notificationEditor } from "./notification.js";
import { policyEditor } from "./policy.js";
import { tagsEditor } from "./tags.js";

const NAMES = ["general", "policy", "access", "cors", "lifecycle", "events", "tags"];

export async function settings({ parts: [bucket], query }) {
  const path = pathOf(bucket);
  return h("div.view.narrow", null,
    heading(h("nav.crumbs", { "aria-label": "Folders" }, h("a", { href: "#/buckets" }, "Buckets"), h("i", null, "/"), h("a", { href: placeOf(bucket) }, bucket), h("i", null, "/"), h("h1", null, "Settings"))),
    tabs([
      { name: "General", content: () => later(() => general(path)) },
      { name: "Policy", content: () => later(() => policyEditor(path, bucket)) },
      { name: "Public access", content: () => later(() => accessEditor(path)) },
      { name: "CORS", content: () => later(() => corsEditor(path)) },
      { name: "Lifecycle", content: () => later(() => lifecycleEditor(path)) },
      { name: "Events", content: () => later(() => notificationEditor(path)) },
      { name: "Tags", content: () => tagsEditor(path, 50) },
    ], Math.max(0, NAMES.indexOf(query.get("tab") ?? "general"))));
}

async function general(path) {
  const [location, versioning, lock, encryption] = await Promise.all([
    s3Xml(path, { query: { location: "" } }),
    s3Xml(path, { query: { versioning: "" } }),
    getSetting(path, "object-lock"),
    getSetting(path, "encryption"),
  ]);
  const status = versioning.text("Status");
  const locked = lock ? parse(lock) : null;
  return h("div", null,
    facts([["Region", location.content || "us-east-1"], ["Encryption", encryption ? words(parse(encryption)) : "as the gateway is set"]]),
    section("Versioning", status === "Enabled" ? badge("on", "good") : badge(status === "Suspended" ? "suspended" : "off"),
      "With versioning a delete hides and an overwrite keeps: older versions can be restored.", versioningForm(path, status, locked !== null)),
    section("Object lock", locked ? badge("on", "good") : badge("off"), "Versions are kept from being deleted for a time. It can be switched on, never off.", lockForm(path, locked, status)));
}

const section = (title, mark, text, form) => h("section.block", null, h("h2", null, title, " ", mark), h("p.hint", null, text), form);

const words = (document) => {
  const rule = document.one("Rule")?.one("ApplyServerSideEncryptionByDefault");
  return rule ? `${rule.text("SSEAlgorithm")}${rule.text("KMSMasterKeyID") ? `, key ${rule.text("KMSMasterKeyID")}` : ""}` : "as the gateway is set";
};

function versioningForm(path, status, isLocked) {
  const wanted = status === "Enabled" ? "Suspended" : "Enabled";
  if (isLocked) return h("p.hint", null, "Object lock needs it, so it stays on.");
  return button(wanted === "Enabled" ? "Keep versions" : "Keep no further versions", async () => {
    await putSetting(path, "versioning", build(["VersioningConfiguration", [["Status", wanted]]]));
    toast(wanted === "Enabled" ? "Versions are kept from now on" : "No further versions are kept");
    dispatchEvent(new HashChangeEvent("hashchange"));
  });
}

function lockForm(path, locked, versioning) {
  if (!locked && versioning !== "Enabled") return h("p.hint", null, "Keep versions first.");
  const rule = locked?.one("Rule")?.one("DefaultRetention");
  const mode = select([["", "New versions are not locked by themselves"], ["GOVERNANCE", "Governance: who has the right may end it"], ["COMPLIANCE", "Compliance: nobody can end it"]], rule?.text("Mode") ?? "");
  const days = input({ type: "number", min: 1, max: 36500, value: rule?.text("Days") || 30 });
  const sure = checkbox("Switch object lock on for good", false);
  return h("div", null, !locked && sure.element, field("Each new version", mode), field("For days", days), button("Save", async () => {
    if (!locked && !sure.box.checked) throw new Error("Say that it may be switched on for good.");
    const retention = mode.value ? [["Rule", [["DefaultRetention", [["Mode", mode.value], ["Days", days.value]]]]]] : [];
    await putSetting(path, "object-lock", build(["ObjectLockConfiguration", [["ObjectLockEnabled", "Enabled"], ...retention]]));
    toast("Object lock is saved");
    dispatchEvent(new HashChangeEvent("hashchange"));
  }));
}
