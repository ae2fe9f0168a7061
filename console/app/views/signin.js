// Signing in: a key is tried once, and kept in this tab.

import { h } from "../lib/dom.js";
import { readRefusal } from "../lib/http.js";
import { begin, isAdminDoor, prefix, wayToS3 } from "../lib/session.js";
import { sha256, sign } from "../lib/sigv4.js";
import { parse } from "../lib/xml.js";
import { field, input } from "../ui/dialog.js";
import { icon } from "../ui/icon.js";

/** Who has this key: STS's GetCallerIdentity, which takes no right. */
async function whoIs(key, secret, region) {
  const body = "Action=GetCallerIdentity&Version=2011-06-15";
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const path = `${prefix}/`;
  const signed = await sign({ method: "POST", host: location.host, path, headers, hash: await sha256(body), key, secret, region, service: "sts" });
  let response;
  try {
    response = await fetch(`${prefix}${wayToS3}/`, { method: "POST", headers: signed, body });
  } catch {
    throw new Error("The gateway can't be reached.");
  }
  const text = await response.text();
  if (!response.ok) throw readRefusal(response.status, response.statusText, text, "");
  const tenant = parse(text).one("GetCallerIdentityResult")?.text("Account") ?? "";
  return { key, secret, region, tenant, isOperator: tenant === "operator" };
}

const REASONS = {
  InvalidAccessKeyId: "There is no such access key.",
  InvalidClientTokenId: "There is no such access key.",
  SignatureDoesNotMatch: "The secret does not belong to this access key.",
  RequestTimeTooSkewed: "This computer's clock is off by more than 15 minutes: signatures name the time.",
};

/** @param {() => void} done */
export function signIn(done) {
  const key = input({ name: "access-key", autocomplete: "username", required: true, placeholder: "TG…" });
  const secret = input({ name: "secret", type: "password", autocomplete: "current-password", required: true });
  const fault = h("p.fault", { role: "alert", hidden: true });
  const submit = h("button.button.primary.large", { type: "submit" }, h("span", null, "Sign in"));
  const form = h("form.sign-in-form", null, field("Access key", key), field("Secret key", secret), fault, submit);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.setAttribute("aria-busy", "true");
    fault.hidden = true;
    try {
      begin(await whoIs(key.value.trim(), secret.value.trim(), "us-east-1"));
      done();
    } catch (e) {
      fault.textContent = REASONS[e.code] ?? e.message;
      fault.hidden = false;
      secret.focus();
    } finally {
      submit.removeAttribute("aria-busy");
    }
  });
  if (!globalThis.crypto?.subtle) {
    fault.textContent = "Browsers sign only on pages that nobody between can change. Open the console over HTTPS, or by http://localhost (ssh -L brings a far one there).";
    fault.hidden = false;
    submit.disabled = true;
  }
  requestAnimationFrame(() => key.focus());
  return h("main.sign-in", null,
    h("div.sign-in-card", null,
      h("div.sign-in-brand", null, icon("wave"), h("h1", null, "Tidegate")),
      h("p.lead", null, isAdminDoor ? "Objects and operation, with the key you have." : "Your objects, with the key you have."),
      form,
      h("p.hint", null, "The secret stays in this tab: requests are signed here, and there is no session on the server."),
      h("details", null, h("summary", null, "Where is my key?"),
        h("p", null, "The operator's key was made at the first start. On the machine:"),
        h("pre.code", null, "cat data/operator.key"),
        h("p", null, "or it is what ", h("code", null, "TIDEGATE_ROOT_ACCESS_KEY"), " and ", h("code", null, "TIDEGATE_ROOT_SECRET_KEY"), " say. A tenant gets a key from the operator:"),
        h("pre.code", null, "tidegate key make TENANT"))));
}
