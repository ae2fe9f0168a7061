// The console in a real Chromium against a real gateway: every feature as its users do it, and what must never happen. Run by suite.py.
//
// Screenshots stay in TEST_SHOTS/console, or console-over-s3: they are the product's face.

import { rmSync, mkdirSync } from "node:fs";

import { Stage } from "./console/stage.mjs";
import { many } from "./console/many.mjs";
import { models } from "./console/models.mjs";
import { objects } from "./console/objects.mjs";
import { operator } from "./console/operator.mjs";
import { lists, scale } from "./console/scale.mjs";
import { security } from "./console/security.mjs";
import { settings } from "./console/settings.mjs";
import { start } from "./console/start.mjs";
import { work } from "./console/work.mjs";

const shots = `${process.env.TEST_SHOTS}/console${process.env.TEST_OVER ? "-over-s3" : ""}`;
rmSync(shots, { recursive: true, force: true });
mkdirSync(shots, { recursive: true });
// They wait for the gateway most of their time, so two go on at once; each has a browser, since what draws models draws everything of one.
const stages = [await Stage.begin(shots), await Stage.begin(shots)];
const after = async (stage, ...parts) => {
  for (const part of parts) await part(stage);
};
await after(stages[0], start);
await Promise.all([after(stages[0], objects, many, work, operator), after(stages[1], settings, models, security, lists)]);
await after(stages[0], scale);
for (const stage of stages) await stage.end();
process.exit(stages.some((stage) => stage.failed) ? 1 : 0);
