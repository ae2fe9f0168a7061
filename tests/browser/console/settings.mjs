// The settings of a bucket: each is stored as S3 has it, and what S3 refuses is shown.

import { S3, s3As, same } from "./stage.mjs";

export async function settings(stage) {
  const alice = s3As("alice");
  const Bucket = "alice-settings";
  await alice.send(new S3.CreateBucketCommand({ Bucket }));
  const visit = async (tab) => {
    const page = await stage.signedIn("alice");
    await page.goto(`${page.home}#/settings/${Bucket}?tab=${tab}`);
    return page;
  };

  await stage.check("versioning", async () => {
    const page = await visit("general");
    await page.getByRole("button", { name: "Keep versions" }).click();
    await page.getByText("Versions are kept from now on").waitFor();
    same((await alice.send(new S3.GetBucketVersioningCommand({ Bucket }))).Status, "Enabled", "stored");
    await page.getByRole("button", { name: "Keep no further versions" }).waitFor();
    await stage.shot(page, "settings");
    await stage.accessible(page);
    await stage.close(page);
  });

  await stage.check("a policy is checked while it is written, and by the gateway", async () => {
    const page = await visit("policy");
    const editor = page.getByRole("textbox", { name: "Policy" });
    await editor.fill('{"Statement": [{"Effect": "Allow"}]}');
    await page.getByText("Statement 1 has no Principal.").waitFor();
    await editor.fill("{");
    await page.getByText("It is not JSON").waitFor();
    await editor.fill(JSON.stringify({ Version: "2012-10-17", Statement: [{ Effect: "Allow", Principal: "*", Action: "s3:NoSuchThing", Resource: "arn:aws:s3:::elsewhere/*" }] }));
    await page.getByRole("button", { name: "Save policy" }).click();
    await page.locator(".toast.bad", { hasText: "MalformedPolicy" }).waitFor();
    await stage.shot(page, "policy-refused");
    await page.getByRole("button", { name: "Anyone may read", exact: true }).click();
    await page.getByRole("button", { name: "Save policy" }).click();
    await page.getByText("The policy is saved").waitFor();
    await stage.shot(page, "policy");
    await stage.accessible(page);
    await alice.send(new S3.PutObjectCommand({ Bucket, Key: "open.txt", Body: "open" }));
    await page.goto(`${page.home}#/b/${Bucket}?object=open.txt`);
    await page.getByRole("tab", { name: "Share" }).click();
    await page.getByText("Anyone may read it.").waitFor();
    await page.goto(`${page.home}#/settings/${Bucket}?tab=access`);
    await page.getByText("public by its policy").waitFor();
    await stage.shot(page, "public-access");
    await page.goto(`${page.home}#/settings/${Bucket}?tab=policy`);
    await page.getByRole("button", { name: "Take it away" }).click();
    await page.getByText("The policy is gone").waitFor();
    await stage.close(page);
  });

  await stage.check("public access and ownership", async () => {
    const page = await visit("access");
    await page.getByLabel("Refuse policies that would let anyone in").check();
    await page.getByRole("button", { name: "Save" }).first().click();
    await page.getByText("Public access is saved").waitFor();
    const { PublicAccessBlockConfiguration: now } = await alice.send(new S3.GetPublicAccessBlockCommand({ Bucket }));
    same([now.BlockPublicPolicy, now.BlockPublicAcls], [true, false], "stored");
    await stage.close(page);
  });

  await stage.check("CORS rules", async () => {
    const page = await visit("cors");
    await page.getByRole("button", { name: "Add a rule" }).click();
    await page.getByLabel("Origins").fill("https://*.*.example.com");
    await page.getByRole("button", { name: "Save rule" }).click();
    await page.getByRole("dialog").getByRole("alert").waitFor();
    await stage.shot(page, "cors-refused");
    await page.getByLabel("Origins").fill("https://app.example.com");
    await page.getByLabel("PUT").check();
    await page.getByRole("button", { name: "Save rule" }).click();
    await page.getByText("CORS: saved").waitFor();
    const { CORSRules } = await alice.send(new S3.GetBucketCorsCommand({ Bucket }));
    const made = CORSRules.find((rule) => rule.AllowedOrigins[0] === "https://app.example.com");
    same(made.AllowedMethods, ["GET", "HEAD", "PUT"], "stored");
    await stage.shot(page, "cors");
    await stage.accessible(page);
    await stage.close(page);
  });

  await stage.check("lifecycle rules, and one that the form can't show", async () => {
    await alice.send(new S3.PutBucketLifecycleConfigurationCommand({ Bucket, LifecycleConfiguration: { Rules: [
      { ID: "sized", Status: "Enabled", Filter: { And: { Prefix: "logs/", ObjectSizeGreaterThan: 1024 } }, Expiration: { Days: 7 } }] } }));
    const page = await visit("lifecycle");
    await page.getByText("more than the form shows").waitFor();
    await page.getByRole("button", { name: "Add a rule" }).click();
    await page.getByLabel("Name").fill("drafts");
    await page.getByLabel("Keys that begin with").fill("drafts/");
    await page.getByRole("button", { name: "Save rule" }).click();
    await page.getByText("Say what the rule does").waitFor();
    await page.getByLabel("Delete after days").fill("30");
    await page.getByLabel("Abort unfinished uploads after days").fill("2");
    await page.getByRole("button", { name: "Save rule" }).click();
    await page.getByText("below drafts/ · deleted after 30 days · unfinished uploads after 2 days").waitFor();
    const { Rules } = await alice.send(new S3.GetBucketLifecycleConfigurationCommand({ Bucket }));
    same([Rules[0].Filter.And.ObjectSizeGreaterThan, Rules[1].Expiration.Days, Rules[1].AbortIncompleteMultipartUpload.DaysAfterInitiation], [1024, 30, 2], "stored");
    await page.getByRole("button", { name: "Edit" }).first().click();
    const editor = page.getByRole("textbox", { name: "Rule" });
    await editor.fill((await editor.inputValue()).replace("<Days>7</Days>", "<Days>9</Days>"));
    await page.getByRole("button", { name: "Save rule" }).click();
    await page.getByText("Lifecycle: saved").last().waitFor();
    await stage.shot(page, "lifecycle");
    await stage.accessible(page);
    await page.waitForFunction(() => !document.querySelector("dialog"));
    const changed = (await alice.send(new S3.GetBucketLifecycleConfigurationCommand({ Bucket }))).Rules[0];
    same([changed.Expiration.Days, changed.Filter.And.Prefix], [9, "logs/"], "stored");
    await stage.close(page);
  });

  await stage.check("object lock, on the bucket and on a version", async () => {
    const locked = "alice-locked";
    const page = await stage.signedIn("alice");
    await page.getByRole("button", { name: "Make a bucket" }).click();
    await page.getByLabel("Name").fill(locked);
    await page.getByLabel(/Object lock/).check();
    await page.getByRole("button", { name: "Make bucket" }).click();
    await page.getByText("This bucket is empty").waitFor();
    await alice.send(new S3.PutObjectCommand({ Bucket: locked, Key: "kept.txt", Body: "kept" }));
    await page.goto(`${page.home}#/b/${locked}?object=kept.txt`);
    await page.getByRole("tab", { name: "Details" }).click();
    await page.getByRole("button", { name: "Change the lock…" }).click();
    await page.getByLabel(/Legal hold/).check();
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("The lock is saved").waitFor();
    same((await alice.send(new S3.GetObjectLegalHoldCommand({ Bucket: locked, Key: "kept.txt" }))).LegalHold.Status, "ON", "stored");
    await page.goto(`${page.home}#/settings/${locked}`);
    await page.getByText("Object lock needs it, so it stays on.").waitFor();
    await stage.close(page);
  });

  await stage.check("events and tags of a bucket", async () => {
    const page = await visit("events");
    await page.getByRole("button", { name: "An example" }).click();
    await page.getByRole("button", { name: "Save" }).click();
    // There is no webhook of that name: the gateway says so.
    await page.locator(".toast.bad", { hasText: "InvalidArgument" }).waitFor();
    await page.goto(`${page.home}#/settings/${Bucket}?tab=tags`);
    await page.getByLabel("Name of the tag").fill("team");
    await page.getByLabel("Value of the tag").fill("tide");
    await page.getByRole("button", { name: "Save tags" }).click();
    await page.getByText("Tags are saved").waitFor();
    same((await alice.send(new S3.GetBucketTaggingCommand({ Bucket }))).TagSet, [{ Key: "team", Value: "tide" }], "stored");
    await stage.close(page);
  });
}
