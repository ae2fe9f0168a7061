// Keys for a while: a session of STS, made with the key that is signed in. It may what that key may, and ends by itself.

import { h } from "../lib/dom.js";
import { time } from "../lib/format.js";
import { readRefusal } from "../lib/http.js";
import { endpoint, prefix, session, wayToS3 } from "../lib/session.js";
import { sha256, sign } from "../lib/sigv4.js";
import { parse } from "../lib/xml.js";
import { button, copyText } from "../ui/button.js";
import { field, select } from "../ui/dialog.js";
import { heading } from "../ui/parts.js";

const TIMES = [["900", "15 minutes"], ["3600", "1 hour"], ["14400", "4 hours"], ["43200", "12 hours"]];

async function make(seconds) {
  const { key, secret, region } = /** @type {import("../lib/session.js").Session} */ (session());
  const body = `Action=GetSessionToken&Version=2011-06-15&DurationSeconds=${seconds}`;
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const signed = await sign({ method: "POST", host: location.host, path: `${prefix}/`, headers, hash: await sha256(body), key, secret, region, service: "sts" });
  const response = await fetch(`${prefix}${wayToS3}/`, { method: "POST", headers: signed, body });
  const text = await response.text();
  if (!response.ok) throw readRefusal(response.status, response.statusText, text, response.headers.get("x-amz-request-id") ?? "");
  const made = parse(text).one("GetSessionTokenResult")?.one("Credentials");
  return { key: made?.text("AccessKeyId"), secret: made?.text("SecretAccessKey"), token: made?.text("SessionToken"), expires: made?.text("Expiration") };
}

export async function temporary() {
  const times = select(TIMES, "3600");
  const place = h("div", { role: "status" });
  const show = async () => {
    const made = await make(times.value);
    const lines = [
      `AWS_ACCESS_KEY_ID=${made.key}`, `AWS_SECRET_ACCESS_KEY=${made.secret}`, `AWS_SESSION_TOKEN=${made.token}`,
      endpoint() && `AWS_ENDPOINT_URL_S3=${endpoint()}`, `AWS_REGION=${session()?.region}`,
    ].filter(Boolean).join("\n");
    place.replaceChildren(h("section.block", null, h("h2", null, `Ends ${time(made.expires ?? "")}`), h("p.hint", null, "Shown this once, and stored nowhere. Disabling the key that made it ends it at once."),
      h("pre.code", { tabindex: "0" }, lines), h("div.actions.left", null, button("Copy all", () => copyText(lines, "The key is copied"), { kind: "primary", icon: "copy" }))));
  };
  return h("div.view.narrow", null,
    heading("Temporary key", null, h("p.hint", null, `For a script, a worker or a colleague: it may what ${session()?.tenant} may on S3, and ends by itself. Keys that last are made by the operator.`)),
    field("Works for", times), button("Make a key", show, { kind: "primary", icon: "key" }), place);
}
