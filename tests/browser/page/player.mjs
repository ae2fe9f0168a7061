// Runs in the browser: loads what it is told with three.js, draws it, and reads the pixels back. The suite calls `player.*`.

import * as THREE from "three";
import { DRACOLoader } from "three/addons/loaders/DRACOLoader.js";
import { EXRLoader } from "three/addons/loaders/EXRLoader.js";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { HDRLoader } from "three/addons/loaders/HDRLoader.js";
import { KTX2Loader } from "three/addons/loaders/KTX2Loader.js";

const canvas = document.getElementById("canvas");
const renderer = new THREE.WebGLRenderer({ canvas, preserveDrawingBuffer: true });
const camera = new THREE.OrthographicCamera(-1, 1, 1, -1, 0.1, 10);
camera.position.z = 2;

/** Draws and returns the colours in the middle of the four quadrants: top left, top right, bottom left, bottom right. */
function draw(object) {
  const scene = new THREE.Scene();
  scene.add(object);
  renderer.render(scene, camera);
  const gl = renderer.getContext();
  const { width, height } = canvas;
  return [[1, 3], [3, 3], [1, 1], [3, 1]].map(([x, y]) => {
    const pixel = new Uint8Array(4);
    gl.readPixels((x * width) / 4, (y * height) / 4, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
    return [...pixel.subarray(0, 3)];
  });
}

/** A texture on the square that fills the view. */
function poster(texture, exposure = 1) {
  const shape = new THREE.PlaneGeometry(2, 2);
  // Blocks can't be turned over when they are uploaded: the first row is at v = 0.
  if (texture.isCompressedTexture) shape.attributes.uv.array.forEach((v, n, all) => { if (n % 2) all[n] = 1 - v; });
  return new THREE.Mesh(shape, new THREE.MeshBasicMaterial({ map: texture, color: new THREE.Color(exposure, exposure, exposure), toneMapped: false }));
}

function gltfLoader({ draco, withCredentials }) {
  const loader = new GLTFLoader();
  if (draco) loader.setDRACOLoader(new DRACOLoader().setDecoderPath(draco));
  if (withCredentials) loader.setWithCredentials(true).setCrossOrigin("use-credentials");
  return loader;
}

const kinds = {
  gltf: async (url, options, progress) => (await gltfLoader(options).loadAsync(url, progress)).scene,
  texture: async (url) => {
    const texture = await new THREE.TextureLoader().loadAsync(url);
    texture.colorSpace = THREE.SRGBColorSpace;
    return poster(texture);
  },
  ktx2: async (url, { basis }, progress) => {
    const loader = new KTX2Loader().setTranscoderPath(basis).detectSupport(renderer);
    const texture = await loader.loadAsync(url, progress);
    loader.dispose();
    return poster(texture);
  },
  hdr: async (url, { exposure }, progress) => poster(await new HDRLoader().loadAsync(url, progress), exposure),
  exr: async (url, { exposure }, progress) => poster(await new EXRLoader().loadAsync(url, progress), exposure),
};

function tell(name, ...lines) {
  document.getElementById("name").textContent = name;
  document.getElementById("log").textContent = lines.join("\n");
}

/** Loads and shows one asset; returns its colours and every progress event of its main file. */
async function show(name, kind, url, options = {}) {
  const events = [];
  const object = await kinds[kind](url, options, ({ loaded, total, lengthComputable }) => events.push({ loaded, total, lengthComputable }));
  const corners = draw(object);
  const last = events.at(-1);
  tell(name, url, last ? `${last.loaded} of ${last.total} bytes in ${events.length} events` : "no progress events", `pixels ${JSON.stringify(corners)}`);
  return { corners, events };
}

/** The same for a GLB that is fetched in pieces, as a streaming player does. */
async function showRanged(name, url, piece) {
  const parts = [];
  let size = Infinity;
  for (let from = 0; from < size; from += piece) {
    const answer = await fetch(url, { headers: { range: `bytes=${from}-${from + piece - 1}` } });
    const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(answer.headers.get("content-range") ?? "") ?? [];
    const body = new Uint8Array(await answer.arrayBuffer());
    if (answer.status !== 206 || Number(first) !== from || body.length !== last - first + 1) {
      throw new Error(`piece at ${from}: status ${answer.status}, Content-Range ${answer.headers.get("content-range")}, ${body.length} bytes`);
    }
    parts.push(body);
    size = Number(total);
  }
  const whole = await new Blob(parts).arrayBuffer();
  const { scene } = await gltfLoader({}).parseAsync(whole, "");
  const corners = draw(scene);
  tell(name, url, `${whole.byteLength} bytes in ${parts.length} ranges`, `pixels ${JSON.stringify(corners)}`);
  return { corners, pieces: parts.length, size: whole.byteLength };
}

/** fetch, with what a script can see of the answer. A refusal by CORS is told as `blocked`. */
async function see(url, options) {
  let answer;
  try {
    answer = await fetch(url, options);
  } catch (fault) {
    return { blocked: String(fault) };
  }
  const body = new Uint8Array(await answer.arrayBuffer());
  const digest = body.length ? new Uint8Array(await crypto.subtle.digest("SHA-256", body)) : [];
  return {
    status: answer.status, type: answer.type, headers: Object.fromEntries(answer.headers), size: body.length,
    sha256: Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join(""),
    base64: body.length <= 4096 ? btoa(String.fromCharCode(...body)) : undefined,
  };
}

/** An element that loads without CORS, as pages were always written. Resolves with what it shows. */
function element(tag, attributes) {
  const made = Object.assign(document.createElement(tag), attributes);
  return new Promise((resolve, reject) => {
    const done = () => resolve({ width: made.naturalWidth, duration: made.duration });
    for (const event of ["load", "loadedmetadata"]) made.addEventListener(event, done);
    made.addEventListener("error", () => reject(new Error(`<${tag}> could not load ${attributes.src ?? attributes.href}`)));
    document.getElementById("stage").append(made);
  });
}

// A browser keeps the times of 250 requests, and of no more from then on.
performance.setResourceTimingBufferSize(10_000);

/** The browser's own times of a URL, oldest first. Another origin's are zero unless it allows them to be seen. */
function timings(url) {
  return performance.getEntriesByName(url).map(({ requestStart, responseStart, transferSize, encodedBodySize, decodedBodySize }) => (
    { requestStart, responseStart, transferSize, encodedBodySize, decodedBodySize }));
}

function clear(name) {
  document.getElementById("stage").replaceChildren();
  tell(name);
}

window.player = { show, showRanged, see, element, timings, clear, tell };
