// Many objects at once, what was deleted, and keys for a while.

import { DOORS, S3, s3As, same } from "./stage.mjs";

const BUCKET = "alice-many-at-once";

export async function many(stage) {
  const alice = s3As("alice");
  await alice.send(new S3.CreateBucketCommand({ Bucket: BUCKET }));
  await alice.send(new S3.PutBucketVersioningCommand({ Bucket: BUCKET, VersioningConfiguration: { Status: "Enabled" } }));
  for (const Key of ["in/a & b.txt", "in/c.txt", "in/sub/d.txt"]) await alice.send(new S3.PutObjectCommand({ Bucket: BUCKET, Key, Body: Key, Tagging: "kind=old" }));
  const keys = async (Prefix) => ((await alice.send(new S3.ListObjectsV2Command({ Bucket: BUCKET, Prefix }))).Contents ?? []).map((one) => one.Key);
  const choose = async (page, ...names) => { for (const name of names) await page.getByLabel(`Choose ${name}`, { exact: true }).check(); };

  await stage.check("links, tags, copies and moves of many", async () => {
    const page = await stage.signedIn("alice");
    await page.goto(`${page.home}#/b/${BUCKET}?prefix=in/`);
    await choose(page, "a & b.txt", "c.txt", "sub");
    await stage.shot(page, "chosen-many");
    await stage.accessible(page);
    await page.getByRole("button", { name: "Links…" }).click();
    await page.getByRole("button", { name: "Copy links" }).click();
    await page.getByText("2 links are copied").waitFor();
    const links = (await page.evaluate(() => navigator.clipboard.readText())).split("\n");
    same(await Promise.all(links.map(async (one) => (await fetch(one)).text())), ["in/a & b.txt", "in/c.txt"], "what the links open");
    await page.getByRole("button", { name: "Tag…" }).click();
    await page.getByLabel("Name", { exact: true }).fill("team");
    await page.getByLabel("Value").fill("tide");
    await page.getByRole("button", { name: "Add tag" }).click();
    await page.getByText("2 tagged", { exact: true }).waitFor();
    const { TagSet } = await alice.send(new S3.GetObjectTaggingCommand({ Bucket: BUCKET, Key: "in/c.txt" }));
    same(TagSet.map((one) => `${one.Key}=${one.Value}`).sort(), ["kind=old", "team=tide"], "tags");
    await page.getByRole("button", { name: "Copy or move…" }).click();
    await page.getByLabel("Folder", { exact: true }).fill("out");
    await stage.shot(page, "copy-or-move");
    await stage.accessible(page);
    await page.getByRole("button", { name: "Go on" }).click();
    await page.getByText("3 copied", { exact: true }).waitFor();
    same(await keys("out/"), ["out/a & b.txt", "out/c.txt", "out/sub/d.txt"], "copied");
    await choose(page, "sub");
    await page.getByRole("button", { name: "Copy or move…" }).click();
    await page.getByLabel("Folder", { exact: true }).fill("moved/");
    await page.getByLabel(/^Move/).check();
    await page.getByRole("button", { name: "Go on" }).click();
    await page.getByText("1 moved", { exact: true }).waitFor();
    same([await keys("moved/"), await keys("in/")], [["moved/sub/d.txt"], ["in/a & b.txt", "in/c.txt"]], "moved");
    await stage.close(page);
  });

  await stage.check("what was deleted is shown and restored", async () => {
    await alice.send(new S3.DeleteObjectCommand({ Bucket: BUCKET, Key: "in/c.txt" }));
    const page = await stage.signedIn("alice");
    await page.goto(`${page.home}#/b/${BUCKET}?prefix=in/`);
    await page.getByLabel("Deleted").check();
    await page.getByRole("cell", { name: "deleted" }).waitFor();
    same(await page.getByRole("rowgroup").getByRole("link").allInnerTexts(), ["c.txt", "sub"], "what is deleted, and folders");
    await choose(page, "c.txt");
    await stage.shot(page, "deleted");
    await stage.accessible(page);
    await page.getByRole("button", { name: "Restore" }).click();
    await page.getByText("1 restored").waitFor();
    same(await keys("in/"), ["in/a & b.txt", "in/c.txt"], "restored");
    await stage.close(page);
  });

  await stage.check("a key for a while works, and is the tenant's", async () => {
    const page = await stage.signedIn("alice");
    await page.goto(`${page.home}#/temporary`);
    await page.getByRole("button", { name: "Make a key" }).click();
    const told = await page.locator("pre").innerText();
    const of = (name) => new RegExp(`^${name}=(.*)$`, "m").exec(told)?.[1];
    same(of("AWS_ENDPOINT_URL_S3"), DOORS.s3, "where");
    const credentials = { accessKeyId: of("AWS_ACCESS_KEY_ID"), secretAccessKey: of("AWS_SECRET_ACCESS_KEY"), sessionToken: of("AWS_SESSION_TOKEN") };
    const made = new S3.S3Client({ endpoint: DOORS.s3, region: "us-east-1", forcePathStyle: true, credentials });
    same((await made.send(new S3.ListBucketsCommand({}))).Buckets.some((one) => one.Name === BUCKET), true, "the key for a while");
    await stage.accessible(page);
    await stage.shot(page, "temporary");
    await stage.close(page);
  });
}
