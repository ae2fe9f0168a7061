"""What a browser and a cache make of the doors: starts a gateway, runs browser_suite.mjs, uploads_suite.mjs, redbot_suite.py and
console_suite.mjs on it, counts their lines.

    python suite.py [--suite browser|uploads|redbot|console] [--binary PATH] [--keep]

What it runs comes from the environment that setup.sh makes (CHROMIUM_PROGRAM, BROWSER_MODULES, JS_MODULES); run.sh does both. Screenshots
go to target/browser. With TIDEGATE_TEST_OVER=s3 the gateway stands over the bucket of a second one. Ends with `browser: N passed, N failed`
and that as its exit status.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import player_server

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "clients"))
import gateway  # noqa: E402
import suite as clients  # noqa: E402

SUITES = {"browser": ["node", str(HERE / "browser_suite.mjs")], "uploads": ["node", str(HERE / "uploads_suite.mjs")], "redbot": [sys.executable, str(HERE / "redbot_suite.py")],
          "console": ["node", str(HERE / "console_suite.mjs")]}
SHOTS = gateway.ROOT / "target/browser"
# Names that a browser finds on this machine (RFC 6761): a CDN, and a player that shares its cookies.
NAMED, BESIDE, OPEN = "cdn.media.localhost", "player.media.localhost", "open.localhost"


def main():
    parser = argparse.ArgumentParser(description="A browser and a cache checker against one gateway.")
    parser.add_argument("--suite", action="append", choices=SUITES)
    parser.add_argument("--binary")
    parser.add_argument("--keep", action="store_true", help="leave the temporary folder")
    asked = parser.parse_args()

    folder = Path(tempfile.mkdtemp(prefix="tidegate-browser-"))
    player = player_server.serve(Path(os.environ["BROWSER_MODULES"]))
    beside = player.replace("localhost", BESIDE)
    # Three sites show the same buckets: one to pages anywhere, one to the player's pages alone, which may bring their cookies, and one
    # that keeps no pages apart.
    sites = f'''
[[site]]

[[site]]
host = "{NAMED}"
cors = {{ origins = ["{player}", "{beside}"], credentials = true }}

[[site]]
host = "{OPEN}"
sandbox = false
'''
    viewer = os.environ.get("CONSOLE_VIEWER", "")
    settings = gateway.write_settings(folder, sites=sites + f'\n[console]\nviewer = "{viewer}"\n')
    make_url_key(folder)
    binary = asked.binary or gateway.find_binary()
    server = below = None
    passed = failed = 0
    try:
        below, over = clients.start_upstream(binary, folder / "upstream")
        server = gateway.Gateway(binary, settings, folder / "gateway.log", over).wait_until_open()
        for name in asked.suite or SUITES:
            work = folder / name
            work.mkdir()
            env = clients.environment(name, f"http://127.0.0.1:{server.ports['s3']}", "", (*gateway.TENANTS["alice"], *gateway.TENANTS["bob"]), "", work)
            env.update(
                TEST_EDGE=f"http://127.0.0.1:{server.ports['edge']}", TEST_NAMED_EDGE=f"http://{NAMED}:{server.ports['edge']}",
                TEST_OPEN_EDGE=f"http://{OPEN}:{server.ports['edge']}",
                TEST_PLAYER=player, TEST_PLAYER_BESIDE=beside, TEST_SHOTS=str(SHOTS),
                TEST_ADMIN=f"http://127.0.0.1:{server.ports['admin']}", TEST_ROOT_KEY=gateway.ROOT_KEY[0], TEST_ROOT_SECRET=gateway.ROOT_KEY[1],
                TEST_OVER="s3" if below else "", TEST_VIEWER=viewer,
            )
            good, bad = clients.run(name, SUITES[name], env)
            passed, failed = passed + good, failed + bad
        status = server.stop()
        if status != 0:
            print(f"FAIL gateway: exit status {status} after SIGTERM", flush=True)
            failed += 1
        if failed:
            print("the gateway's last lines:", *(folder / "gateway.log").read_text(errors="replace").splitlines()[-40:], sep="\n    ", flush=True)
        print(f"screenshots: {SHOTS.relative_to(gateway.ROOT)}\nbrowser: {passed} passed, {failed} failed", flush=True)
        sys.exit(1 if failed else 0)
    finally:
        for running in server, below:
            if running and running.process.poll() is None:
                running.kill()
        if asked.keep:
            print(f"kept: {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def make_url_key(folder):
    """A key pair that signs cookies in alice's name."""
    keys = folder / "policies/cdn-keys"
    keys.mkdir()
    for arguments in ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "test.key"], ["pkey", "-in", "test.key", "-pubout", "-out", "test.pem"]:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=keys)
    (keys / "test.toml").write_text('id = "KTEST"\ntenant = "alice"\npublic_key = { file = "test.pem" }\nprivate_key = { file = "test.key" }\n')


if __name__ == "__main__":
    main()
