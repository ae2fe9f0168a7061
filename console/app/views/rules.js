// A list of rules that are edited one by one and stored together: CORS and lifecycle.

import { h, show } from "../lib/dom.js";
import { deleteSetting, putSetting } from "../lib/s3.js";
import { button, iconButton } from "../ui/button.js";
import { badge } from "../ui/parts.js";
import { toast } from "../ui/toast.js";

/**
 * @template R
 * @param {{ title: string, hint: string, none: string, setting: string, path: string, rules: R[], words: (rule: R) => string, detail: (rule: R) => string,
 *   edit: (rule: R | null, store: (rule: R) => Promise<void>) => Promise<any>, write: (rules: R[]) => string }} what
 */
export function ruleList({ title, hint, none, setting, path, rules, words, detail, edit, write }) {
  const list = h("ul.rules");
  const state = h("span");
  const store = async (wanted) => {
    if (wanted.length) await putSetting(path, setting, write(wanted));
    else await deleteSetting(path, setting);
    rules = wanted;
    toast(`${title}: saved`);
    draw();
  };
  // Stored while the dialog is open, so that what the gateway refuses can be mended there.
  const change = (at) => edit(at === null ? null : rules[at], (rule) => store(at === null ? [...rules, rule] : rules.map((one, n) => (n === at ? rule : one))));
  function draw() {
    show(state, rules.length ? badge(`${rules.length} ${rules.length === 1 ? "rule" : "rules"}`, "good") : badge("none"));
    show(list, rules.length ? rules.map((rule, at) =>
      h("li.rule", null, h("div", null, h("b", null, words(rule)), h("p.hint", null, detail(rule))),
        h("span.actions", null, button("Edit", () => change(at)), iconButton("Take the rule away", "trash", () => store(rules.filter((_, n) => n !== at)))))) : h("li.hint", null, none));
  }
  draw();
  return h("section.block.first", null, h("h2", null, title, " ", state), h("p.hint", null, hint), list, button("Add a rule", () => change(null), { kind: "primary", icon: "plus" }));
}
