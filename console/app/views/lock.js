// Object lock: what keeps a version from being deleted, and setting it.

import { h } from "../lib/dom.js";
import { time } from "../lib/format.js";
import { pathOf } from "../lib/http.js";
import { putSetting } from "../lib/s3.js";
import { build } from "../lib/xml.js";
import { button } from "../ui/button.js";
import { checkbox, dialog, field, input, select } from "../ui/dialog.js";
import { facts } from "../ui/parts.js";
import { toast } from "../ui/toast.js";

export function lockFacts(bucket, key, headers) {
  const mode = headers.get("x-amz-object-lock-mode");
  const until = headers.get("x-amz-object-lock-retain-until-date");
  const hold = headers.get("x-amz-object-lock-legal-hold");
  const version = headers.get("x-amz-version-id");
  if (!mode && !hold && !version) return h("p.hint", null, "Only versions in buckets with object lock can be locked.");
  return h("div", null,
    mode || hold === "ON"
      ? facts([mode && ["Retention", `${mode.toLowerCase()}, until ${time(until ?? "")}`], ["Legal hold", hold === "ON" ? "on" : "off"]])
      : h("p.hint", null, "It is not locked."),
    button("Change the lock…", () => change(bucket, key, { mode, until, hold }), { icon: "lock" }));
}

function change(bucket, key, { mode, until, hold }) {
  const modes = select([["", "No retention"], ["GOVERNANCE", "Governance: who has the right may end it"], ["COMPLIANCE", "Compliance: nobody can end it"]], mode ?? "");
  const date = input({ type: "datetime-local", value: until ? new Date(until).toISOString().slice(0, 16) : "" });
  const legal = checkbox("Legal hold: until somebody takes it away", hold === "ON");
  return dialog({
    title: "Lock this version",
    action: "Save",
    content: [field("Retention", modes), field("Until (UTC)", date), legal.element],
    act: async () => {
      const path = pathOf(bucket, key);
      if (modes.value && !date.value) throw new Error("Retention needs a date.");
      if (modes.value) await putSetting(path, "retention", build(["Retention", [["Mode", modes.value], ["RetainUntilDate", `${date.value}:00Z`]]]));
      if (legal.box.checked !== (hold === "ON")) await putSetting(path, "legal-hold", build(["LegalHold", [["Status", legal.box.checked ? "ON" : "OFF"]]]));
      toast("The lock is saved");
      dispatchEvent(new HashChangeEvent("hashchange"));
    },
  });
}
