// What happens now: the gateway's events as they come.

import { h } from "../lib/dom.js";
import { bytes } from "../lib/format.js";
import { isAborted, s3 } from "../lib/http.js";
import { placeOf } from "../lib/router.js";
import { session } from "../lib/session.js";
import { button } from "../ui/button.js";
import { input } from "../ui/dialog.js";
import { badge, empty, heading } from "../ui/parts.js";

const KEPT = 300;

/** Server-sent events by fetch, whose requests can be signed. */
async function* stream(query, signal) {
  const response = await s3("/-/v1/events", { query, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const messages = text.split("\n\n");
    text = messages.pop() ?? "";
    for (const message of messages) {
      const fields = {};
      for (const line of message.split("\n")) {
        const [, name, content] = /^(\w*): ?(.*)$/.exec(line) ?? [];
        if (name) fields[name] = content;
      }
      yield fields;
    }
  }
}

export async function activity() {
  const list = h("ol.events");
  const nothing = h("div", null, empty("events", "Nothing has happened yet", "Uploads, deletes, finished jobs and whatever else your webhooks could be told of shows here the moment it happens."));
  const state = h("span.live", { role: "status" }, "connecting");
  const prefix = input({ type: "search", class: "search", placeholder: "Bucket, or bucket/prefix", "aria-label": "Only events of this bucket and prefix" });
  let stop = new AbortController();
  let isPaused = false;
  let place = "";

  async function run() {
    stop.abort();
    stop = new AbortController();
    const { signal } = stop;
    while (!signal.aborted) {
      const [bucket, ...rest] = prefix.value.trim().split("/");
      try {
        const query = { bucket: bucket || undefined, prefix: rest.join("/") || undefined, "last-event-id": place || undefined };
        for await (const fields of stream(query, signal)) {
          state.textContent = "live";
          state.classList.add("on");
          if (fields.id) place = fields.id;
          if (fields.event === "gap") add(h("li.hint", null, "Some events were missed."));
          else if (fields.data) add(shown(JSON.parse(fields.data)));
        }
      } catch (error) {
        if (isAborted(error) || signal.aborted) return;
        state.textContent = error.status === 403 ? "this key may not watch events" : "connecting again";
        state.classList.remove("on");
        if (error.status === 403) return;
      }
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }

  function add(item) {
    if (isPaused) return;
    nothing.hidden = true;
    list.prepend(item);
    while (list.children.length > KEPT) list.lastChild.remove();
  }

  let typing = 0;
  prefix.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(run, 400); });
  const pause = button("Pause", () => { isPaused = !isPaused; pause.querySelector("span").textContent = isPaused ? "Go on" : "Pause"; pause.setAttribute("aria-pressed", String(isPaused)); });
  run();
  return {
    element: h("div.view", null, heading("Activity", [prefix, pause], h("div.toolbar", null, state, h("span.hint", null, `Events of ${session()?.tenant}, of the node that answers.`))), nothing, list),
    leave: () => stop.abort(),
  };
}

const KIND = (name) => (/Removed|Expiration|Failed/.test(name) ? "bad" : /Created|Done/.test(name) ? "good" : "note");

function shown(record) {
  const { eventName = "", eventTime = "", s3: about, tidegate, userIdentity } = record;
  const key = about?.object ? decodeURIComponent(about.object.key.replace(/\+/g, " ")) : "";
  const bucket = about?.bucket?.name ?? "";
  const name = eventName.replace(/^s3:/, "");
  return h("li.event", null,
    h("time", null, new Date(eventTime).toLocaleTimeString("en-GB")), badge(name, KIND(name)),
    h("span.event-what", null, bucket && key ? h("a", { href: placeOf(bucket, { prefix: key.slice(0, key.lastIndexOf("/") + 1), object: key }) }, `${bucket}/${key}`) : bucket || JSON.stringify(tidegate ?? {}).slice(0, 300)),
    h("span.hint", null, [about?.object?.size !== undefined && bytes(about.object.size), userIdentity?.principalId].filter(Boolean).join(" · ")));
}
