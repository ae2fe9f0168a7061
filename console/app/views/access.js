// Whether the bucket can become public at all, and whether ACLs count.

import { h } from "../lib/dom.js";
import { getSetting, putSetting } from "../lib/s3.js";
import { build, parse } from "../lib/xml.js";
import { button } from "../ui/button.js";
import { checkbox, field, select } from "../ui/dialog.js";
import { badge } from "../ui/parts.js";
import { toast } from "../ui/toast.js";

const BLOCKS = [
  ["BlockPublicAcls", "Refuse ACLs that would let anyone in"], ["IgnorePublicAcls", "Ignore those that are there"],
  ["BlockPublicPolicy", "Refuse policies that would let anyone in"], ["RestrictPublicBuckets", "Let only the owner and the operator in where a policy is public"],
];

export async function accessEditor(path) {
  const [blocks, ownership, status] = await Promise.all([
    getSetting(path, "publicAccessBlock"), getSetting(path, "ownershipControls"), getSetting(path, "policyStatus"),
  ]);
  const now = blocks ? parse(blocks) : null;
  const isPublic = status !== null && parse(status).text("IsPublic") === "true";
  const boxes = BLOCKS.map(([name, text]) => ({ name, ...checkbox(text, now?.text(name) === "true") }));
  const owner = select([["BucketOwnerEnforced", "The bucket's owner owns all, and ACLs do not count"], ["BucketOwnerPreferred", "The bucket's owner, where the writer says so"], ["ObjectWriter", "Who wrote an object owns it"]],
    ownership ? parse(ownership).one("Rule")?.text("ObjectOwnership") : "BucketOwnerEnforced");
  return h("div", null,
    h("section.block.first", null, h("h2", null, "Public access ", isPublic ? badge("public by its policy", "note") : badge("not public", "good")),
      h("p.hint", null, "These hold whatever policies and ACLs say."), h("div.checks", null, boxes.map((one) => one.element)),
      button("Save", async () => {
        await putSetting(path, "publicAccessBlock", build(["PublicAccessBlockConfiguration", boxes.map((one) => [one.name, String(one.box.checked)])]));
        toast("Public access is saved");
      }, { kind: "primary" })),
    h("section.block", null, h("h2", null, "Ownership"), field("Who owns what is written", owner),
      button("Save", async () => {
        await putSetting(path, "ownershipControls", build(["OwnershipControls", [["Rule", [["ObjectOwnership", owner.value]]]]]));
        toast("Ownership is saved");
      })));
}
