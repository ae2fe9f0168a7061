#!/usr/bin/env python3
"""Serves the same files by Tidegate (anonymous by bucket policy, metrics on) and by nginx (static files, sendfile), in turn, in
one run, with the same load generator, and prints the ratios. Needs nginx, wrk, h2load, openssl; listens on 127.0.0.1 only.

    cargo build --profile dist && bench/serve.py [--seconds 4] [--rounds 5] [--sizes 4k,64k,1m,100m] [--door s3|edge] [--tls|--h2|--variant]

--h2 is HTTP/2 over TLS. --variant serves a text in Brotli by the edge door, against a file of the same length by the same door.

Ratios are medians over the rounds of (Tidegate / nginx) inside each round, so a machine that drifts between rounds does not
decide. CPU is the server's own (all its processes), per request. Absolute figures mean little on a shared machine."""
import argparse, http.client, json, os, re, shutil, signal, socket, statistics, subprocess, sys, tempfile, time

from gateway import SIZES, certificate, free_port, request, start_tidegate


def start_nginx(folder, root, open_file_cache):
    port, tls = free_port(), free_port()
    certificate(folder)
    with open(f"{folder}/nginx.conf", "w") as f:
        f.write(f"""
worker_processes {os.cpu_count()};
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
{"user root;" if os.geteuid() == 0 else ""}
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000000; {"open_file_cache max=1000 inactive=600s;" if open_file_cache else ""}
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port} reuseport; root {root}; etag on; }}
  server {{ listen 127.0.0.1:{tls} ssl http2 reuseport; ssl_certificate {folder}/default.crt; ssl_certificate_key {folder}/default.key; root {root}; }}
}}""")
    server = subprocess.Popen(["nginx", "-c", f"{folder}/nginx.conf", "-p", folder], stderr=subprocess.DEVNULL)
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    return server, {"plain": f"127.0.0.1:{port}", "tls": f"127.0.0.1:{tls}"}


def cpu_seconds(pid):
    """User and system time of a process and its children, in seconds."""
    total = 0
    for p in [pid] + [int(c) for c in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()]:
        with open(f"/proc/{p}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def load(url, seconds, connections, pid, h2=False, headers=()):
    before = cpu_seconds(pid)
    if h2:
        out = subprocess.run(["h2load", "-t1", f"-c{connections}", f"-D{seconds}", url], capture_output=True, text=True).stdout
        done, failed = (int(n) for n in re.search(r"(\d+) succeeded, (\d+) failed", out).groups())
        if failed or "Application protocol: h2" not in out:
            sys.exit(f"errors from {url}:\n{out}")
        return done / seconds, (cpu_seconds(pid) - before) / max(done, 1)
    out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *headers, url], capture_output=True, text=True).stdout
    used = cpu_seconds(pid) - before
    requests = int(re.search(r"(\d+) requests in", out).group(1))
    if "Non-2xx" in out or "Socket errors: connect" in out and not re.search(r"connect 0, read 0, write 0", out):
        sys.exit(f"errors from {url}:\n{out}")
    return requests / seconds, used / max(requests, 1)


def ready_variant(address, path):
    """The length of the text's Brotli form, when it has been made."""
    for _ in range(600):
        connection = http.client.HTTPConnection(address, timeout=10)
        connection.request("HEAD", path, headers={"Accept-Encoding": "br"})
        answer = connection.getresponse()
        connection.close()
        if answer.getheader("content-encoding") == "br":
            return int(answer.getheader("content-length"))
        time.sleep(0.1)
    sys.exit("the variant is not made")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--seconds", type=int, default=4)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--sizes", default="4k,64k,1m,100m")
    arguments.add_argument("--connections", type=int, default=64)
    arguments.add_argument("--door", default="s3", choices=["s3", "edge"])
    how = arguments.add_mutually_exclusive_group()
    how.add_argument("--tls", action="store_true")
    how.add_argument("--h2", action="store_true")
    how.add_argument("--variant", action="store_true")
    arguments.add_argument("--open-file-cache", action="store_true", help="nginx keeps files open (off in its defaults)")
    a = arguments.parse_args()
    folder = tempfile.mkdtemp(prefix="tidegate-bench-")
    servers = []
    try:
        os.makedirs(f"{folder}/n/www/bench")
        os.chmod(folder, 0o755)
        tidegate, doors = start_tidegate(f"{folder}/t")
        servers.append(tidegate)
        request(doors["s3"], "PUT", "/bench")
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bench/*"}]}
        request(doors["s3"], "PUT", "/bench", "policy", json.dumps(policy).encode())
        nginx, nginx_doors = start_nginx(f"{folder}/n", f"{folder}/n/www", a.open_file_cache)
        servers.append(nginx)
        scheme, tls = ("https", True) if a.tls or a.h2 else ("http", False)
        ours = ("tidegate", f"{scheme}://{doors[a.door + ' tls' if tls else a.door]}", tidegate.pid, ())
        theirs = ("nginx", f"{scheme}://{nginx_doors['tls' if tls else 'plain']}", nginx.pid, ())
        if a.variant:
            ours = ("variant", f"http://{doors['edge']}", tidegate.pid, ("-H", "Accept-Encoding: br"))
            theirs = ("file", f"http://{doors['edge']}", tidegate.pid, ())
        what = "h2" if a.h2 else scheme
        print(f"{what}, {'edge' if a.variant else a.door} door, {a.connections} connections, {a.rounds} rounds of {a.seconds} s each; ratio = {ours[0]} / {theirs[0]}")
        for name in a.sizes.split(","):
            paths = {ours[0]: f"/bench/{name}.bin", theirs[0]: f"/bench/{name}.bin"}
            size = SIZES[name]
            if a.variant:
                # Brotli makes about half of it.
                paths["variant"] = f"/bench/{name}.json"
                request(doors["s3"], "PUT", paths["variant"], "", os.urandom(size).hex().encode())
                size = ready_variant(doors["edge"], paths["variant"])
            body = os.urandom(size)
            request(doors["s3"], "PUT", f"/bench/{name}.bin", "", body)
            with open(f"{folder}/n/www/bench/{name}.bin", "wb") as f:
                f.write(body)
            large = size > 1 << 24
            connections, seconds = (min(a.connections, 16), a.seconds * 4) if large else (a.connections, a.seconds)
            rates, cpus, shown = [], [], []
            for turn in range(a.rounds + 1):
                pair = {}
                for who, address, pid, headers in (ours, theirs) if turn % 2 else (theirs, ours):
                    pair[who] = load(address + paths[who], 1 if turn == 0 else seconds, connections, pid, a.h2, headers)
                if turn:  # the first warms both up
                    (rate, cpu), (other_rate, other_cpu) = pair[ours[0]], pair[theirs[0]]
                    rates.append(rate / max(other_rate, 1e-9))
                    cpus.append(cpu / max(other_cpu, 1e-9))
                    shown.append((rate, other_rate))
            middle = [statistics.median(s[i] for s in shown) for i in (0, 1)]
            print(f"{name:>5}: requests/s x{statistics.median(rates):.2f} (min {min(rates):.2f} max {max(rates):.2f})   "
                  f"CPU per request x{statistics.median(cpus):.2f}   [{middle[0]:.0f}/s vs {middle[1]:.0f}/s]", flush=True)
    finally:
        for server in servers:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
        shutil.rmtree(folder, ignore_errors=True)


main()
