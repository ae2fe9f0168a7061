#!/usr/bin/env python3
"""Anonymous memory of the server while many large bodies arrive at once: single PUTs, then multipart uploads.

    cargo build --profile dist && bench/memory.py [--parallel 64] [--size 500] [--part 8] [--data FOLDER]

Every body is another one, made while it is sent; objects go as soon as a round is over. Prints the highest RssAnon of each round,
and what is left of it a second after. Sizes are in MB of a million bytes. Where the disk has no room for a round, it says so and
takes smaller bodies: it is their number that memory could grow with. What clients cost that ask and don't read: unread.py."""
import argparse, os, shutil, signal, socket, sys, tempfile, threading, time

from gateway import request, sign, start_tidegate

BLOCK = 1_000_000
BUCKET = "memory"


def rss_anon(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("RssAnon:")) / 1024


class Watch(threading.Thread):
    """The highest RssAnon until it is told to stop."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.highest, self.stopping = pid, 0.0, False
        self.start()

    def run(self):
        while not self.stopping:
            self.highest = max(self.highest, rss_anon(self.pid))
            time.sleep(0.02)


class Client:
    """One connection, kept. Sends bodies of whole blocks, each block stamped, so that no two are equal."""

    def __init__(self, address, noise):
        host, port = address.rsplit(":", 1)
        self.address, self.socket = address, socket.create_connection((host, int(port)), timeout=600)
        self.noise = noise

    def send(self, method, path, query="", stamp="", blocks=0, body=b"", between=None):
        canonical = "&".join(sorted(p if "=" in p else p + "=" for p in query.split("&"))) if query else ""
        head = sign(method, self.address, path, canonical, headers={}, digest="UNSIGNED-PAYLOAD")
        lines = "".join(f"{n}: {v}\r\n" for n, v in head.items())
        target = path + ("?" + query if query else "")
        self.socket.sendall(f"{method} {target} HTTP/1.1\r\n{lines}content-length: {blocks * BLOCK or len(body)}\r\n\r\n".encode() + body)
        for n in range(blocks):
            self.socket.sendall(f"{stamp}-{n:08}".encode().ljust(64))
            self.socket.sendall(self.noise[64:])
            if between:
                between()
        return self.answer(f"{method} {target}")

    def answer(self, what):
        data = b""
        while b"\r\n\r\n" not in data:
            got = self.socket.recv(65536)
            if not got:
                sys.exit(f"{what}: the connection was closed")
            data += got
        head, _, rest = data.partition(b"\r\n\r\n")
        fields = {n.lower(): v.strip() for n, _, v in (l.partition(":") for l in head.decode().split("\r\n")[1:])}
        while len(rest) < int(fields.get("content-length", 0)):
            rest += self.socket.recv(65536)
        if not head.startswith(b"HTTP/1.1 2"):
            sys.exit(f"{what}: {head.decode()}\n{rest.decode()}")
        return fields, rest


def single(client, n, size, _part):
    client.send("PUT", f"/{BUCKET}/single-{n}", stamp=f"s{n}", blocks=size)


def multipart(client, n, size, part):
    path = f"/{BUCKET}/multi-{n}"
    upload = client.send("POST", path, "uploads")[1].split(b"<UploadId>")[1].split(b"<")[0].decode()
    plan = ""
    for number, at in enumerate(range(0, size, part), 1):
        etag = client.send("PUT", path, f"partNumber={number}&uploadId={upload}", f"m{n}-{number}", min(part, size - at))[0]["etag"]
        plan += f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
    client.send("POST", path, f"uploadId={upload}", body=f"<CompleteMultipartUpload>{plan}</CompleteMultipartUpload>".encode())


def round_of(work, name, address, pid, a, size):
    noise = os.urandom(BLOCK)
    watch, began = Watch(pid), time.monotonic()
    clients = [Client(address, noise) for _ in range(a.parallel)]
    threads = [threading.Thread(target=work, args=(c, n, size, a.part)) for n, c in enumerate(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    seconds = time.monotonic() - began
    time.sleep(1)
    watch.stopping = True
    watch.join()
    rate = a.parallel * size / seconds
    print(f"{name}: {a.parallel} at once, {size} MB each, {seconds:.0f} s, {rate:.0f} MB/s: RssAnon at most {watch.highest:.0f} MiB, then {rss_anon(pid):.0f} MiB", flush=True)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--parallel", type=int, default=64)
    arguments.add_argument("--size", type=int, default=500, help="MB")
    arguments.add_argument("--part", type=int, default=8, help="MB")
    arguments.add_argument("--data", help="where the data goes (default: a temporary folder)")
    a = arguments.parse_args()
    folder = tempfile.mkdtemp(prefix="tidegate-memory-", dir=a.data)
    server, doors = start_tidegate(f"{folder}/t")
    try:
        request(doors["s3"], "PUT", f"/{BUCKET}")
        print(f"at rest: RssAnon {rss_anon(server.pid):.0f} MiB")
        for work, name, key in ((single, "single PUT", "single"), (multipart, "multipart", "multi")):
            room = shutil.disk_usage(folder).free // BLOCK * 3 // 4 // a.parallel
            size = min(a.size, room)
            if size < a.size:
                print(f"the disk has room for {size} MB each", flush=True)
            round_of(work, name, doors["s3"], server.pid, a, size)
            for n in range(a.parallel):
                request(doors["s3"], "DELETE", f"/{BUCKET}/{key}-{n}")
            # Files go with the next pass, after the grace.
            deadline = time.monotonic() + 300
            while shutil.disk_usage(folder).free < a.parallel * size * BLOCK and time.monotonic() < deadline:
                time.sleep(1)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
