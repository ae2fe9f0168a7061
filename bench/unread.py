#!/usr/bin/env python3
"""Anonymous memory of the server while clients ask for much and read nothing, beside one client that reads.

    cargo build --profile dist && bench/unread.py [--connections 200] [--streams 100] [--heads 10000] [--small] [--case NAME]

Cases: `open` (HTTP/2 over TLS, windows as wide as they go, and nothing is read), `shut` (the same with a window of 0), `tls` (HTTP/1.1
over TLS), `plain`, `heads` (half a head on each connection). Objects are of 8 MiB; --small asks for objects of 60 KB too, each stream
another one. Prints the highest RssAnon, what is left some seconds after all have closed, and how quick the client that reads was."""
import argparse, http.client, json, os, resource, shutil, signal, socket, ssl, struct, sys, tempfile, threading, time

from gateway import request, start_tidegate
from memory import Watch, rss_anon

BUCKET, LARGE, SMALL = "unread", 8 << 20, 60_000
SMALLS = 4000


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A field of HPACK without Huffman coding and without the table."""
    return b"".join([b"\0", bytes([len(name)]), name, bytes([len(value)]), value])


def session(address):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=60)


def over_tls(address, protocol):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    return context.wrap_socket(session(address), server_hostname="localhost")


def http2(address, window, paths):
    """A connection with a request for each path on it, that reads no more than the server's settings."""
    s = over_tls(address, "h2")
    out = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", frame(4, 0, 0, struct.pack(">HI", 4, window) + struct.pack(">HI", 5, (1 << 24) - 1))]
    out.append(frame(8, 0, 0, struct.pack(">I", (1 << 31) - 1 - 65535)))
    out.append(frame(4, 1, 0))
    for n, path in enumerate(paths):
        fields = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", path.encode()), (b":authority", address.encode())]
        out.append(frame(1, 5, 2 * n + 1, b"".join(literal(*f) for f in fields)))
    s.sendall(b"".join(out))
    return s


def http1(s, address, path):
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
    return s


class Reader(threading.Thread):
    """Reads the large object by the plain door and a small one over TLS, again and again, and remembers the longest time."""

    def __init__(self, doors):
        super().__init__(daemon=True)
        self.doors, self.stopping, self.times = doors, False, []
        self.start()

    def run(self):
        context = ssl._create_unverified_context()
        while not self.stopping:
            began = time.monotonic()
            for connection, path, size in (
                (http.client.HTTPConnection(self.doors["s3"], timeout=60), "large", LARGE),
                (http.client.HTTPSConnection(self.doors["s3 tls"], timeout=60, context=context), "large", LARGE),
                (http.client.HTTPSConnection(self.doors["s3 tls"], timeout=60, context=context), "small-0", SMALL),
            ):
                connection.request("GET", f"/{BUCKET}/{path}")
                got = len(connection.getresponse().read())
                if got != size:
                    sys.exit(f"the client that reads got {got} bytes of {path}")
                connection.close()
            self.times.append(time.monotonic() - began)


def all_at_once(work, count, threads=16):
    """Runs work(n) for each n, on a few threads; what it returns is kept."""
    kept, numbers, lock = [], iter(range(count)), threading.Lock()

    def run():
        while True:
            with lock:
                n = next(numbers, None)
            if n is None:
                return
            made = work(n)
            with lock:
                kept.append(made)

    running = [threading.Thread(target=run) for _ in range(threads)]
    for t in running:
        t.start()
    for t in running:
        t.join()
    return kept


def case(name, doors, pid, a):
    def paths(n):
        kind = (lambda i: f"small-{(n * a.streams + i) % SMALLS}") if a.small else (lambda i: "large")
        return [f"/{BUCKET}/{kind(i)}" for i in range(a.streams)]

    def work(n):
        if name in ("open", "shut"):
            return http2(doors["s3 tls"], (1 << 31) - 1 if name == "open" else 0, paths(n))
        if name == "tls":
            return http1(over_tls(doors["s3 tls"], "http/1.1"), doors["s3 tls"], paths(n)[0])
        s = session(doors["s3"])
        if name == "plain":
            return http1(s, doors["s3"], paths(n)[0])
        s.sendall(b"GET /unread/large HTTP/1.1\r\nHost: t\r\nX-Half: " + b"x" * 200)
        return s

    count = a.connections if name in ("open", "shut") else a.heads
    before, watch, reader = rss_anon(pid), Watch(pid), Reader(doors)
    kept = all_at_once(work, count)
    time.sleep(a.seconds)
    watch.stopping, reader.stopping = True, True
    reader.join()
    held = rss_anon(pid)
    for s in kept:
        s.close()
    time.sleep(6)
    each = f"{count} connections" + (f" of {a.streams} streams" if name in ("open", "shut") else "")
    print(f"{name}{' small' if a.small else ''}: {each}: RssAnon before {before:.0f}, at most {watch.highest:.0f}, held {held:.0f}, after close {rss_anon(pid):.0f} MiB; "
          f"a client that reads took {max(reader.times):.2f} s at most, {sorted(reader.times)[len(reader.times) // 2]:.2f} s in the middle", flush=True)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--connections", type=int, default=200)
    arguments.add_argument("--streams", type=int, default=100)
    arguments.add_argument("--heads", type=int, default=10_000, help="connections of the cases in HTTP/1.1")
    arguments.add_argument("--seconds", type=float, default=5)
    arguments.add_argument("--small", action="store_true")
    arguments.add_argument("--case", action="append", choices=["open", "shut", "tls", "plain", "heads"])
    a = arguments.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    folder = tempfile.mkdtemp(prefix="tidegate-unread-")
    server, doors = start_tidegate(f"{folder}/t")
    try:
        request(doors["s3"], "PUT", f"/{BUCKET}")
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}]}
        request(doors["s3"], "PUT", f"/{BUCKET}", "policy", json.dumps(policy).encode())
        request(doors["s3"], "PUT", f"/{BUCKET}/large", "", os.urandom(LARGE))
        all_at_once(lambda n: request(doors["s3"], "PUT", f"/{BUCKET}/small-{n}", "", os.urandom(SMALL)), SMALLS if a.small else 1)
        for name in a.case or ["open", "shut", "tls", "plain", "heads"]:
            case(name, doors, server.pid, a)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
