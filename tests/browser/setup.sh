# What the browser suites need, beside the clients: Chromium, three.js, what drives the one and makes assets for the other, checkers of
# caching, accessibility and types, and the console's viewer. Sourced after tests/clients/setup.sh and its setup_clients; sets
# CHROMIUM_PROGRAM, BROWSER_MODULES and CONSOLE_VIEWER.

browser_modules() {
    mkdir -p "$client_cache/browser" && cd "$client_cache/browser" || return
    [ -e package.json ] || echo '{"private":true}' >package.json
    npm install --no-audit --no-fund --loglevel=error three@latest playwright-core@latest axe-core@latest typescript@latest \
        @gltf-transform/core@latest @gltf-transform/extensions@latest draco3dgltf@latest ktx2-encoder@latest
}

# The console's viewer of models, as the image has it.
console_viewer() {
    local sources=$client_cache/viewer-sources
    rm -rf "$sources" && cp -r "$1" "$sources" && "$sources/build.sh" "$client_cache/viewer" && rm -rf "$sources"
}

redbot_checker() { "$client_cache/venv/bin/pip" install --quiet --upgrade redbot; }

setup_browser() {
    need chromium command -v chromium || return
    ( stamp browser browser_modules ) || return
    stamp redbot redbot_checker || return
    local sources
    sources=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../console/viewer" && pwd)
    stamp "viewer-$(cat "$sources"/*.* | sha256sum | cut -c1-12)" console_viewer "$sources" || return
    CHROMIUM_PROGRAM=$(command -v chromium)
    BROWSER_MODULES=$client_cache/browser
    CONSOLE_VIEWER=$client_cache/viewer
    export CHROMIUM_PROGRAM BROWSER_MODULES CONSOLE_VIEWER
}
