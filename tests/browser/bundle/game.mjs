// A tenant's game: it loads its own data and model, and tries what would be another tenant's harm. Uploaded by the suite.

import * as THREE from "three";
import { GLTFLoader } from "./three/examples/jsm/loaders/GLTFLoader.js";

/** The name of the error, or "open". */
function attempt(what) {
  try {
    what();
    return "open";
  } catch (fault) {
    return fault.name;
  }
}

/** Another tenant's page under the same host: may its document be read? */
async function neighbour(src) {
  const frame = Object.assign(document.createElement("iframe"), { src, hidden: true, credentialless: true });
  const loaded = new Promise((done) => frame.addEventListener("load", done));
  document.body.append(frame);
  await loaded;
  return frame.contentDocument ? "open" : "closed";
}

const level = await (await fetch("level.json")).json();
const { scene } = await new GLTFLoader().loadAsync("square.glb");
const canvas = document.getElementById("canvas");
const renderer = new THREE.WebGLRenderer({ canvas, preserveDrawingBuffer: true });
const camera = new THREE.OrthographicCamera(-1, 1, 1, -1, 0.1, 10);
camera.position.z = 2;
renderer.render(new THREE.Scene().add(scene), camera);
const gl = renderer.getContext();
const corners = [[1, 3], [3, 3], [1, 1], [3, 1]].map(([x, y]) => {
  const pixel = new Uint8Array(4);
  gl.readPixels(x * 32, y * 32, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
  return [...pixel.subarray(0, 3)];
});

const report = {
  origin: self.origin,
  storage: attempt(() => localStorage.setItem("a", "b")),
  cookie: attempt(() => { document.cookie = "a=b"; }),
  level: level.name,
  neighbour: await neighbour(new URLSearchParams(location.search).get("neighbour")),
  corners,
};
document.getElementById("found").textContent = JSON.stringify(report);
globalThis.report = report;
