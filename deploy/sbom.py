#!/usr/bin/env python3
"""What a release is made of, as CycloneDX 1.6 on stdout: the crates that are linked into the binary on any platform of deny.toml, and the
npm packages of the console's viewer. Out of the lock files; nothing is asked over the network but what cargo has not fetched yet.
"""

import json
import os
import subprocess
import sys
import time
import tomllib
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def crates():
    """Those linked in, with the checksums of Cargo.lock, and what each of them needs."""
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    sums = {(p["name"], p["version"]): p.get("checksum") for p in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
    packages, needs, main = {}, {}, None
    for target in rules["graph"]["targets"]:
        out = subprocess.run(
            ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target],
            cwd=ROOT, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
        ).stdout
        metadata = json.loads(out)
        known = {p["id"]: p for p in metadata["packages"]}
        main = metadata["resolve"]["root"]
        edges = {
            node["id"]: [d["pkg"] for d in node["deps"] if any(k["kind"] is None for k in d["dep_kinds"])] for node in metadata["resolve"]["nodes"]
        }
        found, left = set(), [main]
        while left:
            one = left.pop()
            # What makes code while it compiles is not in what it made.
            if one in found or any("proc-macro" in t["kind"] for t in known[one]["targets"]):
                continue
            found.add(one)
            left += edges[one]
        for one in found:
            packages[one] = known[one]
            needs.setdefault(one, set()).update(set(edges[one]) & found)
    return packages, needs, main, sums


def crate(package, checksum):
    name, version = package["name"], package["version"]
    component = {"type": "library", "bom-ref": f"pkg:cargo/{name}@{version}", "name": name, "version": version, "purl": f"pkg:cargo/{name}@{version}"}
    if package.get("license"):
        component["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if checksum:
        component["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return component


def npm():
    lock = json.loads((ROOT / "console/viewer/package-lock.json").read_text())
    for path, package in sorted(lock["packages"].items()):
        # Tools that bundle it are no part of it.
        if path and not package.get("dev") and not package.get("optional"):
            name = path.rsplit("node_modules/", 1)[1]
            purl = f"pkg:npm/{name.replace('@', '%40')}@{package['version']}"
            component = {"type": "library", "bom-ref": purl, "name": name, "version": package["version"], "purl": purl}
            yield {**component, **({"licenses": [{"expression": package["license"]}]} if package.get("license") else {})}


def main():
    packages, needs, root, sums = crates()
    references = {one: f"pkg:cargo/{p['name']}@{p['version']}" for one, p in packages.items()}
    when = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    components = sorted((crate(p, sums.get((p["name"], p["version"]))) for one, p in packages.items() if one != root), key=lambda c: c["bom-ref"])
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{references[root]}/{when}')}",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when)),
            "component": {**crate(packages[root], None), "type": "application"},
        },
        "components": components + list(npm()),
        "dependencies": sorted(
            ({"ref": references[one], "dependsOn": sorted(references[n] for n in needed)} for one, needed in needs.items()),
            key=lambda d: d["ref"],
        ),
    }
    json.dump(document, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
