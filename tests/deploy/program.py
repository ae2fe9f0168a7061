"""The program as tests/run built it, run with the variables that a file of deploy/ gives it."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/tidegate"


def image_variables():
    """What the image sets."""
    text = (ROOT / "deploy/docker/Dockerfile").read_text()
    block = text[text.rindex("\nENV ") :].split("\nWORKDIR", 1)[0]
    return dict(re.findall(r"(TIDEGATE_[A-Z_]+)=(\S+)", block))


def environment(variables):
    """Nothing of ours but these."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("TIDEGATE_", "AWS_", "S3_"))}
    return {**own, **variables}


def local(variables, folder):
    """With paths of this machine in place of the image's."""
    policies = folder / "policies"
    policies.mkdir(parents=True, exist_ok=True)
    (policies / "tenant-default.json").write_bytes((ROOT / "policies/tenant-default.json").read_bytes())
    return {**variables, "TIDEGATE_DATA": str(folder / "data"), "TIDEGATE_POLICIES": str(policies), "TIDEGATE_CONSOLE_VIEWER": ""}


def checked(variables, folder):
    """What `tidegate check` says against them: it knows every variable, and all of them fit."""
    done = subprocess.run(
        [PROGRAM, "check"], cwd=folder, env=environment(local(variables, folder)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    said = done.stdout.strip()
    return [] if done.returncode == 0 and "warning" not in said else [said]
