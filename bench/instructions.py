#!/usr/bin/env python3
"""Counts the instructions of one hot GET in user space, by callgrind: one worker, four connections of HTTP/1.1, 4 KiB, anonymous by
bucket policy. Unlike requests/s they are the same on a busy machine. Needs valgrind and h2load; listens on 127.0.0.1 only.

    cargo build --profile dist && bench/instructions.py [--door s3|edge] [--binary FILE] [--files 40]
    bench/instructions.py --check --binary target/debug/tidegate

Prints what each module and crate takes, inlined code under the file that it was written in. --check compares with
bench/instructions.json, which has numbers for the build in whose folder the binary lies, and fails where a GET costs 5 % more.
Who means it writes the new number there (--write). For both, libc copies memory as on the oldest CPU, so that all machines count alike."""
import argparse, collections, glob, json, os, re, shutil, signal, subprocess, sys, tempfile

import gateway
from gateway import HERE, request, start_tidegate

WARM, COUNTED, MOST = 400, 1000, 1.05
SAME_EVERYWHERE = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-ERMS,-FSRM"}
NUMBERS = f"{HERE}/instructions.json"


def load(door, requests):
    done = subprocess.run(["h2load", "--h1", "-n", str(requests), "-c", "4", f"http://{door}/bench/4k.bin"], capture_output=True, text=True)
    if f"{requests} succeeded" not in done.stdout:
        sys.exit(f"h2load: {done.stdout}{done.stderr}")


def control(pid, *what):
    done = subprocess.run(["callgrind_control", *what, str(pid)], capture_output=True, text=True)
    if "OK." not in done.stdout:
        sys.exit(f"callgrind_control {what}: {done.stdout}{done.stderr}")


def count(binary, door, environment=None):
    """The profile of the counted requests, as callgrind wrote it."""
    folder = tempfile.mkdtemp(prefix="tidegate-instructions-")
    gateway.BINARY, gateway.BEFORE = binary, [
        "taskset", "-c", "0", "valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={folder}/profile.%p"]
    server, doors = start_tidegate(folder, environment=environment)
    try:
        s3 = doors["s3"]
        request(s3, "PUT", "/bench")
        request(s3, "PUT", "/bench/4k.bin", body=os.urandom(4096))
        everyone = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bench/*"}
        request(s3, "PUT", "/bench", "policy", json.dumps({"Version": "2012-10-17", "Statement": [everyone]}).encode())
        load(doors[door], WARM)
        control(server.pid, "--zero")
        load(doors[door], COUNTED)
        control(server.pid, "--dump")
        profile = [path for path in glob.glob(f"{folder}/profile.*") if re.search(r"\.\d+$", path) and os.path.getsize(path)]
        return "".join(open(path, encoding="utf-8", errors="replace").read() for path in profile)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def by_file(profile):
    """Instructions of each source file, without those of what it calls."""
    names, costs, file, function, callee = {}, collections.Counter(), "?", "?", False
    for line in profile.splitlines():
        named = re.match(r"(fl|fi|fe|fn|cfn|cfi|cfl|ob|cob)=\((\d+)\)(?: (.*))?$", line)
        if named:
            kind, number, name = named.groups()
            space = {"f": "file", "n": "function", "o": "object"}["n" if kind.endswith("fn") else "o" if "ob" in kind else "f"]
            if name is not None:
                names[space, number] = name
            if kind in ("fl", "fi", "fe"):
                file = names.get((space, number), "?")
            elif kind == "fn":
                function = names.get((space, number), "?")
        elif line.startswith("calls="):
            callee = True
        elif re.match(r"[+\-*\d]\S* \d+$", line):
            if not callee:
                costs[short(file, function)] += int(line.split()[1])
            callee = False
    return costs


def short(file, function):
    crate = re.search(r"/registry/src/[^/]+/([^/]+)-\d[^/]*/", file)
    if crate:
        return f"crate {crate[1]}"
    if file.startswith("/rustc/") or "/rustlib/" in file or "/library/" in file:
        return "std " + re.sub(r".*/library/", "", file)
    ours = re.search(r"(?:^|/)(src/.*)", file)
    return ours[1] if ours else f"? {function}"


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--door", choices=["s3", "edge"])
    arguments.add_argument("--binary", default=gateway.BINARY)
    arguments.add_argument("--files", type=int, default=40)
    arguments.add_argument("--check", action="store_true")
    arguments.add_argument("--write", action="store_true")
    asked = arguments.parse_args()
    build = os.path.basename(os.path.dirname(os.path.abspath(asked.binary)))
    numbers = json.load(open(NUMBERS)) if os.path.exists(NUMBERS) else {}
    known, worse = numbers.setdefault(build, {}), []
    for door in [asked.door] if asked.door else ["s3", "edge"]:
        costs = by_file(count(asked.binary, door, SAME_EVERYWHERE if asked.check or asked.write else None))
        each = sum(costs.values()) // COUNTED
        print(f"{door} door, {build} build: {each} instructions for a GET of 4 KiB; written down: {known.get(door, 'nothing')}")
        for file, cost in [] if asked.check or asked.write else costs.most_common(asked.files):
            print(f"{cost // COUNTED:8} {100 * cost / sum(costs.values()):5.1f} %  {file}")
        if asked.write:
            known[door] = each
        elif asked.check and each > known.get(door, 0) * MOST:
            worse.append(door)
    if asked.write:
        open(NUMBERS, "w").write(json.dumps(numbers, indent=2, sort_keys=True) + "\n")
    if worse:
        sys.exit(f"A hot GET costs more than 5 % more than bench/instructions.json says by: {', '.join(worse)}. Find out why; if it is meant, run this with --write.")


if __name__ == "__main__":
    main()
