// A browser, pages that are signed in, and what is asked of each of them: no error, no breach of its policy, nothing that axe finds.

import { AsyncLocalStorage } from "node:async_hooks";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const env = process.env;
const modules = createRequire(`${env.BROWSER_MODULES}/package.json`);
const { chromium } = modules("playwright-core");
const client = createRequire(`${env.JS_MODULES}/package.json`);
export const S3 = client("@aws-sdk/client-s3");

const FLAGS = ["--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-precise-memory-info"];

export const KEYS = {
  alice: [env.TEST_KEY, env.TEST_SECRET],
  bob: [env.TEST_OTHER_KEY, env.TEST_OTHER_SECRET],
  operator: [env.TEST_ROOT_KEY, env.TEST_ROOT_SECRET],
};
export const DOORS = { s3: env.TEST_ENDPOINT, admin: env.TEST_ADMIN };
export const isOverS3 = Boolean(env.TEST_OVER);

export const s3As = (who) => new S3.S3Client({ endpoint: DOORS.s3, region: "us-east-1", forcePathStyle: true, credentials: { accessKeyId: KEYS[who][0], secretAccessKey: KEYS[who][1] } });

export function same(got, want, what) {
  const [a, b] = [got, want].map((value) => JSON.stringify(value));
  if (a === b) return;
  const fault = new Error(`${what}: got ${a?.slice(0, 300)}, want ${b?.slice(0, 300)}`);
  Error.captureStackTrace(fault, same);
  throw fault;
}

/** CONSOLE_SOURCES=console/app: while working on the page, its files as they are on the disk, over a gateway that was built before. */
async function fromDisk(route) {
  const name = new URL(route.request().url()).pathname.split("/-/console/")[1].slice(17);
  const contentType = { js: "text/javascript", css: "text/css", svg: "image/svg+xml" }[name.split(".").pop()];
  await route.fulfill({ contentType, body: readFileSync(join(env.CONSOLE_SOURCES, name)) });
}

/** What is shown in a check, so that several can go on at once. */
const checks = new AsyncLocalStorage();

export class Stage {
  static async begin(shots) {
    const stage = new Stage();
    stage.shots = shots;
    stage.failed = 0;
    stage.work = env.TEST_WORK;
    stage.browser = await chromium.launch({ executablePath: env.CHROMIUM_PROGRAM, args: FLAGS });
    stage.axe = readFileSync(modules.resolve("axe-core/axe.min.js"), "utf8");
    return stage;
  }

  async check(name, body) {
    if (!(env.CONSOLE_ONLY ?? "").split(",").some((part) => name.includes(part))) return;
    const begun = Date.now();
    const pages = [];
    try {
      await checks.run(pages, body);
      console.log(`ok   console: ${name} (${((Date.now() - begun) / 1000).toFixed(1)} s)`);
    } catch (fault) {
      this.failed += 1;
      const at = /console\/(\w+\.mjs:\d+)/.exec(fault.stack ?? "")?.[1];
      console.log(`FAIL console: ${name}: ${String(fault.message).replace(/\s+/g, " ").slice(0, 900)} (${at})`);
      await pages.at(-1)?.screenshot({ path: join(this.shots, `FAIL-${name.replace(/\W+/g, "-").slice(0, 60)}.png`) }).catch(() => {});
    }
    for (const page of pages) await page.context().close().catch(() => {});
  }

  /** A page of its own tab and storage. */
  async page({ door = "s3", width = 1280, height = 820, scheme = "light", permissions = ["clipboard-read", "clipboard-write"] } = {}) {
    const context = await this.browser.newContext({ viewport: { width, height }, colorScheme: scheme, permissions, acceptDownloads: true });
    if (env.CONSOLE_SOURCES) await context.route(/\/-\/console\/[0-9a-f]{16}\//, fromDisk);
    const page = await context.newPage();
    page.faults = [];
    page.on("pageerror", (fault) => page.faults.push(`script: ${fault.message}`));
    page.on("console", (message) => {
      const text = message.text();
      // The browser tells of every answer that is no 200; the page asks on purpose whether something is set.
      if (message.type() === "error" && !text.startsWith("Failed to load resource")) page.faults.push(text);
    });
    page.setDefaultTimeout(30_000);
    await page.addInitScript(() => {
      globalThis.breaches = [];
      document.addEventListener("securitypolicyviolation", (event) => globalThis.breaches.push(`${event.violatedDirective} ${event.blockedURI}`));
    });
    page.home = `${DOORS[door]}/-/console/`;
    checks.getStore()?.push(page);
    return page;
  }

  /** Signed in already, as a tab is that was loaded again. */
  async signedIn(who, options) {
    const page = await this.page(options);
    const [key, secret] = KEYS[who];
    const kept = JSON.stringify({ key, secret, region: "us-east-1", tenant: who, isOperator: who === "operator" });
    // Frames of the viewer have no storage.
    await page.addInitScript((text) => { if (location.pathname.endsWith("/-/console/")) sessionStorage.setItem("tidegate-key", text); }, kept);
    await page.goto(page.home);
    await page.getByRole("navigation", { name: "Main" }).waitFor();
    return page;
  }

  async shot(page, name) {
    mkdirSync(this.shots, { recursive: true });
    await page.evaluate(() => Promise.all(document.getAnimations().filter((a) => a.effect?.getTiming().iterations !== Infinity).map((a) => a.finished.catch(() => {}))));
    await page.screenshot({ path: join(this.shots, `${name}.png`) });
  }

  /** WCAG A and AA, as far as a program can tell. */
  async accessible(page) {
    // Through the debugger: the page's own policy lets in no script.
    await page.evaluate(`${this.axe}; 0`);
    const found = await page.evaluate(async () => {
      const { violations } = await globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] });
      return violations.map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 140)} ${node.any[0]?.message ?? ""}`).join(" | ")}`);
    });
    same(found, [], "axe");
  }

  /** Nothing of the page went wrong; then it is closed. */
  async close(page) {
    const breaches = await page.evaluate(() => globalThis.breaches);
    same(breaches, [], "breaches of the page's policy");
    same(page.faults, [], "errors of the page");
    await page.context().close();
  }

  async end() {
    await this.browser.close();
  }
}
