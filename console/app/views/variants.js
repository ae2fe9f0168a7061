// The smaller forms that the gateway made of a model: what each costs and how alike it looks; making them, and seeing two at once.

import { h } from "../lib/dom.js";
import { bytes, number } from "../lib/format.js";
import { api, Refused } from "../lib/http.js";
import { placeOf } from "../lib/router.js";
import { encodePath } from "../lib/sigv4.js";
import { button } from "../ui/button.js";
import { checkbox, dialog, field, input } from "../ui/dialog.js";
import { badge, empty, facts, later } from "../ui/parts.js";
import { toast } from "../ui/toast.js";
import { asset } from "./asset.js";
import { compare } from "./compare.js";
import { whyNot } from "./frame.js";

/** Each with what is chosen at first. @type {[string, string, boolean][]} */
const STEPS = [
  ["lossless", "Without loss: what is there twice is shared, and what nothing leads to is gone", true],
  ["draco", "Draco: geometry in a fraction of its bytes, proved to look alike", true],
  ["meshopt", "Meshopt: geometry and animations packed, and unpacked far quicker than Draco", false],
  ["ktx2", "KTX2: textures that stay small in a graphics card", false],
  ["lod1", "A level of detail with about half of the triangles", false],
  ["lod2", "One with about a quarter", false],
  ["lod3", "One with about a tenth", false],
  ["poster", "Poster: a picture of it", true],
];
const PATIENCE = "20s";
/** A model of gigabytes takes minutes. */
const MOST_LOOKS = 60;

export function variantsOf(bucket, key, changed) {
  const place = h("div");
  const load = () => place.replaceChildren(later(() => list(bucket, key, () => { changed(); load(); })));
  load();
  return place;
}

/** What is known of each form, the source first. */
export const formsOf = ({ size, inspection, renditions }) => [
  { variant: "", name: "Original", size, triangles: renditions?.source.triangles ?? inspection?.facts?.triangles, gpu_bytes: renditions?.source.gpu_bytes },
  ...(renditions?.sources ?? []).map((one) => ({ ...one, name: one.variant })),
];

async function list(bucket, key, changed) {
  const found = await asset(bucket, key, true);
  const make = button(found.renditions ? "Make others…" : "Make smaller…", () => optimize(bucket, key, changed), { kind: found.renditions ? "" : "primary", icon: "cube" });
  if (!found.renditions) {
    return empty("cube", "No variants yet", "The gateway can make smaller forms of this model, prove that they look alike, and draw a poster. They lie beside it and open by ?variant=.", make);
  }
  const forms = formsOf(found);
  const models = forms.filter((form) => !form.mime?.startsWith("image/"));
  const why = whyNot("variants beside each other", Math.max(...models.map((form) => form.size)));
  const { refused, skipped } = found.renditions;
  return h("div", null,
    h("ul.forms", null, forms.map((form) => h("li", null, formFacts(bucket, key, form, found.size)))),
    h("div.actions.left", null, models.length > 1 && !why && button("Compare…", () => compare({ bucket, key, forms: models }), { kind: "primary", icon: "eye" }), make),
    models.length > 1 && why && h("p.hint", null, why),
    (refused?.length > 0 || skipped?.length > 0) && h("section.block", null, h("h3", null, "Not made"), facts([
      ...(refused ?? []).map((one) => [one.variant, `${bytes(one.size)}: it looked different, ${one.looks.psnr.toFixed(1)} dB, SSIM ${one.looks.ssim.toFixed(3)}`]),
      ...(skipped ?? []).map((one) => [one.step, `${one.what}: ${one.why}`]),
    ])));
}

function formFacts(bucket, key, form, whole) {
  const less = form.variant && !form.mime?.startsWith("image/") ? 1 - form.size / whole : 0;
  const href = form.key && placeOf(bucket, { prefix: form.key.slice(0, form.key.lastIndexOf("/") + 1), object: form.key });
  return [
    h("h3", null, href ? h("a", { href }, form.name) : form.name, less > 0.0005 && badge(`${(less * 100).toFixed(1)} % less`, "good")),
    facts([
      ["Bytes", bytes(form.size)],
      form.triangles !== undefined && form.triangles !== null && ["Triangles", number(form.triangles)],
      form.gpu_bytes !== undefined && form.gpu_bytes !== null && ["On the GPU", bytes(form.gpu_bytes)],
      form.width && ["Pixels", `${form.width} × ${form.height}`],
      form.psnr !== undefined && ["Likeness", `${form.psnr.toFixed(1)} dB, SSIM ${form.ssim.toFixed(4)}`],
    ]),
  ];
}

function optimize(bucket, key, changed) {
  const steps = STEPS.map(([name, text, isUsual]) => ({ name, ...checkbox(text, isUsual) }));
  const psnr = input({ type: "number", min: 0, max: 99, step: 0.5, value: 45 });
  return dialog({
    title: "Make smaller forms",
    action: "Make them",
    content: [h("fieldset.field.stacked", null, h("legend", null, "Results"), steps.map((one) => one.element)), field("At least as alike as, in dB", psnr, "From the side from which it differs most. 45 dB is far less than an eye sees; what is less alike is not used.")],
    act: async () => {
      const wanted = steps.filter((one) => one.box.checked).map((one) => one.name);
      if (!wanted.length) throw new Error("Choose a result.");
      const { job } = await api(`assets/${bucket}/${encodePath(key)}:optimize`, { json: { steps: wanted, psnr: Number(psnr.value) } });
      follow(job, changed);
      toast("It is being made: see Jobs");
    },
  });
}

/** Tells when the job has ended; it goes on by itself. */
async function follow(id, changed) {
  for (let look = 0; look < MOST_LOOKS; look += 1) {
    let job;
    try {
      job = await api(`jobs/${id}`, { query: { wait: PATIENCE } });
    } catch (fault) {
      // Out of reach or busy for a while: the job goes on meanwhile.
      if (!(fault instanceof Refused) || (fault.status !== 0 && fault.status !== 429 && fault.status < 500)) return;
      await new Promise((resolve) => setTimeout(resolve, Math.min(500 * 2 ** look, 20_000)));
      continue;
    }
    if (job.state === "done") {
      toast("The variants are made");
      changed();
      return;
    }
    if (job.state === "dead" || job.state === "cancelled") {
      toast(job.reason ?? "It was cancelled", { kind: "bad", detail: job.kind });
      return;
    }
  }
}
