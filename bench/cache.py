#!/usr/bin/env python3
"""A caching edge over S3, beside nginx proxy_cache and Varnish over the same upstream, in one run. Needs nginx, varnishd, wrk,
h2load, openssl; listens on 127.0.0.1 only.

    cargo build --profile dist && bench/cache.py [--seconds 2] [--rounds 3] [hits misses far coalescing]

The upstream is a second Tidegate with a public bucket. Ratios are medians over rounds inside which all take turns. Prints
hits (requests/s), misses (time to first byte of small objects, throughput of large ones, against reading the upstream
directly), the same time to first byte where the upstream is 20 ms away, how often 1,000 identical readers of cold content asked upstream, and the most memory (RssAnon) that
the edge held. Uploads: bench/upload.py."""
import argparse, asyncio, http.client, json, os, re, shutil, signal, statistics, subprocess, sys, tempfile, threading, time, urllib.request

from gateway import ACCESS, SECRET, SIZES, free_port, request, start_tidegate

BUCKET = "bench"
PUBLIC = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}]}
MB = 1 << 20


class Memory(threading.Thread):
    """The most anonymous memory that a process held."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.highest = pid, 0.0
        self.start()

    def run(self):
        while True:
            try:
                with open(f"/proc/{self.pid}/status") as f:
                    self.highest = max(self.highest, int(re.search(r"RssAnon:\s+(\d+)", f.read()).group(1)) / 1024)
            except (OSError, AttributeError):
                return
            time.sleep(0.02)


class Bench:
    def __init__(self, folder):
        self.folder, self.servers = folder, []

    def start(self):
        self.upstream, doors = start_tidegate(f"{self.folder}/u", environment={"TIDEGATE_S3_GATEWAYS_ABOVE": "true"})
        self.servers.append(self.upstream)
        self.direct, self.upstream_admin = doors["s3"], doors["admin"]
        request(self.direct, "PUT", f"/{BUCKET}")
        request(self.direct, "PUT", f"/{BUCKET}", "policy", json.dumps(PUBLIC).encode())
        self.tidegate, doors = self.start_edge("t", self.direct)
        self.edge, self.s3 = doors["edge"], doors["s3"]
        request(self.s3, "PUT", f"/{BUCKET}", "policy", json.dumps(PUBLIC).encode())
        self.memory = Memory(self.tidegate.pid)
        self.nginx, self.varnish = self.start_nginx(), self.start_varnish()

    def start_edge(self, name, upstream):
        settings = f'[upstream]\nbucket = "{BUCKET}"\nendpoint = "http://{upstream}"\nregion = "us-east-1"\npath_style = true\n[cache]\nfresh = "10m"\n'
        server, doors = start_tidegate(f"{self.folder}/{name}", settings, {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET})
        self.servers.append(server)
        return server, doors

    def start_nginx(self):
        port, folder = free_port(), f"{self.folder}/n"
        os.makedirs(folder)
        with open(f"{folder}/nginx.conf", "w") as f:
            f.write(f"""
worker_processes {os.cpu_count()};
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
{"user root;" if os.geteuid() == 0 else ""}
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000000;
  proxy_cache_path {folder}/cache keys_zone=c:64m max_size=8g inactive=1h use_temp_path=off;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream s3 {{ server {self.direct}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port} reuseport;
    location / {{ proxy_pass http://s3; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host {self.direct};
                  proxy_cache c; proxy_cache_valid 200 10m; proxy_cache_lock on; proxy_cache_lock_age 60s; proxy_cache_lock_timeout 60s; }}
  }}
}}""")
        self.servers.append(subprocess.Popen(["nginx", "-c", f"{folder}/nginx.conf", "-p", folder], stderr=subprocess.DEVNULL))
        return wait_for(f"127.0.0.1:{port}")

    def start_varnish(self):
        port, folder = free_port(), f"{self.folder}/v"
        host, upstream_port = self.direct.rsplit(":", 1)
        os.makedirs(folder)
        with open(f"{folder}/default.vcl", "w") as f:
            f.write(f"""vcl 4.1;
