// One model, or two to be compared: beside each other, or one over the other with an edge between them. Both are seen by the same camera.

import {
  AmbientLight, AnimationMixer, Box3, DirectionalLight, PMREMGenerator, PerspectiveCamera, Scene, Sphere, Timer, Vector3, WebGLRenderer,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { RoomEnvironment } from "three/addons/environments/RoomEnvironment.js";
import { DRACOLoader } from "three/addons/loaders/DRACOLoader.js";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { KTX2Loader } from "three/addons/loaders/KTX2Loader.js";
import { MeshoptDecoder } from "three/addons/libs/meshopt_decoder.module.js";

const own = new URL("./", location.href).href;

/** @param {HTMLCanvasElement} canvas @param {ArrayBuffer[]} contents one or two */
export async function showModels(canvas, contents) {
  const renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true });
  renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
  const environment = new PMREMGenerator(renderer).fromScene(new RoomEnvironment(), 0.04, 0.1, 100, { size: 64 }).texture;
  const loader = new GLTFLoader().setMeshoptDecoder(MeshoptDecoder)
    .setDRACOLoader(new DRACOLoader().setDecoderPath(own)).setKTX2Loader(new KTX2Loader().setTranscoderPath(own).detectSupport(renderer));
  const models = await Promise.all(contents.map((content) => loader.parseAsync(content, "")));
  const scenes = models.map((model) => {
    const scene = new Scene();
    scene.environment = environment;
    scene.add(new AmbientLight(0xffffff, 0.2), new DirectionalLight(0xffffff, 1), model.scene);
    return scene;
  });

  const sphere = new Box3().setFromObject(models[0].scene).getBoundingSphere(new Sphere());
  const radius = sphere.radius || 1;
  const camera = new PerspectiveCamera(40, 1, radius / 100, radius * 100);
  camera.position.copy(sphere.center).add(new Vector3(0.6, 0.45, 1).normalize().multiplyScalar(radius * 3));
  const controls = new OrbitControls(camera, canvas);
  controls.enableDamping = true;
  controls.target.copy(sphere.center);
  controls.listenToKeyEvents(canvas);

  const mixers = models.map((model) => new AnimationMixer(model.scene));
  const playing = clips(models, mixers);
  const view = { beside: false, at: 0.5, isNew: true };
  const edge = document.getElementById("edge");
  const timer = new Timer();
  // Only what moves is drawn again.
  const draw = () => {
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    const isResized = canvas.width !== Math.floor(width * renderer.getPixelRatio()) || canvas.height !== Math.floor(height * renderer.getPixelRatio());
    if (isResized) renderer.setSize(width, height, false);
    const step = timer.update().getDelta();
    mixers.forEach((mixer) => mixer.update(step));
    const hasMoved = controls.update();
    if (!view.isNew && !isResized && !hasMoved && playing.size === 0) return;
    view.isNew = false;
    paint(renderer, scenes, camera, view, width, height);
  };
  const set = (change) => {
    Object.assign(view, change, { isNew: true });
    edge.hidden = scenes.length < 2;
    edge.style.left = `${(view.beside ? 0.5 : view.at) * 100}%`;
  };
  set({});
  renderer.setAnimationLoop(draw);
  draw();
  return { models: models.map(measured), controls: { wipe: (at) => set({ at: Math.min(1, Math.max(0, Number(at))) }), beside: (beside) => set({ beside: Boolean(beside) }) } };
}

function paint(renderer, scenes, camera, { beside, at }, width, height) {
  const columns = beside && scenes.length > 1 ? 2 : 1;
  camera.aspect = width / columns / Math.max(1, height);
  camera.updateProjectionMatrix();
  renderer.setScissorTest(scenes.length > 1);
  scenes.forEach((scene, n) => {
    if (scenes.length > 1) {
      const left = Math.round(width * (n === 0 ? 0 : beside ? 0.5 : at));
      const right = Math.round(width * (n === 1 ? 1 : beside ? 0.5 : at));
      if (right <= left) return;
      renderer.setScissor(left, 0, right - left, height);
      renderer.setViewport(beside ? left : 0, 0, width / columns, height);
    }
    renderer.render(scene, camera);
  });
}

/** Buttons that begin and stop animations of all models. Returns what runs. */
function clips(models, mixers) {
  const playing = new Set();
  const strip = document.getElementById("clips");
  strip.hidden = models[0].animations.length === 0;
  models[0].animations.slice(0, 24).forEach((clip, n) => {
    const button = document.createElement("button");
    const actions = models.flatMap((model, at) => model.animations[n] ? [mixers[at].clipAction(model.animations[n])] : []);
    button.textContent = clip.name || `Animation ${n + 1}`;
    const press = () => {
      if (playing.delete(clip)) actions.forEach((action) => action.stop());
      else {
        playing.add(clip);
        actions.forEach((action) => action.reset().play());
      }
      button.setAttribute("aria-pressed", String(playing.has(clip)));
    };
    button.addEventListener("click", press);
    if (n === 0) press();
    strip.append(button);
  });
  return playing;
}

/** What it costs a GPU: geometry as it lies in buffers, textures with their mip levels. */
function measured(model) {
  const [geometries, textures] = [new Set(), new Set()];
  let [meshes, triangles] = [0, 0];
  model.scene.traverse((node) => {
    if (!node.isMesh) return;
    meshes += 1;
    const { index, attributes } = node.geometry;
    triangles += Math.floor((index ?? attributes.position).count / 3) * (node.isInstancedMesh ? node.count : 1);
    geometries.add(node.geometry);
    for (const material of [node.material].flat()) for (const value of Object.values(material)) if (value?.isTexture) textures.add(value);
  });
  let memory = 0;
  for (const geometry of geometries) for (const one of [geometry.index, ...Object.values(geometry.attributes)]) memory += one?.array?.byteLength ?? 0;
  for (const texture of textures) {
    const levels = texture.mipmaps?.length ? texture.mipmaps.reduce((sum, level) => sum + (level.data?.byteLength ?? 0), 0) : 0;
    memory += levels || ((texture.image?.width ?? 0) * (texture.image?.height ?? 0) * 4 * 4) / 3;
  }
  return { triangles, meshes, textures: textures.size, memory, clips: model.animations.length };
}
