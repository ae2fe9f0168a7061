#!/usr/bin/env python3
"""Durable PUTs, 64 writers, presigned URLs, one run: Tidegate against other S3 servers. Needs wrk.

    cargo build --profile dist && bench/put.py [--sizes 4k,1m] [--rounds 3] [--seconds 5] [--peer NAME=URL,ACCESS,SECRET ...]

A peer is a server that runs already, with a bucket called `bench`, such as
    s3s-fs --access-key K --secret-key S --port 8014 DIR    ->  --peer s3s-fs=http://127.0.0.1:8014,K,S
Bodies are random and different for every request of a connection's first key, keys come from a set of 20,000, so both new
objects and overwrites are measured. Ratios are medians over rounds of (Tidegate / peer) inside each round."""
import argparse, datetime, hashlib, hmac, os, re, shutil, signal, statistics, subprocess, sys, tempfile, urllib.parse

from gateway import ACCESS, SECRET, SIZES, request, start_tidegate

KEYS = 20_000

LUA = """
local paths, n = {}, 0
for line in io.lines(os.getenv("BENCH_PATHS")) do n = n + 1; paths[n] = line end
local size, at, counter = tonumber(os.getenv("BENCH_SIZE")), 0, 0
local f = io.open("/dev/urandom", "rb"); local noise = f:read(size); f:close()
local f = io.open("/dev/urandom", "rb"); math.randomseed(string.byte(f:read(1)) * 65536 + string.byte(f:read(1))); f:close()
at = math.random(n)
request = function()
  at = at % n + 1; counter = counter + 1
  -- Sixteen bytes of their own make every body new content: nothing is won by deduplication.
  return wrk.format("PUT", paths[at], nil, string.format("%016d", counter + at * 1000003 + math.random(1000000)) .. noise:sub(17))
end
local bad = 0
response = function(status) if status ~= 200 then bad = bad + 1; if bad < 3 then print("status " .. status) end end end
"""


def presign(endpoint, access, secret, path):
    host = urllib.parse.urlparse(endpoint).netloc
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{now[:8]}/us-east-1/s3/aws4_request"
    query = urllib.parse.urlencode(sorted({"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"{access}/{scope}", "X-Amz-Date": now,
                                           "X-Amz-Expires": "86400", "X-Amz-SignedHeaders": "host"}.items()), quote_via=urllib.parse.quote, safe="")
    canonical = f"PUT\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
    to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = ("AWS4" + secret).encode()
    for step in (now[:8], "us-east-1", "s3", "aws4_request"):
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    return f"{path}?{query}&X-Amz-Signature={hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()}"


def load(folder, name, endpoint, size, seconds):
    env = dict(os.environ, BENCH_PATHS=f"{folder}/{name}.paths", BENCH_SIZE=str(size))
    out = subprocess.run(["wrk", "-t1", "-c64", f"-d{seconds}s", "-s", f"{folder}/put.lua", endpoint], capture_output=True, text=True, env=env).stdout
    if "Non-2xx" in out:
        sys.exit(f"{name} refused requests:\n{out}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--sizes", default="4k,1m")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=int, default=5)
    arguments.add_argument("--peer", action="append", default=[])
    arguments.add_argument("--data", help="where Tidegate keeps its data (default: a temporary folder)")
    a = arguments.parse_args()
    folder = tempfile.mkdtemp(prefix="tidegate-bench-", dir=a.data)
    server, doors = start_tidegate(f"{folder}/t")
    try:
        request(doors["s3"], "PUT", "/bench")
        with open(f"{folder}/put.lua", "w") as f:
            f.write(LUA)
        servers = {"tidegate": (f"http://{doors['s3']}", ACCESS, SECRET)}
        for peer in a.peer:
            name, rest = peer.split("=", 1)
            servers[name] = tuple(rest.split(","))
        for name, (endpoint, access, secret) in servers.items():
            with open(f"{folder}/{name}.paths", "w") as f:
                f.writelines(presign(endpoint, access, secret, f"/bench/{i % 97:02d}/object-{i}") + "\n" for i in range(KEYS))
        for size in a.sizes.split(","):
            rates = {name: [] for name in servers}
            for turn in range(a.rounds):
                for name in list(servers)[:: 1 if turn % 2 else -1]:
                    rates[name].append(load(folder, name, servers[name][0], SIZES[size], a.seconds))
            print(f"{size:>4}: tidegate {statistics.median(rates['tidegate']):.0f}/s", end="")
            for name in list(servers)[1:]:
                ratio = statistics.median(t / p for t, p in zip(rates["tidegate"], rates[name]))
                print(f"   {name} {statistics.median(rates[name]):.0f}/s  x{ratio:.2f}", end="")
            print(flush=True)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


main()
