// Pictures of more light than a screen has, and of textures for GPUs: HDR, EXR, KTX2. Flat, as they lie in the file, with an exposure.

import {
  DoubleSide, EquirectangularReflectionMapping, LinearFilter, Mesh, MeshBasicMaterial, NeutralToneMapping, NoToneMapping, OrthographicCamera, PerspectiveCamera,
  PlaneGeometry, SRGBColorSpace, Scene, WebGLRenderer,
} from "three";
import { EXRLoader } from "three/addons/loaders/EXRLoader.js";
import { HDRLoader } from "three/addons/loaders/HDRLoader.js";
import { KTX2Loader } from "three/addons/loaders/KTX2Loader.js";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";

const own = new URL("./", location.href).href;

/** @param {HTMLCanvasElement} canvas @param {ArrayBuffer} content @param {"hdr" | "exr" | "ktx2"} format */
export async function showPicture(canvas, content, format) {
  const renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true, preserveDrawingBuffer: true });
  renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
  const texture = await load(content, format, renderer);
  const { width, height } = texture.image;
  const isLight = format !== "ktx2";
  texture.minFilter = LinearFilter;
  renderer.toneMapping = isLight ? NeutralToneMapping : NoToneMapping;

  const flat = new Scene();
  const plane = new Mesh(new PlaneGeometry(width, height), new MeshBasicMaterial({ map: texture, transparent: true, side: DoubleSide }));
  // The first row of a KTX2 file is the upper one, and compressed textures can't be turned over as they are loaded.
  if (format === "ktx2") plane.scale.y = -1;
  flat.add(plane);
  const still = new OrthographicCamera();
  const around = new Scene();
  const eye = new PerspectiveCamera(75, 1, 0.1, 10);
  eye.position.set(0, 0, 0.01);
  const turning = new OrbitControls(eye, canvas);
  turning.enableZoom = turning.enablePan = false;
  turning.rotateSpeed = -0.4;
  turning.listenToKeyEvents(canvas);
  turning.enabled = false;
  turning.addEventListener("change", () => draw());
  let isAround = false;

  function draw() {
    const [across, down] = [canvas.clientWidth, Math.max(1, canvas.clientHeight)];
    renderer.setSize(across, down, false);
    if (isAround) {
      eye.aspect = across / down;
      eye.updateProjectionMatrix();
      renderer.render(around, eye);
      return;
    }
    const scale = Math.max(width / across, height / down);
    [still.left, still.right, still.top, still.bottom] = [-across, across, down, -down].map((side) => (side * scale) / 2);
    still.near = -1;
    still.updateProjectionMatrix();
    renderer.render(flat, still);
  }
  new ResizeObserver(draw).observe(canvas);
  draw();
  return {
    picture: { width, height, isLight, looksAround: isLight && width === 2 * height },
    controls: {
      exposure: (stops) => {
        renderer.toneMappingExposure = 2 ** Number(stops);
        draw();
      },
      around: (wanted) => {
        isAround = turning.enabled = Boolean(wanted);
        if (isAround) {
          texture.mapping = EquirectangularReflectionMapping;
          around.background = texture;
        }
        draw();
      },
    },
  };
}

async function load(content, format, renderer) {
  if (format !== "ktx2") {
    const address = URL.createObjectURL(new Blob([content]));
    try {
      return await (format === "exr" ? new EXRLoader() : new HDRLoader()).loadAsync(address);
    } finally {
      URL.revokeObjectURL(address);
    }
  }
  const loader = new KTX2Loader().setTranscoderPath(own).detectSupport(renderer);
  const texture = await new Promise((resolve, reject) => loader.parse(content, resolve, reject));
  texture.colorSpace = SRGBColorSpace;
  return texture;
}
