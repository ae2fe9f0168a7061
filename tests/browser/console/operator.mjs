// The operator's views, on the admin door; and what they say on the other one.

import { DOORS, KEYS, S3, isOverS3, s3As, same } from "./stage.mjs";

export async function operator(stage) {
  await stage.check("on the S3 door the operator's views say where they are", async () => {
    const page = await stage.signedIn("operator");
    await page.goto(`${page.home}#/traffic`);
    await page.getByText("Open the console on the admin door").waitFor();
    await stage.shot(page, "not-here");
    await stage.close(page);
  });

  await stage.check("traffic is drawn as it goes", async () => {
    const page = await stage.signedIn("operator", { door: "admin" });
    await page.goto(`${page.home}#/traffic`);
    await page.getByText("Time to the first byte").waitFor();
    const alice = s3As("alice");
    for (let n = 0; n < 40; n += 1) await alice.send(new S3.ListBucketsCommand({}));
    await page.waitForFunction(() => /[1-9]/.test(document.querySelector(".plot-now")?.textContent ?? ""), null, { timeout: 20_000 });
    await page.getByText("GetObject").first().waitFor();
    await stage.shot(page, "traffic");
    await stage.accessible(page);
    await stage.close(page);
  });

  await stage.check("objects of all tenants, through the admin door", async () => {
    const page = await stage.signedIn("operator", { door: "admin" });
    await page.getByRole("link", { name: "alice-media" }).click();
    await page.getByRole("link", { name: "corners.png" }).click();
    await page.waitForFunction(() => document.querySelector(".preview img")?.naturalWidth === 64);
    await page.getByRole("tab", { name: "Share" }).click();
    await page.getByRole("button", { name: "Make link" }).click();
    const url = await page.locator(".made output").innerText();
    same([url.startsWith(DOORS.s3), (await fetch(url)).status], [true, 200], "a link leads to the S3 door");
    await stage.shot(page, "admin-browser");
    await stage.close(page);
  });

  await stage.check("the way from the admin door to the S3 door takes a signature, and opens no more than that door does", async () => {
    same((await fetch(`${DOORS.admin}/-/s3/alice-media/corners.png`)).status, 403, "unsigned");
    same((await fetch(`${DOORS.admin}/-/s3/-/admin/v1/keys`)).status, 404, "the operator's commands are not there");
    same((await fetch(`${DOORS.s3}/-/s3/alice-media/corners.png`)).status, 404, "the S3 door has no such way");
  });

  await stage.check("tenants, and what they hold", async () => {
    const page = await stage.signedIn("operator", { door: "admin" });
    await page.goto(`${page.home}#/tenants`);
    await page.getByRole("rowheader", { name: "alice" }).waitFor();
    await stage.shot(page, "tenants");
    await stage.accessible(page);
    await page.getByRole("button", { name: "Read policies again" }).click();
    await page.getByText(/tenants and \d+ policies are read/).waitFor();
    await stage.close(page);
  });

  await stage.check("a key is made, works, is disabled and removed", async () => {
    const page = await stage.signedIn("operator", { door: "admin" });
    await page.goto(`${page.home}#/keys`);
    await page.getByText("No key was made yet").waitFor();
    await page.getByRole("button", { name: "Make a key" }).first().click();
    await page.getByLabel("Tenant").fill("alice");
    await page.getByRole("button", { name: "Make key" }).click();
    const told = await page.locator("dialog pre").innerText();
    const [, accessKeyId, secretAccessKey] = /AWS_ACCESS_KEY_ID=(\S+)\s+AWS_SECRET_ACCESS_KEY=(\S+)/.exec(told);
    await stage.shot(page, "key-made");
    const made = new S3.S3Client({ endpoint: DOORS.s3, region: "us-east-1", forcePathStyle: true, credentials: { accessKeyId, secretAccessKey }, maxAttempts: 1 });
    same((await made.send(new S3.ListBucketsCommand({}))).Buckets.some((b) => b.Name === "alice-media"), true, "the new key");
    await page.getByRole("button", { name: "Close" }).click();
    await page.getByRole("button", { name: "Disable" }).click();
    await page.getByText("It is refused from now on").waitFor();
    same(await made.send(new S3.ListBucketsCommand({})).then(() => "works", (e) => e.name), "InvalidAccessKeyId", "disabled");
    await page.getByText("disabled", { exact: true }).waitFor();
    await stage.shot(page, "keys");
    await stage.accessible(page);
    await page.getByRole("button", { name: `More for ${accessKeyId}` }).click();
    await page.getByRole("menuitem", { name: "Remove…" }).click();
    await page.getByRole("button", { name: "Remove", exact: true }).click();
    await page.getByText("No key was made yet").waitFor();
    same(KEYS.alice[0] !== accessKeyId, true, "another key");
    await stage.close(page);
  });

  await stage.check("the state of the node; purge; lifecycle's dry run", async () => {
    const page = await stage.signedIn("operator", { door: "admin" });
    await page.goto(`${page.home}#/system`);
    await page.getByRole("heading", { name: "Queue" }).waitFor();
    await page.getByRole("heading", { name: "Webhooks" }).waitFor();
    await stage.shot(page, "system");
    await stage.accessible(page);
    await page.getByRole("button", { name: "Purge…" }).click();
    await page.getByLabel("Bucket").fill("alice-media");
    await page.getByRole("button", { name: "Purge", exact: true }).click();
    // Alone on its own store there is nothing that could be purged, and the gateway says so.
    await page.getByText(isOverS3 ? "Purged" : "There is nothing to purge").waitFor();
    if (!isOverS3) await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("button", { name: "What would go?" }).click();
    await page.getByRole("heading", { name: "What would go" }).waitFor({ timeout: 35_000 });
    await stage.close(page);
  });
}
