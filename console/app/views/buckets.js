// The buckets of a key: a card for each, and making one.

import { h } from "../lib/dom.js";
import { ago, bytes, number } from "../lib/format.js";
import { api } from "../lib/http.js";
import { placeOf } from "../lib/router.js";
import { deleteBucket, listBuckets, makeBucket } from "../lib/s3.js";
import { endpoint, session } from "../lib/session.js";
import { button } from "../ui/button.js";
import { checkbox, confirm, dialog, field, input } from "../ui/dialog.js";
import { icon } from "../ui/icon.js";
import { empty, heading, menu } from "../ui/parts.js";
import { toast } from "../ui/toast.js";

/** What each bucket holds, where this key may ask and the store counts it. */
async function stored() {
  try {
    const { places } = await api("usage/stored", { query: { by: "type" } });
    const found = new Map();
    for (const place of places) {
      if (!place.bucket) continue;
      const sum = found.get(place.bucket) ?? { bytes: 0, objects: 0 };
      found.set(place.bucket, { bytes: sum.bytes + place.bytes, objects: sum.objects + place.objects });
    }
    return found;
  } catch {
    return new Map();
  }
}

export async function buckets() {
  const [list, sizes] = await Promise.all([listBuckets(), stored()]);
  const again = () => { dispatchEvent(new HashChangeEvent("hashchange")); };
  const make = () => makeDialog(again);
  if (!list.length) {
    return h("div.view", null, heading("Buckets"),
      empty("bucket", "No bucket yet", `A bucket is where objects live. Make one here${endpoint() ? ", or with any S3 tool:" : "."}`, button("Make a bucket", make, { kind: "primary", icon: "plus" })),
      endpoint() && h("pre.code.centered", null, `aws --endpoint-url ${endpoint()} s3 mb s3://first`));
  }
  const search = input({ type: "search", placeholder: "Find a bucket", "aria-label": "Find a bucket", class: "search" });
  const cards = list.map((bucket) => card(bucket, sizes.get(bucket.name), again));
  search.addEventListener("input", () => cards.forEach((one, at) => { one.hidden = !list[at].name.includes(search.value.trim().toLowerCase()); }));
  return h("div.view", null,
    heading("Buckets", [list.length > 6 && search, button("Make a bucket", make, { kind: "primary", icon: "plus" })]),
    h("ul.cards", null, cards));
}

function card(bucket, size, again) {
  return h("li.card", null,
    h("a.card-link", { href: placeOf(bucket.name) }, icon("bucket"), h("b", null, bucket.name)),
    h("p.card-facts", null, size ? `${number(size.objects)} ${size.objects === 1 ? "object" : "objects"} · ${bytes(size.bytes)}` : `made ${ago(bucket.created)}`),
    menu(`More for ${bucket.name}`, [
      { text: "Settings", icon: "settings", act: () => { location.hash = `#/settings/${encodeURIComponent(bucket.name)}`; } },
      { text: "Delete…", icon: "trash", danger: true, act: () => remove(bucket.name, again) },
    ]));
}

function remove(name, again) {
  return confirm(`Delete ${name}?`, "Only an empty bucket can be deleted: without objects, and without versions of them.", "Delete bucket", async () => {
    await deleteBucket(name);
    toast(`${name} is deleted`);
    again();
  });
}

function makeDialog(again) {
  const name = input({ required: true, minlength: 3, maxlength: 63, pattern: "[a-z0-9][a-z0-9.\\-]+[a-z0-9]", placeholder: `${session()?.isOperator ? "" : `${session()?.tenant}-`}media` });
  const lock = checkbox("Object lock: versions can be kept from being deleted", false);
  return dialog({
    title: "Make a bucket",
    action: "Make bucket",
    content: [field("Name", name, "3 to 63 of a–z, 0–9, dots and dashes. It is the same for all tenants."), lock.element],
    act: async () => {
      await makeBucket(name.value, { lock: lock.box.checked });
      toast(`${name.value} is made`);
      location.hash = placeOf(name.value);
      again();
    },
  });
}
