// What goes on behind: jobs, events as they happen, usage.

import { BUCKET } from "./objects.mjs";
import { S3, s3As, same } from "./stage.mjs";

export async function work(stage) {
  const alice = s3As("alice");

  await stage.check("events are shown as they happen, by prefix", async () => {
    const page = await stage.signedIn("alice");
    await page.goto(`${page.home}#/activity`);
    await page.getByText("live", { exact: true }).waitFor();
    await alice.send(new S3.PutObjectCommand({ Bucket: BUCKET, Key: "seen/now & then.txt", Body: "x" }));
    await page.getByRole("link", { name: `${BUCKET}/seen/now & then.txt` }).waitFor();
    await alice.send(new S3.DeleteObjectCommand({ Bucket: BUCKET, Key: "seen/now & then.txt" }));
    await page.getByText("ObjectRemoved:DeleteMarkerCreated").waitFor();
    await stage.shot(page, "activity");
    await stage.accessible(page);
    await page.getByRole("searchbox").fill(`${BUCKET}/elsewhere/`);
    await page.waitForResponse((response) => response.url().includes("prefix=elsewhere"));
    await page.getByText("live", { exact: true }).waitFor();
    await alice.send(new S3.PutObjectCommand({ Bucket: BUCKET, Key: "seen/later.txt", Body: "x" }));
    await alice.send(new S3.PutObjectCommand({ Bucket: BUCKET, Key: "elsewhere/later.txt", Body: "x" }));
    await page.getByText("elsewhere/later.txt").waitFor();
    same(await page.getByText("seen/later.txt").count(), 0, "what does not begin so");
    await stage.close(page);
  });

  await stage.check("jobs: what they are, why they failed, again", async () => {
    const page = await stage.signedIn("alice");
    await page.goto(`${page.home}#/jobs`);
    await page.getByText("inspect").first().waitFor();
    await stage.shot(page, "jobs");
    await stage.accessible(page);
    await page.getByRole("button", { name: "Details" }).first().click();
    await page.getByText("What it is to do").waitFor();
    await stage.shot(page, "job");
    await page.getByRole("button", { name: "Close" }).click();
    await page.getByLabel("State").selectOption("dead");
    await page.getByText("No such job").waitFor();
    await stage.close(page);
  });

  await stage.check("usage by day, bucket and class", async () => {
    const page = await stage.signedIn("alice");
    await page.goto(`${page.home}#/usage`);
    await page.getByText("Requests by day").waitFor();
    await page.getByText(BUCKET).first().waitFor();
    await stage.shot(page, "usage");
    await stage.accessible(page);
    const begun = page.waitForEvent("download");
    await page.getByRole("button", { name: "CSV" }).click();
    same(/^usage-\d{4}-\d\d\.csv$/.test((await begun).suggestedFilename()), true, "a file");
    await stage.close(page);
  });
}
