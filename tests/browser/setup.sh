# What the browser suite needs, beside the clients: Chromium, three.js, what drives the one and makes assets for the other, and a checker of
# caching. Sourced after tests/clients/setup.sh and its setup_clients; sets CHROMIUM_PROGRAM and BROWSER_MODULES.

browser_modules() {
    mkdir -p "$client_cache/browser" && cd "$client_cache/browser" || return
    [ -e package.json ] || echo '{"private":true}' >package.json
    npm install --no-audit --no-fund --loglevel=error three@latest playwright-core@latest \
        @gltf-transform/core@latest @gltf-transform/extensions@latest draco3dgltf@latest ktx2-encoder@latest
}

redbot_checker() { "$client_cache/venv/bin/pip" install --quiet --upgrade redbot; }

setup_browser() {
    need chromium command -v chromium || return
    ( stamp browser browser_modules ) || return
    stamp redbot redbot_checker || return
    CHROMIUM_PROGRAM=$(command -v chromium)
    BROWSER_MODULES=$client_cache/browser
    export CHROMIUM_PROGRAM BROWSER_MODULES
}
