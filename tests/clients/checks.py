"""Named checks for the client suites: each prints one line, and none stops the next.

What: the runner (`Checks`), deterministic bodies, the environment that suite.py hands to every client script.
What not: it knows no client. Called by the *_suite.py files beside it. A suite's exit code is 1 when a check failed.
"""

import os
import random
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

# Keys that break careless clients and servers: the signature, the URL and the listing must agree on each byte.
ODD_KEYS = [
    "plain",
    "a+b c",
    "per%cent %41%2F",
    "double//slash",
    "dots/../up",
    "./dot",
    "quote'()!*",
    "and&eq=?#hash;semi,comma:colon@at$dollar",
    "tilde~under_dash-.",
    "brackets[]{}|\\^`\"<>",
    "ünï/cödé/日本語/🎈",
    "trailing/",
    " lead and trail ",
]


# The gateway stands over the bucket of another S3, and a bucket that a client makes is a folder there: only the bucket upstream keeps versions.
FOLDERS = os.environ.get("TEST_OVER") == "s3"


@dataclass(frozen=True)
class Place:
    """Where the gateway is and who may talk to it, as suite.py exported it."""

    run: str  # "boto3/https": names the run in each line
    endpoint: str
    domain: str  # buckets are also at <bucket>.<domain>; empty: not to be tested
    port: int
    ca: str  # path of the CA bundle, empty over http
    key: str
    secret: str
    other_key: str  # a second tenant
    other_secret: str
    work: Path  # empty folder of this run

    @property
    def secure(self):
        return self.endpoint.startswith("https:")

    @property
    def vhost_endpoint(self):
        return f"{self.endpoint.split('://')[0]}://{self.domain}:{self.port}"

    def bucket(self, name):
        """A bucket name of this run's own: http and https runs share one server."""
        return f"{self.run.replace('/', '-')}-{name}"


def place():
    e = os.environ
    return Place(
        run=e["TEST_RUN"],
        endpoint=e["TEST_ENDPOINT"],
        domain=e.get("TEST_DOMAIN", ""),
        port=int(e["TEST_ENDPOINT"].rsplit(":", 1)[1]),
        ca=e.get("TEST_CA", ""),
        key=e["TEST_KEY"],
        secret=e["TEST_SECRET"],
        other_key=e["TEST_OTHER_KEY"],
        other_secret=e["TEST_OTHER_SECRET"],
        work=Path(e["TEST_WORK"]),
    )


def body(seed, size):
    """The same bytes for the same seed and size, and no others."""
    return random.Random(f"{seed}/{size}").randbytes(size)


class Checks:
    """`@checks("name")` runs the function under it at once."""

    def __init__(self, run):
        self.run = run
        self.failed = 0

    def __call__(self, name):
        def runner(function):
            try:
                function()
            except Exception as fault:  # a check may fail in any way: the line says which
                self.failed += 1
                where = traceback.extract_tb(fault.__traceback__)
                here = next((f for f in reversed(where) if Path(f.filename).parent == Path(__file__).parent), where[-1])
                text = " ".join(str(fault).split())[:600] or (here.line or "")
                print(f"FAIL {self.run}: {name}: {type(fault).__name__}: {text} ({Path(here.filename).name}:{here.lineno})", flush=True)
            else:
                print(f"ok   {self.run}: {name}", flush=True)
            return function

        return runner

    def finish(self):
        sys.exit(1 if self.failed else 0)


def same(got, want, what="value"):
    if got != want:
        raise AssertionError(f"{what}: got {short(got)}, want {short(want)}")


def true(condition, what):
    if not condition:
        raise AssertionError(what)


def short(value):
    text = repr(value)
    return text if len(text) < 200 else f"{text[:150]}... ({len(value)} long)" if hasattr(value, "__len__") else text[:200]


class CommandFailed(Exception):
    pass


def command(*arguments, stdin=None, fails=False, env=None):
    """Runs a client's program. Its output is the bytes on stdout; a wrong exit status shows its stderr.
    With `fails` the program must fail, and its stderr is what comes back."""
    done = subprocess.run(
        [str(a) for a in arguments],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        env={**os.environ, **(env or {})},
        timeout=300,  # a hang is a failure; the slowest command here takes seconds
    )
    if fails:
        if done.returncode == 0:
            raise CommandFailed(f"{arguments[0]} {arguments[1:4]} succeeded and must not")
        return (done.stdout + done.stderr).decode(errors="replace")
    if done.returncode != 0:
        raise CommandFailed(f"{Path(str(arguments[0])).name} {' '.join(map(str, arguments[1:8]))}: exit {done.returncode}: {done.stderr.decode(errors='replace')[-700:]}")
    return done.stdout
