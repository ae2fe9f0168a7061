// The things a platform would have made: small, the same in every run, and with colours that a reader can check.
//
// Every picture has four quadrants of one colour each. glTF, PNG and KTX2 hold them as sRGB bytes; HDR and EXR hold linear light, some of it
// brighter than a screen, which the page shows at a quarter. Draco and Basis are made by their own encoders, the other formats by hand.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { deflateSync } from "node:zlib";

const modules = process.env.BROWSER_MODULES;
const load = createRequire(`${modules}/package.json`);

/** Top left, top right, bottom left, bottom right. */
export const COLOURS = [[220, 40, 40], [40, 200, 60], [50, 80, 220], [240, 210, 40]];
/** Linear light of the same corners: exact in RGBE and in half floats. Divided by four it is what a screen shows. */
export const LIGHT = [[4, 0.25, 0.25], [0.25, 2, 0.25], [0.5, 0.5, 4], [4, 2, 0.125]];
export const EXPOSURE = 0.25;

/** What a screen shows of linear light: the sRGB transfer function. */
export const shown = LIGHT.map((corner) => corner.map((value) => {
  const linear = Math.min(1, value * EXPOSURE);
  return Math.round(255 * (linear <= 0.0031308 ? linear * 12.92 : 1.055 * linear ** (1 / 2.4) - 0.055));
}));

const quadrant = (x, y, size) => (y < size / 2 ? 0 : 2) + (x < size / 2 ? 0 : 1);

/** RGBA bytes of the picture. */
function rgba(size) {
  const data = new Uint8Array(size * size * 4);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) data.set([...COLOURS[quadrant(x, y, size)], 255], 4 * (y * size + x));
  }
  return data;
}