backend default {{ .host = "{host}"; .port = "{upstream_port}"; }}
sub vcl_recv {{ set req.http.Host = "{self.direct}"; return (hash); }}
sub vcl_backend_response {{ set beresp.ttl = 10m; }}
""")
        command = ["varnishd", "-F", "-a", f"127.0.0.1:{port}", "-f", f"{folder}/default.vcl", "-n", folder, "-s", "malloc,2g", "-j", "none"]
        self.servers.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return wait_for(f"127.0.0.1:{port}")

    def store(self, key, body):
        request(self.direct, "PUT", f"/{BUCKET}/{key}", "", body)

    def upstream_gets(self):
        text = urllib.request.urlopen(f"http://{self.upstream_admin}/metrics").read().decode()
        return sum(int(n) for n in re.findall(r'^tidegate_requests_total\{[^}]*operation="GetObject"[^}]*\} (\d+)', text, re.M))

    def stop(self):
        for server in self.servers:
            server.send_signal(signal.SIGTERM)
        for server in self.servers:
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


def wait_for(address):
    for _ in range(200):
        try:
            connection = http.client.HTTPConnection(address, timeout=5)
            connection.request("GET", "/")
            connection.getresponse().read()
            return address
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing answers on {address}")


def rate(address, key, seconds, connections):
    out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", f"http://{address}/{BUCKET}/{key}"], capture_output=True, text=True).stdout
    if "Non-2xx" in out:
        sys.exit(f"errors from {address}:\n{out}")
    return int(re.search(r"(\d+) requests in", out).group(1)) / seconds


def hits(b, a):
    for name in ("4k", "64k", "1m"):
        b.store(f"hit-{name}", os.urandom(SIZES[name]))
        against = {"nginx proxy_cache": b.nginx, "Varnish": b.varnish}
        rounds = {who: [] for who in against}
        for turn in range(a.rounds + 1):
            seconds = a.seconds if turn else 1  # the first warms all up
            ours = rate(b.edge, f"hit-{name}", seconds, 64)
            for who, address in against.items():
                theirs = rate(address, f"hit-{name}", seconds, 64)
                if turn:
                    rounds[who].append(ours / theirs)
        print(f"hit {name:>4}: " + ", ".join(f"x{statistics.median(r):.2f} of {who}" for who, r in rounds.items()) + f"   [{ours:.0f}/s]", flush=True)


def first_byte(address, keys):
    """Milliseconds to the first byte, and to the last, of each key, one after the other on one connection."""
    connection, first, whole = http.client.HTTPConnection(address, timeout=60), [], []
    for key in keys:
        began = time.perf_counter()
        connection.request("GET", f"/{BUCKET}/{key}")
        answer = connection.getresponse()
        answer.read(1)
        first.append((time.perf_counter() - began) * 1000)
        answer.read()
        whole.append((time.perf_counter() - began) * 1000)
    return first, whole


def misses(b, a):
    count = 200
    for n in range(count * 4):
        b.store(f"miss-{n}", os.urandom(65536))
    doors = {"directly": b.direct, "edge door": b.edge, "S3 door": b.s3, "nginx": b.nginx}
    first_byte(b.direct, [f"miss-{n}" for n in range(50)])
    medians = {}
    for n, (who, address) in enumerate(doors.items()):
        # Each door reads keys that nobody read through it before.
        medians[who] = statistics.median(first_byte(address, [f"miss-{k}" for k in range(count * n, count * (n + 1))])[0])
    added = ", ".join(f"{who} {m - medians['directly']:+.2f} ms" for who, m in medians.items() if who != "directly")
    print(f"miss 64k, time to first byte, median of {count}: directly {medians['directly']:.2f} ms; added by {added}", flush=True)
    doors = {"edge door": b.edge, "S3 door": b.s3, "nginx": b.nginx}
    rounds = {who: [] for who in doors}
    for turn in range(a.rounds + 1):
        b.store(f"large-{turn}", os.urandom(256 * MB))
        first_byte(b.direct, [f"large-{turn}"])
        os.sync()
        direct = first_byte(b.direct, [f"large-{turn}"])[1][0]
        # Each in its turn comes first, and finds a disk that is at rest: what was written before would slow down who comes last.
        for who, address in sorted(doors.items(), key=lambda door: (list(doors).index(door[0]) + turn) % len(doors)):
            key = f"large-{turn}-{who[:2].lower()}"
            b.store(key, os.urandom(256 * MB))
            first_byte(b.direct, [key])
            os.sync()
            whole = first_byte(address, [key])[1][0]
            if turn:
                rounds[who].append(direct / whole)
            request(b.direct, "DELETE", f"/{BUCKET}/{key}")
    print("miss 256 MiB, throughput against reading directly: " + ", ".join(f"{who} x{statistics.median(r):.2f}" for who, r in rounds.items()), flush=True)


async def relay(reader, writer, delay):
    """What comes in goes out `delay` seconds later, in order."""
    loop = asyncio.get_running_loop()
    while data := await reader.read(1 << 16):
        loop.call_later(delay, writer.write, data)
    loop.call_later(delay, writer.close)


def far_away(address, delay):
    """An address behind which the other one is, `delay` seconds away in each direction."""
    host, port = address.rsplit(":", 1)
    loop, started = asyncio.new_event_loop(), threading.Event()
    found = []

    async def connected(reader, writer):
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(relay(reader, there_writer, delay), relay(there_reader, writer, delay), return_exceptions=True)

    async def listen():
        found.append(await asyncio.start_server(connected, "127.0.0.1", 0))
        started.set()

    def run():
        loop.create_task(listen())
        loop.run_forever()

    threading.Thread(target=run, daemon=True).start()
    started.wait()
    return "127.0.0.1:%d" % found[0].sockets[0].getsockname()[1]


def far(b, a):
    count, upstream = 100, far_away(b.direct, 0.010)
    _, doors = b.start_edge("far", upstream)
    for n in range(count):
        b.store(f"far-{n}", os.urandom(65536))
    keys = [f"far-{n}" for n in range(count)]
    direct = statistics.median(first_byte(upstream, keys)[0])
    ours = statistics.median(first_byte(doors["edge"], keys)[0])
    print(f"miss 64k, upstream 20 ms away, time to first byte, median of {count}: directly {direct:.1f} ms, by the edge door {ours:.1f} ms", flush=True)


def coalescing(b, a):
    b.store("cold", os.urandom(8 * MB))
    before = b.upstream_gets()
    out = subprocess.run(["h2load", "--h1", "-n", "1000", "-c", "1000", "-t", "1", f"http://{b.edge}/{BUCKET}/cold"], capture_output=True, text=True).stdout
    done = re.search(r"(\d+) succeeded", out)
    print(f"1,000 identical misses of 8 MiB at once: {b.upstream_gets() - before} GETs upstream, {done.group(1) if done else '?'} answers", flush=True)


def main():
    every = {"hits": hits, "misses": misses, "far": far, "coalescing": coalescing}
    arguments = argparse.ArgumentParser()
    arguments.add_argument("what", nargs="*", default="all", choices=["all", *every])
    arguments.add_argument("--seconds", type=int, default=2)
    arguments.add_argument("--rounds", type=int, default=3)
    a = arguments.parse_args()
    folder = tempfile.mkdtemp(prefix="tidegate-bench-")
    os.chmod(folder, 0o755)
    b = Bench(folder)
    try:
        b.start()
        for what in every if "all" in a.what else a.what:
            every[what](b, a)
        print(f"RssAnon of the edge, at most: {b.memory.highest:.0f} MiB")
    finally:
        b.stop()
        shutil.rmtree(folder, ignore_errors=True)


main()
