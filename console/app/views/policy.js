// The bucket's policy: who may do what. JSON, checked before it is sent and again by the gateway.

import { h } from "../lib/dom.js";
import { deleteSetting, getSetting, putSetting } from "../lib/s3.js";
import { button } from "../ui/button.js";
import { badge } from "../ui/parts.js";
import { toast } from "../ui/toast.js";
import { codeEditor } from "./editor.js";

const EXAMPLES = {
  "Anyone may read": (bucket) => [{ Sid: "AnyoneReads", Effect: "Allow", Principal: "*", Action: "s3:GetObject", Resource: `arn:aws:s3:::${bucket}/*` }],
  "Anyone may read one folder": (bucket) => [{ Sid: "AnyoneReadsPublic", Effect: "Allow", Principal: "*", Action: "s3:GetObject", Resource: `arn:aws:s3:::${bucket}/public/*` }],
  "Another tenant may read": (bucket) => [{ Sid: "TenantReads", Effect: "Allow", Principal: { AWS: "arn:aws:iam::TENANT:root" }, Action: ["s3:GetObject", "s3:ListBucket"], Resource: [`arn:aws:s3:::${bucket}`, `arn:aws:s3:::${bucket}/*`] }],
};

export async function policyEditor(path, bucket) {
  const now = await getSetting(path, "policy");
  const text = now ? JSON.stringify(JSON.parse(now), null, 2) : "";
  const state = h("span", null, now ? badge("set", "good") : badge("none"));
  const editor = codeEditor({ label: "Policy", value: text, placeholder: "No policy: the owner's own rights hold.", check });
  const save = async () => {
    check(editor.value());
    await putSetting(path, "policy", editor.value(), { type: "application/json" });
    state.replaceChildren(badge("set", "good"));
    toast("The policy is saved");
  };
  const remove = async () => {
    await deleteSetting(path, "policy");
    editor.set("");
    state.replaceChildren(badge("none"));
    toast("The policy is gone");
  };
  const examples = Object.entries(EXAMPLES).map(([name, make]) => button(name, () => editor.set(JSON.stringify({ Version: "2012-10-17", Statement: make(bucket) }, null, 2)), { kind: "quiet" }));
  return h("section.block.first", null, h("h2", null, "Policy ", state),
    h("p.hint", null, "Statements of who may do what, as on AWS. An explicit Deny wins, and what nothing allows is refused."),
    h("div.actions.left", null, examples), editor.element,
    h("div.actions.left", null, button("Save policy", save, { kind: "primary" }), button("Take it away", remove, { kind: "danger" })));
}

function check(text) {
  if (!text.trim()) throw new Error("There is no policy here yet.");
  let document;
  try {
    document = JSON.parse(text);
  } catch (e) {
    throw new Error(`It is not JSON: ${e.message}`);
  }
  const statements = [document.Statement].flat().filter(Boolean);
  if (!statements.length) throw new Error("A policy needs a Statement.");
  for (const [at, one] of statements.entries()) {
    for (const name of ["Effect", "Principal", "Action", "Resource"]) {
      if (one[name] === undefined && one[`Not${name}`] === undefined) throw new Error(`Statement ${at + 1} has no ${name}.`);
    }
    if (!["Allow", "Deny"].includes(one.Effect)) throw new Error(`Statement ${at + 1}: Effect is Allow or Deny.`);
  }
}
