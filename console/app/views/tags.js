// Tags of an object or a bucket: pairs of a name and a value.

import { h } from "../lib/dom.js";
import { getTags, putTags } from "../lib/s3.js";
import { button, iconButton } from "../ui/button.js";
import { input } from "../ui/dialog.js";
import { later } from "../ui/parts.js";
import { toast } from "../ui/toast.js";

/** @param {string} path @param {number} most */
export function tagsEditor(path, most = 10) {
  return later(async () => {
    const rows = h("div.tag-rows");
    const add = (key = "", value = "") => {
      const name = input({ value: key, "aria-label": "Name of the tag", placeholder: "name", maxlength: 128 });
      const row = h("div.tag-row", null, name, input({ value, "aria-label": "Value of the tag", placeholder: "value", maxlength: 256 }), iconButton("Take the tag away", "close", () => row.remove()));
      rows.append(row);
      return name;
    };
    (await getTags(path)).forEach(([key, value]) => add(key, value));
    if (!rows.children.length) add();
    const save = async () => {
      const pairs = [...rows.children].map((row) => [...row.querySelectorAll("input")].map((one) => one.value.trim())).filter(([key]) => key);
      if (new Set(pairs.map(([key]) => key)).size !== pairs.length) throw new Error("Two tags have the same name.");
      if (pairs.length > most) throw new Error(`At most ${most} tags are possible.`);
      await putTags(path, /** @type {any} */ (pairs));
      toast("Tags are saved");
    };
    return h("div", null, rows, h("div.actions.left", null, button("Save tags", save, { kind: "primary" }), button("Add a tag", () => add().focus(), { icon: "plus" })));
  });
}
