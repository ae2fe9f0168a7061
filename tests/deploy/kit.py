#!/usr/bin/env python3
"""The operating kit in deploy/ is what it says: every file by its own validator, every variable by `tidegate check`, and the compose files
started, each service of the gateway's as a process on a loopback address of its own.

Called by tests/run with what tests/deploy/setup.sh gets. `kit.py --list` names the checks, `kit.py NAME…` runs some.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import yaml

import charts
import compose
import links
import program

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PROGRAMS = Path(sys.executable).parent
# `systemd-analyze security` counts from 0 (shut in) to 10.
MOST_EXPOSURE = 2.0


def run(*command, cwd=ROOT):
    """The faults: all that a failed program says."""
    done = subprocess.run([str(c) for c in command], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
    return [] if done.returncode == 0 else [f"{Path(str(command[0])).name}: {done.stdout.strip()[-2000:]}"]


def dockerfile():
    text = (DEPLOY / "docker/Dockerfile").read_text()
    faults = run(PROGRAMS / "hadolint", DEPLOY / "docker/Dockerfile")
    last = text[text.rindex("\nFROM ") :]
    if not re.search(r"^USER 65532", last, re.M):
        faults.append("the image runs as root")
    taken = re.findall(r"^COPY (?!--from)(\S+) ", text, re.M)
    faults += [f"{source} is copied, and is not there" for source in taken if not (ROOT / source).exists()]
    # What the program is made of must be in what is sent to the builder.
    let_in = {line[1:] for line in (DEPLOY / "docker/Dockerfile.dockerignore").read_text().split() if line.startswith("!")}
    needed = {"Cargo.toml", "Cargo.lock", "src", "policies"}
    for source in (ROOT / "src").rglob("*.rs"):
        if "tests" not in source.parts:
            for path in re.findall(r'include_(?:str|bytes)!\((?:concat!\()?"((?:\.\./)+[^"]+)"', source.read_text()):
                needed.add((source.parent / path).resolve().relative_to(ROOT).parts[0])
    faults += [f"{name} is needed, and Dockerfile.dockerignore leaves it out" for name in sorted(needed - let_in)]
    return faults


def nonroot():
    """What the image's user says of a folder that is mounted and is root's: what to do."""
    if os.getuid() != 0:
        print("kit: note: not root here; a folder of somebody else's was not tried")
        return []
    with tempfile.TemporaryDirectory() as temp:
        folder = Path(temp)
        folder.chmod(0o755)
        (folder / "data").mkdir()
        # Where that user can run it, whatever folder it was built in.
        binary = folder / "tidegate"
        shutil.copy(program.PROGRAM, binary)
        variables = {**program.image_variables(), "TIDEGATE_LISTEN": "127.7.9.1:9000", "TIDEGATE_EDGE_LISTEN": "", "TIDEGATE_ADMIN_LISTEN": ""}
        done = subprocess.run(
            ["timeout", "20", "setpriv", "--reuid=65532", "--regid=65532", "--clear-groups", binary, "serve"], cwd=folder,
            env=program.environment(program.local(variables, folder)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        wanted = f"chown -R 65532:65532 {folder / 'data'}"
        return [] if done.returncode == 1 and wanted in done.stdout else [f"exit status {done.returncode}, not {wanted!r}: {done.stdout[-800:]}"]


def systemd():
    unit = DEPLOY / "systemd/tidegate.service"
    try:
        said = subprocess.run(["systemd-analyze", "security", "--offline=yes", unit], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except FileNotFoundError:
        print("kit: note: there is no systemd-analyze here; the unit was not judged")
        return []
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said.stdout)
    if not exposure:
        return [f"systemd-analyze: {said.stdout.strip()[-500:]}"]
    print(f"kit: exposure of the unit: {exposure[1]}")
    faults = [f"the unit's exposure is {exposure[1]}"] if float(exposure[1]) > MOST_EXPOSURE else []
    # With the program where the unit expects it, everything in it is known to systemd.
    with tempfile.TemporaryDirectory() as folder:
        standing_in = Path(folder) / unit.name
        standing_in.write_text(unit.read_text().replace("/usr/bin/tidegate", "/bin/true").replace("Documentation=", "#"))
        said = subprocess.run(["systemd-analyze", "verify", standing_in], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        faults += [line for line in said.stdout.splitlines() if standing_in.name in line]
    return faults


def monitoring():
    folder, promtool = DEPLOY / "monitoring", os.environ["PROMTOOL_PROGRAM"]
    faults = run(promtool, "check", "config", folder / "prometheus.yaml")
    faults += run(promtool, "check", "rules", folder / "alerts.yaml")
    faults += run(promtool, "test", "rules", folder / "alerts.test.yaml")
    panels = json.loads((folder / "dashboard.json").read_text())["panels"]
    # An expression of the dashboard is one that a rule could have, once Grafana put its variables in.
    rules = []
    for panel in panels:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$node", ".*").replace("$__rate_interval", "5m")
            rules.append({"record": f"panel:{panel['id']}:{target['refId']}", "expr": expression})
    with tempfile.TemporaryDirectory() as temp:
        (Path(temp) / "dashboard.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
        faults += run(promtool, "check", "rules", Path(temp) / "dashboard.yaml")
    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels]
    faults += ["panels of the dashboard lie over each other"] if len(set(places)) != len(places) else []
    names = {name for name in re.findall(r"^\s+- alert: (\S+)", (folder / "alerts.yaml").read_text(), re.M)}
    tests = (folder / "alerts.test.yaml").read_text()
    tested = {name for listed in re.findall(r'alertname(?:: |=~?")([A-Za-z|]+)', tests) for name in listed.split("|")}
    faults += [f"alerts.test.yaml knows no alert {name}" for name in sorted(tested - names)]
    print(f"kit: {len(rules)} expressions on the dashboard, {len(names)} alerts, {len(tested)} of them tried")
    return faults


def debian():
    package = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["metadata"]["deb"]
    made = ("target/dist/", "target/kit/")  # by the release recipe, before
    assets = [asset[0] for asset in package["assets"]]
    faults = [f"the package wants {a}, which is not there" for a in assets if not a.startswith(made) and not list(ROOT.glob(a))]
    scripts = ROOT / package["maintainer-scripts"]
    for script in ["postinst", "postrm"]:
        faults += run("sh", "-n", scripts / script)
        faults += [] if os.access(scripts / script, os.X_OK) else [f"{script} can't be run"]
    return faults + run("bash", "-n", DEPLOY / "release.sh")


def documentation():
    with tempfile.TemporaryDirectory() as site:
        faults = run(sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--config-file", DEPLOY / "site.yaml", "--site-dir", site)
        pages = len(list(Path(site).rglob("*.html")))
    found, checked = links.check(ROOT)
    print(f"kit: {pages} pages of the site, {checked} links")
    return faults + found


CHECKS = {
    "dockerfile": dockerfile,
    "nonroot": nonroot,
    "compose": compose.check,
    "chart": charts.check,
    "systemd": systemd,
    "monitoring": monitoring,
    "debian": debian,
    "documentation": documentation,
}


def main():
    if sys.argv[1:] == ["--list"]:
        return print(" ".join(CHECKS))
    failures = []
    for name in sys.argv[1:] or CHECKS:
        found = CHECKS[name]()
        print(f"kit: {name}: {'good' if not found else f'{len(found)} faults'}")
        failures += [f"{name}: {fault}" for fault in found]
    for failure in failures:
        print(f"FAIL kit: {failure}")
    print(f"kit: {len(sys.argv[1:] or CHECKS)} checks, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
