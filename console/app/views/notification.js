// Which webhooks are told of the bucket's events.

import { h } from "../lib/dom.js";
import { s3Xml } from "../lib/http.js";
import { putSetting } from "../lib/s3.js";
import { button } from "../ui/button.js";
import { badge } from "../ui/parts.js";
import { toast } from "../ui/toast.js";
import { parse } from "../lib/xml.js";
import { codeEditor } from "./editor.js";

const NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"';
const EXAMPLE = `<NotificationConfiguration${NAMESPACE}>
  <QueueConfiguration>
    <Id>new-models</Id>
    <Queue>arn:aws:sqs:us-east-1:1:WEBHOOK</Queue>
    <Event>s3:ObjectCreated:*</Event>
    <Filter><S3Key><FilterRule><Name>suffix</Name><Value>.glb</Value></FilterRule></S3Key></Filter>
  </QueueConfiguration>
</NotificationConfiguration>`;

export async function notificationEditor(path) {
  const now = await s3Xml(path, { query: { notification: "" } });
  const show = (element, depth = 0) => {
    const space = "  ".repeat(depth);
    const name = element.name + (depth === 0 ? NAMESPACE : "");
    const text = element.content.replace(/[<>&]/g, (c) => `&#${c.charCodeAt(0)};`);
    if (!element.children.length) return `${space}<${name}>${text}</${element.name}>`;
    return `${space}<${name}>\n${element.children.map((child) => show(child, depth + 1)).join("\n")}\n${space}</${element.name}>`;
  };
  const check = (text) => { if (parse(text).name !== "NotificationConfiguration") throw new Error("The outermost element is NotificationConfiguration."); };
  const editor = codeEditor({ label: "Notification configuration", value: now.children.length ? show(now) : "", placeholder: "No webhook is told.", check });
  return h("section.block.first", null, h("h2", null, "Events ", now.children.length ? badge(`${now.children.length} set`, "good") : badge("none")),
    h("p.hint", null, "Webhooks are named by the operator in gateway.toml; the last part of the ARN is the webhook's name. What happens right now is shown under Activity."),
    h("div.actions.left", null, button("An example", () => editor.set(EXAMPLE), { kind: "quiet" })), editor.element,
    button("Save", async () => {
      const text = editor.value().trim() || `<NotificationConfiguration${NAMESPACE}/>`;
      check(text);
      await putSetting(path, "notification", text.replace(/>\s+</g, "><"));
      toast("Events are saved");
    }, { kind: "primary" }));
}
