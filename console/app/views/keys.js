// Keys that were made for tenants: make, disable, remove.

import { h } from "../lib/dom.js";
import { ago, time } from "../lib/format.js";
import { admin } from "../lib/http.js";
import { button, copyText } from "../ui/button.js";
import { confirm, dialog, field, input } from "../ui/dialog.js";
import { badge, empty, heading, menu } from "../ui/parts.js";
import { toast } from "../ui/toast.js";
import { onAdminDoor } from "./operator.js";

export const keys = () => onAdminDoor("Keys", async () => {
  const all = await admin("keys");
  const again = () => { dispatchEvent(new HashChangeEvent("hashchange")); };
  return h("div.view", null,
    heading("Keys", [
      button("Make a key", () => make(again), { kind: "primary", icon: "plus" }),
      menu("More", [{ text: "New secret of path tokens…", icon: "refresh", danger: true, act: rotate }]),
    ], h("p.hint", null, "Keys that were made here, by tidegate key, or by the API. Those in policies/tenants/*.toml are listed by their files.")),
    all.length ? h("ul.jobs", null, all.map((key) => row(key, again)))
      : empty("key", "No key was made yet", "A made key works at once on all nodes, can end by itself, and is disabled here.", button("Make a key", () => make(again), { kind: "primary", icon: "plus" })));
});

function row(key, again) {
  const ended = key.expires && new Date(key.expires) < new Date();
  return h("li.job", null,
    h("div", null, h("b", null, h("code", null, key.access_key)), ended ? badge("ended") : badge(key.enabled ? "on" : "disabled", key.enabled ? "good" : "bad"),
      h("p.hint", null, `${key.tenant} · made ${ago(key.created)}${key.expires ? ` · until ${time(key.expires)}` : ""}`)),
    h("span.actions", null,
      button(key.enabled ? "Disable" : "Enable", async () => {
        await admin(`keys/${encodeURIComponent(key.access_key)}`, { method: "PATCH", json: { enabled: !key.enabled } });
        toast(key.enabled ? "It is refused from now on" : "It works again");
        again();
      }),
      menu(`More for ${key.access_key}`, [
        { text: "Copy", icon: "copy", act: () => copyText(key.access_key) },
        { text: "Remove…", icon: "trash", danger: true, act: () => confirm("Remove this key?", "It is refused from now on and can't come back. Disable it to be able to enable it again.", "Remove", async () => { await admin(`keys/${encodeURIComponent(key.access_key)}`, { method: "DELETE" }); again(); }) },
      ])));
}

function make(again) {
  const tenant = input({ required: true, placeholder: "acme" });
  const expires = input({ type: "datetime-local" });
  return dialog({
    title: "Make a key",
    action: "Make key",
    content: [field("Tenant", tenant, "Its id, as in policies/tenants."), field("Ends (UTC)", expires, "Empty: never.")],
    act: async () => {
      const made = await admin("keys", { json: { tenant: tenant.value.trim(), ...(expires.value ? { expires: `${expires.value}:00Z` } : {}) } });
      await told(made);
      again();
    },
  });
}

/** The one time that the secret is shown. */
const told = (made) => dialog({
  title: "The new key",
  content: [
    h("p", null, "The secret is shown this once. Whoever has both is the tenant."),
    h("pre.code", { tabindex: "0" }, `AWS_ACCESS_KEY_ID=${made.access_key}\nAWS_SECRET_ACCESS_KEY=${made.secret_key}`),
    button("Copy both", () => copyText(`AWS_ACCESS_KEY_ID=${made.access_key}\nAWS_SECRET_ACCESS_KEY=${made.secret_key}`), { icon: "copy" }),
  ],
});

const rotate = () => confirm("A new secret of path tokens?", "Tokens of the secret before stay good; those of older ones end, and sessions with them.", "New secret", async () => {
  await admin("path-tokens/rotate", { method: "POST" });
  toast("New tokens are signed with a new secret");
});
