// What a file is, by its name and by what it is declared to be: the type it is uploaded under, and how it is shown.

const TYPES = {
  avif: "image/avif", bin: "application/octet-stream", css: "text/css", csv: "text/csv", exr: "image/x-exr", flac: "audio/flac", gif: "image/gif", glb: "model/gltf-binary",
  gltf: "model/gltf+json", glsl: "text/plain", hdr: "image/vnd.radiance", htm: "text/html", html: "text/html", ico: "image/x-icon", jpeg: "image/jpeg", jpg: "image/jpeg",
  js: "text/javascript", json: "application/json", ktx2: "image/ktx2", m4a: "audio/mp4", md: "text/markdown", mjs: "text/javascript", mov: "video/quicktime", mp3: "audio/mpeg",
  mp4: "video/mp4", ogg: "audio/ogg", opus: "audio/ogg", pdf: "application/pdf", png: "image/png", svg: "image/svg+xml", toml: "application/toml", txt: "text/plain",
  wasm: "application/wasm", wav: "audio/wav", webm: "video/webm", webp: "image/webp", xml: "application/xml", yaml: "application/yaml", yml: "application/yaml", zip: "application/zip",
};

const endOf = (name) => name.split("/").pop()?.split(".").pop()?.toLowerCase() ?? "";

/** @param {string} name @param {string} [said] what the browser says of the file */
export const typeOf = (name, said) => TYPES[endOf(name)] || said || "application/octet-stream";

/** Pictures that browsers don't know. */
const SPECIAL = { "image/vnd.radiance": "hdr", "image/x-exr": "exr", "image/aces": "exr", "image/ktx2": "ktx2" };

const TEXT = /^(text\/|application\/(json|xml|javascript|toml|yaml|x-ndjson|x-yaml|x-sh))|\+(json|xml)$/;

/** One of image, video, audio, model, hdr, exr, ktx2, pdf, text, none. */
export function showsAs(name, type = typeOf(name)) {
  const declared = type.split(";")[0].trim().toLowerCase();
  const kind = declared === "application/octet-stream" || declared === "binary/octet-stream" || !declared ? typeOf(name) : declared;
  if (kind === "model/gltf-binary" || kind === "model/gltf+json") return "model";
  const special = SPECIAL[kind];
  if (special) return special;
  if (/^image\/(png|jpeg|gif|webp|avif|svg\+xml|x-icon|bmp)$/.test(kind)) return "image";
  if (kind.startsWith("video/")) return "video";
  if (kind.startsWith("audio/")) return "audio";
  if (kind === "application/pdf") return "pdf";
  if (TEXT.test(kind)) return "text";
  return "none";
}

/** The picture that stands before a name. */
export function iconOf(entry) {
  if (entry.folder) return "folder";
  const shown = showsAs(entry.key);
  return { image: "image", hdr: "image", exr: "image", ktx2: "image", video: "video", audio: "audio", model: "cube", pdf: "page", text: "page" }[shown] ?? "file";
}
