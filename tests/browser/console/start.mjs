// The first minute: where the page is, what it weighs, signing in and out, the first bucket.

import { execFileSync } from "node:child_process";
import { join } from "node:path";

import { DOORS, KEYS, S3, s3As, same } from "./stage.mjs";

export async function start(stage) {
  await stage.check("the types of its scripts agree", async () => {
    const compiler = join(process.env.BROWSER_MODULES, "node_modules/.bin/tsc");
    try {
      execFileSync(compiler, ["-p", new URL("../../../console/jsconfig.json", import.meta.url).pathname], { encoding: "utf8", stdio: "pipe" });
    } catch (fault) {
      throw new Error(fault.stdout);
    }
  });

  await stage.check("a browser that opens either door is shown the console, and an S3 client is not", async () => {
    const page = await stage.page();
    for (const door of ["s3", "admin"]) {
      await page.goto(`${DOORS[door]}/`);
      same(page.url(), `${DOORS[door]}/-/console/`, door);
      await page.getByRole("button", { name: "Sign in" }).waitFor();
    }
    const plain = await fetch(`${DOORS.s3}/`, { redirect: "manual" });
    same([plain.status, plain.headers.get("content-type")], [403, "application/xml"], "an unsigned ListBuckets");
    await stage.close(page);
  });

  await stage.check("the page is under 200 KB, comes from here alone, and is not asked for twice", async () => {
    const page = await stage.page();
    const seen = [];
    const session = await page.context().newCDPSession(page);
    await session.send("Network.enable");
    let bytes = 0;
    session.on("Network.loadingFinished", (event) => { bytes += event.encodedDataLength; });
    session.on("Network.requestWillBeSent", (event) => seen.push(event.request.url));
    await page.goto(page.home);
    await page.getByRole("button", { name: "Sign in" }).waitFor();
    await page.waitForLoadState("networkidle");
    console.log(`     first paint: ${(bytes / 1000).toFixed(0)} KB in ${seen.length} requests`);
    if (bytes >= 200_000) throw new Error(`${bytes} bytes`);
    same(seen.filter((url) => !url.startsWith(DOORS.s3)), [], "requests to elsewhere");
    seen.length = 0;
    bytes = 0;
    await page.reload();
    await page.waitForLoadState("networkidle");
    if (bytes > 8000) throw new Error(`${bytes} bytes the second time`);
    await stage.close(page);
  });

  await stage.check("signing in says what is wrong with a key, keeps it in the tab alone, and signing out forgets it", async () => {
    const page = await stage.page();
    await page.goto(page.home);
    await stage.shot(page, "sign-in");
    await stage.accessible(page);
    await page.getByText("Where is my key?").click();
    await page.getByText("data/operator.key").waitFor();
    const tryKey = async (key, secret, words) => {
      await page.getByLabel("Access key").fill(key);
      await page.getByLabel("Secret key").fill(secret);
      await page.getByLabel("Secret key").press("Enter");
      await page.getByText(words).waitFor();
    };
    await tryKey("NOSUCHKEY", "whatever", "There is no such access key.");
    await tryKey(KEYS.alice[0], "wrong-secret", "The secret does not belong to this access key.");
    await tryKey(KEYS.alice[0], KEYS.alice[1], "No bucket yet");
    await stage.shot(page, "no-bucket");
    await stage.accessible(page);
    same(await page.evaluate(() => [Object.keys(sessionStorage), Object.keys(localStorage), document.cookie]), [["tidegate-key"], [], ""], "what is kept");
    await page.reload();
    await page.getByText("No bucket yet").waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("button", { name: "Sign in" }).waitFor();
    same(await page.evaluate(() => sessionStorage.length), 0, "after signing out");
    await stage.close(page);
  });

  await s3As("bob").send(new S3.CreateBucketCommand({ Bucket: "bob-private" }));
  await stage.check("making and deleting a bucket", async () => {
    const page = await stage.signedIn("alice");
    await page.getByRole("button", { name: "Make a bucket" }).click();
    await page.getByLabel("Name").fill("alice-first");
    await page.getByRole("button", { name: "Make bucket" }).click();
    await page.getByText("This bucket is empty").waitFor();
    await stage.shot(page, "empty-bucket");
    await stage.accessible(page);
    await page.getByRole("link", { name: "Buckets" }).first().click();
    await page.getByRole("link", { name: "alice-first" }).waitFor();
    await page.getByRole("button", { name: "Make a bucket" }).click();
    await page.getByLabel("Name").fill("bob-private");
    await page.getByRole("button", { name: "Make bucket" }).click();
    await page.getByRole("alert").filter({ hasText: "BucketAlreadyExists" }).waitFor();
    await stage.shot(page, "dialog-refused");
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("button", { name: "More for alice-first" }).click();
    await page.getByRole("menuitem", { name: "Delete…" }).click();
    await page.getByRole("button", { name: "Delete bucket" }).click();
    await page.getByText("No bucket yet").waitFor();
    await stage.close(page);
  });

  await stage.check("a tenant sees nothing of another", async () => {
    const alice = await stage.signedIn("alice");
    await alice.getByText("No bucket yet").waitFor();
    same(await alice.getByText("bob-private").count(), 0, "the bucket of another");
    await alice.goto(`${alice.home}#/b/bob-private`);
    await alice.getByText("This key may not see it").waitFor();
    await stage.shot(alice, "refused");
    same(await alice.getByText("Operator").count(), 0, "the operator's views");
    await stage.close(alice);
  });
}
