"""Starts and stops a gateway of its own for a test: a temporary folder, ports of the system's choice, two tenants.

Used by the client suites and the crash test. It stops only the process it started.
"""

import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TENANTS = {"alice": ("AKALICE", "alice-secret-of-the-tests"), "bob": ("AKBOB", "bob-secret-of-the-tests")}
ROOT_KEY = ("AKROOT", "root-secret-of-the-tests")
DOMAIN = "s3.localhost"  # ".localhost" belongs to nobody (RFC 6761); the suites resolve it themselves
START_SECONDS = 60  # a start takes milliseconds; this is where a hang becomes a failure


def find_binary():
    """The newest of the two builds, so that a test never runs an older program than the one just built."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    found = [p for p in (target / "release/tidegate", target / "debug/tidegate") if p.exists()]
    if not found:
        raise SystemExit("no tidegate program found: run `cargo build` first")
    return max(found, key=lambda p: p.stat().st_mtime)


def write_settings(folder, tls=False, store="", sites=""):
    """gateway.toml, policies and certificates in `folder`; returns the path of the settings. `store`: more lines of that section;
    `sites`: the [[site]] tables."""
    policies = folder / "policies"
    shutil.copytree(ROOT / "policies", policies, ignore=shutil.ignore_patterns("tenants"))
    (policies / "tenants").mkdir()
    for name, (key, secret) in TENANTS.items():
        path = policies / "tenants" / f"{name}.toml"
        path.write_text(f'id = "{name}"\npolicies = ["tenant-default"]\nkeys = [{{ access_key = "{key}", secret = {{ value = "{secret}" }} }}]\n')
        path.chmod(0o600)
    if tls:
        make_certificates(folder)
    settings = folder / "gateway.toml"
    settings.write_text(f"""
[s3]
listen = "127.0.0.1:0"
tls_listen = {'"127.0.0.1:0"' if tls else "[]"}
domains = ["{DOMAIN}"]

[edge]
listen = "127.0.0.1:0"

[admin]
listen = "127.0.0.1:0"

[tls]
certs = "{folder}/certs"

[policies]
dir = "{policies}"

[store]
data = "{folder}/data"
{store}
{sites}""")
    return settings


def make_url_key(folder):
    """A key pair that signs URLs for the first tenant; the path of its private half."""
    keys = folder / "policies" / "cdn-keys"
    keys.mkdir()
    key = keys / "url.key"
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(key)], check=True, capture_output=True)
    key.chmod(0o600)
    (keys / "url.toml").write_text(f'id = "KURL"\ntenant = "{next(iter(TENANTS))}"\nprivate_key = {{ file = "url.key" }}\n')
    return key


def make_certificates(folder):
    """A CA made for this run, and a server certificate signed by it."""
    certs = folder / "certs"
    certs.mkdir()

    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, cwd=folder)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=tidegate test CA",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost", "-keyout", "certs/default.key", "-out", "server.csr")
    (folder / "server.ext").write_text(
        f"subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:{DOMAIN},DNS:*.{DOMAIN}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n"
    )
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "server.ext", "-out", "certs/default.crt")


class Gateway:
    """A running `tidegate serve`. `ports` holds what its first line said, by listener."""

    def __init__(self, binary, settings, log, env=None):
        self.log = open(log, "ab")
        # Bytes, unbuffered: a text layer could keep the line that select waits for.
        self.process = subprocess.Popen(
            [str(binary), "serve", "--config", str(settings)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log, bufsize=0, cwd=settings.parent,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("TIDEGATE_")},
                "TIDEGATE_ROOT_ACCESS_KEY": ROOT_KEY[0], "TIDEGATE_ROOT_SECRET_KEY": ROOT_KEY[1], **(env or {}),
            },
        )

    def wait_until_open(self):
        """Reads the line that says where it listens; raises when the process ends or hangs instead."""
        deadline = time.monotonic() + START_SECONDS
        line = b""
        with selectors.DefaultSelector() as ready:
            ready.register(self.process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not ready.select(max(0, deadline - time.monotonic())):
                    raise RuntimeError(f"the gateway said nothing for {START_SECONDS} s")
                got = os.read(self.process.stdout.fileno(), 4096)
                if not got:
                    raise RuntimeError(f"the gateway ended at its start with status {self.process.wait()}")
                line += got
        if not line.startswith(b"listening "):
            raise RuntimeError(f"the gateway's first line is {line!r}")
        self.ports = {name: int(address.rsplit(":", 1)[1]) for name, address in re.findall(r"(\w+)=(\S+)", line.decode())}
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self._gone()

    def stop(self, seconds=30):
        """SIGTERM and a drained end, or SIGKILL and an error."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise RuntimeError(f"the gateway did not stop within {seconds} s of SIGTERM") from None
        self._gone()
        return self.process.returncode

    def _gone(self):
        self.process.wait()
        self.process.stdout.close()
        self.log.close()
