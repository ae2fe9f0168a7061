// What the operator's views have in common: they need the admin door.

import { h } from "../lib/dom.js";
import { isAdminDoor } from "../lib/session.js";
import { empty, heading } from "../ui/parts.js";

/** The view, or where to find it. @param {string} title @param {() => Promise<any>} view */
export async function onAdminDoor(title, view) {
  if (isAdminDoor) return view();
  return h("div.view", null, heading(title),
    empty("lock", "Open the console on the admin door", "Metrics, keys and the operator's commands are on that door alone, so that it can stay on loopback or a private network. As a rule it is http://127.0.0.1:9001/ on the machine of the gateway; ssh -L 9001:127.0.0.1:9001 HOST brings it here."));
}
