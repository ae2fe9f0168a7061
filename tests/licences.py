#!/usr/bin/env python3
"""Licences, banned crates and sources of everything that is linked in, by the rules of deny.toml, without a network.

It reads the same file as cargo-deny, which takes minutes to build; what it leaves to cargo-deny are the advisories, whose
database no package registry has. Called by .ci/run. `--self-test` proves that it can fail.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    packages, nodes, roots = {}, {}, set()
    for target in rules["graph"]["targets"]:
        out = subprocess.run(
            ["cargo", "metadata", "--format-version", "1", "--locked", "--all-features", "--filter-platform", target],
            cwd=ROOT, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
        ).stdout
        metadata = json.loads(out)
        packages.update((p["id"], p) for p in metadata["packages"])
        for node in metadata["resolve"]["nodes"]:
            nodes.setdefault(node["id"], set()).update(node["dependencies"])
        roots.update(member for member in metadata["workspace_members"] if packages[member]["name"] not in rules["graph"]["exclude"])
    packages, nodes = reached(packages, nodes, roots)
    faults = judge(packages, nodes, rules)
    for fault in faults:
        print(f"FAIL licences: {fault}")
    print(f"licences: {len(packages)} packages, {len(faults)} faults")
    return 1 if faults else 0


def reached(packages, nodes, roots):
    """Only what `roots` lead to."""
    found, left = set(), list(roots)
    while left:
        package = left.pop()
        if package not in found:
            found.add(package)
            left.extend(nodes[package])
    return {id: packages[id] for id in found}, {id: nodes[id] for id in found}


def judge(packages, nodes, rules):
    allowed = {part.strip() for part in rules["licenses"]["allow"]}
    bans = {ban["crate"]: set(ban.get("wrappers", [])) for ban in rules["bans"]["deny"]}
    users = {}
    for node, dependencies in nodes.items():
        for dependency in dependencies:
            users.setdefault(dependency, set()).add(packages[node]["name"])
    faults = []
    for package in packages.values():
        name = f"{package['name']} {package['version']}"
        if not package["license"]:
            faults.append(f"{name} states no licence")
        elif not permitted(package["license"], allowed):
            faults.append(f"{name} is under {package['license']}")
        if package["name"] in bans:
            others = users.get(package["id"], set()) - bans[package["name"]]
            if others or not bans[package["name"]]:
                faults.append(f"{name} is banned, and used by {', '.join(sorted(others)) or 'us'}")
        source = package["source"]
        if source is not None and not source.startswith("registry+"):
            faults.append(f"{name} comes from {source.split('+')[0]}")
        for dependency in package["dependencies"] if source is None else []:
            if dependency["req"] == "*":
                faults.append(f"{package['name']} takes any version of {dependency['name']}")
    if len({p["source"] for p in packages.values()} - {None}) > 1:
        faults.append("packages come from more than one registry")
    return sorted(faults)


def permitted(expression, allowed):
    """Whether an SPDX expression can be satisfied with the allowed licences. AND binds tighter than OR; `/` is the old OR."""
    tokens = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))

    def either():
        result = both()
        while tokens and tokens[0].upper() == "OR":
            tokens.pop(0)
            result = both() or result
        return result

    def both():
        result = one()
        while tokens and tokens[0].upper() == "AND":
            tokens.pop(0)
            result = one() and result
        return result

    def one():
        token = tokens.pop(0) if tokens else ""
        if token == "(":
            result = either()
            return bool(tokens and tokens.pop(0) == ")") and result
        if tokens and tokens[0].upper() == "WITH":
            tokens.pop(0)
            token = f"{token} WITH {tokens.pop(0) if tokens else ''}"
        return token in allowed

    result = either()
    return result and not tokens


def self_test():
    allowed = {"MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "ISC"}
    for expression, want in (
        ("MIT", True), ("GPL-3.0", False), ("GPL-2.0 OR MIT", True), ("MIT/GPL-2.0", True), ("MIT AND GPL-2.0", False), ("", False),
        ("Apache-2.0 WITH LLVM-exception", True), ("MIT WITH LLVM-exception", False), ("ISC AND (MIT OR GPL-2.0)", True),
        ("GPL-2.0 OR MIT AND BSD-4-Clause", False), ("(GPL-2.0 OR MIT) AND ISC", True), ("MIT MIT", False), ("(MIT", False),
    ):
        assert permitted(expression, allowed) == want, expression
    package = {"id": "x", "name": "x", "version": "1", "license": "MIT", "source": "registry+a", "dependencies": []}
    user = {**package, "id": "u", "name": "u"}
    rules = {"licenses": {"allow": ["MIT"]}, "bans": {"deny": [{"crate": "x", "wrappers": ["u"]}]}}
    graph = {"u": {"x"}, "x": set()}
    assert judge({"x": package, "u": user}, graph, rules) == []
    assert judge({"x": package, "u": {**user, "name": "w"}}, graph, rules) == ["x 1 is banned, and used by w"]
    assert judge({"x": {**package, "license": None}, "u": user}, graph, rules) == ["x 1 states no licence"]
    assert judge({"x": {**package, "source": "git+b"}, "u": user}, graph, rules) == ["packages come from more than one registry", "x 1 comes from git"]
    graph = {"u": {"x"}, "x": {"u"}, "f": {"x", "y"}, "y": set()}
    assert reached(dict.fromkeys(graph, package), graph, ["u"]) == ({"u": package, "x": package}, {"u": {"x"}, "x": {"u"}})
    print("licences: self-test passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
