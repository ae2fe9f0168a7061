#!/usr/bin/env bash
# Chromium and REDbot against the edge door of a gateway of their own. Arguments go to suite.py (--suite, --keep).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../clients/setup.sh"
. "$here/setup.sh"
setup_clients
setup_browser
[ -n "${TIDEGATE_BUILT:-}" ] || cargo build --manifest-path "$here/../../Cargo.toml" --locked
"$CHROMIUM_PROGRAM" --version 2>/dev/null
node -p '["three", "playwright-core"].map((name) => name + " " + require(`${process.env.BROWSER_MODULES}/node_modules/${name}/package.json`).version).join(", ")'
exec "$TEST_PYTHON" "$here/suite.py" "$@"