function crc32(data) {
  let crc = ~0;
  for (const byte of data) {
    crc ^= byte;
    for (let n = 0; n < 8; n++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

export function png(size) {
  const chunk = (type, data) => {
    const out = Buffer.alloc(12 + data.length);
    out.writeUInt32BE(data.length, 0);
    out.write(type, 4, "latin1");
    out.set(data, 8);
    out.writeUInt32BE(crc32(out.subarray(4, 8 + data.length)), 8 + data.length);
    return out;
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(size, 0);
  head.writeUInt32BE(size, 4);
  head.set([8, 6], 8); // eight bits, RGBA
  const pixels = Buffer.from(rgba(size));
  const rows = Array.from({ length: size }, (_, y) => Buffer.concat([Buffer.from([0]), pixels.subarray(y * size * 4, (y + 1) * size * 4)]));
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", head), chunk("IDAT", deflateSync(Buffer.concat(rows))), chunk("IEND", Buffer.alloc(0))]);
}

/** A square in front of the camera, divided into `cells` by `cells`: positions, texture coordinates and indices in one buffer. */
function square(cells) {
  const side = cells + 1;
  const floats = new Float32Array(side * side * 5);
  for (let n = 0; n < side * side; n++) {
    const [u, v] = [(n % side) / cells, Math.floor(n / side) / cells];
    floats.set([u * 2 - 1, 1 - v * 2, 0], n * 3);
    floats.set([u, v], side * side * 3 + n * 2);
  }
  const indices = new Uint32Array(cells * cells * 6);
  for (let n = 0; n < cells * cells; n++) {
    const a = Math.floor(n / cells) * side + (n % cells);
    indices.set([a, a + side, a + 1, a + 1, a + side, a + side + 1], n * 6);
  }
  return { side, buffer: Buffer.concat([Buffer.from(floats.buffer), Buffer.from(indices.buffer)]), points: side * side, indices: indices.length };
}

/** The glTF document of a textured, unlit square: what is drawn is exactly the texture. */
function gltf(shape, buffer, image, views = []) {
  const at = [0, shape.points * 12, shape.points * 20];
  return {
    asset: { version: "2.0", generator: "tidegate tests" },
    extensionsUsed: ["KHR_materials_unlit"],
    scene: 0,
    scenes: [{ nodes: [0] }],
    nodes: [{ mesh: 0 }],
    meshes: [{ primitives: [{ attributes: { POSITION: 0, TEXCOORD_0: 1 }, indices: 2, material: 0 }] }],
    materials: [{ pbrMetallicRoughness: { baseColorTexture: { index: 0 } }, extensions: { KHR_materials_unlit: {} } }],
    textures: [{ source: 0, sampler: 0 }],
    samplers: [{ magFilter: 9728, minFilter: 9728 }],
    images: [image],
    accessors: [
      { bufferView: 0, componentType: 5126, count: shape.points, type: "VEC3", min: [-1, -1, 0], max: [1, 1, 0] },
      { bufferView: 1, componentType: 5126, count: shape.points, type: "VEC2" },
      { bufferView: 2, componentType: 5125, count: shape.indices, type: "SCALAR" },
    ],
    bufferViews: [
      { buffer: 0, byteOffset: at[0], byteLength: shape.points * 12, target: 34962 },
      { buffer: 0, byteOffset: at[1], byteLength: shape.points * 8, target: 34962 },
      { buffer: 0, byteOffset: at[2], byteLength: shape.indices * 4, target: 34963 },
      ...views,
    ],
    buffers: [buffer],
  };
}

export function glb(cells) {
  const shape = square(cells);
  const picture = png(64);
  const bin = Buffer.concat([shape.buffer, picture, Buffer.alloc(-picture.length & 3)]);
  const view = { buffer: 0, byteOffset: shape.buffer.length, byteLength: picture.length };
  let json = JSON.stringify(gltf(shape, { byteLength: bin.length }, { bufferView: 3, mimeType: "image/png" }, [view]));
  json += " ".repeat(-json.length & 3);
  const head = Buffer.alloc(20);
  head.write("glTF", 0, "latin1");
  for (const [n, value] of [2, 28 + json.length + bin.length, json.length, 0x4e4f534a].entries()) head.writeUInt32LE(value, 4 + 4 * n);
  const second = Buffer.alloc(8);
  second.writeUInt32LE(bin.length, 0);
  second.writeUInt32LE(0x004e4942, 4);
  return Buffer.concat([head, Buffer.from(json), second, bin]);
}

/** The same in three files that name each other, as authoring tools write it. */
export function separate(cells) {
  const shape = square(cells);
  const document = gltf(shape, { uri: "geometry/square.bin", byteLength: shape.buffer.length }, { uri: "textures/base%20colour.png" });
  return { "scene.gltf": Buffer.from(JSON.stringify(document, null, 2)), "geometry/square.bin": shape.buffer, "textures/base colour.png": png(64) };
}

export async function draco(cells) {
  const { NodeIO } = load("@gltf-transform/core");
  const { KHRDracoMeshCompression, KHRMaterialsUnlit } = load("@gltf-transform/extensions");
  const coder = load("draco3dgltf");
  const io = new NodeIO().registerExtensions([KHRDracoMeshCompression, KHRMaterialsUnlit]).registerDependencies({
    "draco3d.encoder": await coder.createEncoderModule(), "draco3d.decoder": await coder.createDecoderModule(),
  });
  const document = await io.readBinary(glb(cells));
  document.createExtension(KHRDracoMeshCompression).setRequired(true);
  return Buffer.from(await io.writeBinary(document));
}

/** Basis Universal in KTX2: ETC1S, or UASTC with zstd around it. */
export async function ktx2(size, isUASTC) {
  const { encodeToKTX2 } = await import(pathToFileURL(`${modules}/node_modules/ktx2-encoder/dist/node/index.js`));
  const picture = { data: rgba(size), width: size, height: size };
  const say = console.log; // the encoder tells of each step there
  console.log = () => {};
  try {
    return Buffer.from(await encodeToKTX2(new Uint8Array(), {
      isUASTC, generateMipmap: false, needSupercompression: true, qualityLevel: 255, imageDecoder: async () => picture,
    }));
  } finally {
    console.log = say;
  }
}

/** Radiance RGBE, without run lengths. */
export function hdr(size) {
  const pixels = Buffer.alloc(size * size * 4);
  for (let n = 0; n < size * size; n++) {
    const light = LIGHT[quadrant(n % size, Math.floor(n / size), size)];
    const exponent = Math.floor(Math.log2(Math.max(...light))) + 1;
    pixels.set([...light.map((value) => Math.round(value * 2 ** (8 - exponent))), exponent + 128], n * 4);
  }
  return Buffer.concat([Buffer.from(`#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y ${size} +X ${size}\n`), pixels]);
}

/** OpenEXR: one part, scan lines, half floats, not compressed. */
export function exr(size) {
  const ints = (...values) => Buffer.from(new Int32Array(values).buffer);
  const floats = (...values) => Buffer.from(new Float32Array(values).buffer);
  const attribute = (name, type, value) => Buffer.concat([Buffer.from(`${name}\0${type}\0`), ints(value.length), value]);
  const channels = ["B", "G", "R"]; // by name, as the format wants
  const list = channels.map((name) => Buffer.concat([Buffer.from(`${name}\0`), ints(1, 0, 1, 1)])); // 1: half
  const head = Buffer.concat([
    Buffer.from([0x76, 0x2f, 0x31, 0x01]), ints(2),
    attribute("channels", "chlist", Buffer.concat([...list, Buffer.from([0])])),
    attribute("compression", "compression", Buffer.from([0])),
    attribute("dataWindow", "box2i", ints(0, 0, size - 1, size - 1)),
    attribute("displayWindow", "box2i", ints(0, 0, size - 1, size - 1)),
    attribute("lineOrder", "lineOrder", Buffer.from([0])),
    attribute("pixelAspectRatio", "float", floats(1)),
    attribute("screenWindowCenter", "v2f", floats(0, 0)),
    attribute("screenWindowWidth", "float", floats(1)),
    Buffer.from([0]),
  ]);
  const line = 8 + size * 2 * channels.length;
  const offsets = Buffer.alloc(size * 8);
  const lines = [];
  for (let y = 0; y < size; y++) {
    offsets.writeBigUInt64LE(BigInt(head.length + offsets.length + y * line), y * 8);
    const halves = channels.flatMap((name) => Array.from({ length: size }, (_, x) => half(LIGHT[quadrant(x, y, size)]["RGB".indexOf(name)])));
    lines.push(ints(y, line - 8), Buffer.from(new Uint16Array(halves).buffer));
  }
  return Buffer.concat([head, offsets, ...lines]);
}

/** A power of two as a half float: LIGHT holds no others. */
function half(value) {
  const exponent = Math.log2(value);
  if (!Number.isInteger(exponent) || Math.abs(exponent) > 14) throw new Error(`${value} is no power of two`);
  return (exponent + 15) << 10;
}

/** One second of silence, for the <audio> element, which reads by ranges. */
export function wav() {
  const rate = 8000;
  const head = Buffer.alloc(44);
  head.write("RIFF", 0, "latin1");
  head.writeUInt32LE(36 + rate, 4);
  head.write("WAVEfmt ", 8, "latin1");
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20);
  head.writeUInt16LE(1, 22);
  head.writeUInt32LE(rate, 24);
  head.writeUInt32LE(rate, 28);
  head.writeUInt16LE(1, 32);
  head.writeUInt16LE(8, 34);
  head.write("data", 36, "latin1");
  head.writeUInt32LE(rate, 40);
  return Buffer.concat([head, Buffer.alloc(rate, 128)]);
}
