#!/usr/bin/env bash
# Bundles the viewer into a folder for console.viewer in gateway.toml. Needs Node and npm; what it installs is in package-lock.json.
#
#     console/viewer/build.sh /usr/share/tidegate/viewer
set -euo pipefail
out=${1:?"where to? console/viewer/build.sh FOLDER"}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")"
npm ci --no-audit --no-fund --loglevel=error
npx esbuild viewer.js --bundle --minify --format=iife --target=es2022 --define:import.meta.url=location.href --legal-comments=linked --outfile="$out/viewer.js"
cp index.html viewer.css "$out"
libs=node_modules/three/examples/jsm/libs
cp "$libs"/draco/gltf/draco_wasm_wrapper.js "$libs"/draco/gltf/draco_decoder.wasm "$libs"/basis/basis_transcoder.js "$libs"/basis/basis_transcoder.wasm "$out"
