#!/usr/bin/env python3
"""The disk fails under the real program: refused opens, torn writes, failed syncs, renames and folder syncs; a full disk.

    python faults.py [--seconds 15] [--seed N] [--binary PATH] [--only NAME] [--keep]

The faults come from `shim.c`, which is compiled here, preloaded into the gateway and switched while it runs; and from a small
file system of its own, where one can be mounted. What must hold: up to three tries, each with a new file; then a clear 503 or
507; nothing half-visible, nothing acknowledged lost, no file of a failed write kept; and service goes on by itself.

A run without a finding ends with one line and status 0. The seed fixes what is done, not how threads interleave.
"""

import argparse
import ctypes
import errno
import hashlib
import mmap
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "clients"), str(HERE.parent / "crash")]
import gateway
from wire import Cut, Wire

BUCKET = "faults"
PATIENCE = 120  # seconds until what must come by itself is a failure: upkeep rests for twenty times as long as it worked
OPEN, WRITE, SYNC, SYNCDIR, RENAME, UNLINK, MKDIR = 1, 2, 4, 8, 16, 32, 64
NAMES = {OPEN: "open", WRITE: "write", SYNC: "fsync", SYNCDIR: "fsync of a folder", RENAME: "rename", UNLINK: "unlink", MKDIR: "mkdir"}
KILL = -1
PARTS = "parts-"  # keys of multipart objects: of one part, which is a file however small it is
QUIET = 'grace = "1ms"\nupkeep_interval = "1h"\nreserve = "0B"\n'
STORE = 'grace = "1ms"\nupkeep_interval = "100ms"\nreserve = "0B"\n'


class Finding(Exception):
    """A broken promise."""


class Rule(ctypes.Structure):
    """As in shim.c."""

    _fields_ = [
        ("operations", ctypes.c_uint32), ("error", ctypes.c_int32), ("left", ctypes.c_int64), ("hits", ctypes.c_int64),
        ("holds", ctypes.c_char * 100), ("exception", ctypes.c_char * 100),
    ]


class Rules:
    """The file that the shim maps."""

    def __init__(self, path):
        path.write_bytes(bytes(16 * ctypes.sizeof(Rule)))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)
        self.rules = (Rule * 16).from_buffer(self.map)

    def set(self, operations, error, left=-1, holds="", exception="/index/", number=0):
        rule = self.rules[number]
        rule.operations = rule.hits = 0
        rule.error, rule.left, rule.holds, rule.exception = error, left, holds.encode(), exception.encode()
        rule.operations = operations

    def clear(self):
        for rule in self.rules:
            rule.operations = 0

    def hits(self):
        return self.rules[0].hits


def body_of(name, size):
    return random.Random(f"{name}/{size}").randbytes(size)


def expect(status, wanted, what, body=b""):
    if status not in wanted:
        raise Finding(f"{what}: status {status}: {body[:400].decode(errors='replace')}")


def between(body, tag):
    return body.split(tag, 1)[1].split(b"<", 1)[0].decode()


def until(what, done):
    deadline = time.monotonic() + PATIENCE
    while True:
        state = done()
        if state is True:
            return
        if time.monotonic() > deadline:
            raise Finding(f"{what}: not within {PATIENCE} s: {state}")
        time.sleep(0.02)


class Place:
    """A gateway with the shim in front of its disk, and what its clients know."""

    def __init__(self, folder, binary, shim, store=STORE):
        self.folder, self.binary, self.shim, self.store = folder, binary, shim, store
        folder.mkdir(exist_ok=True)
        self.data = folder / "data"
        self.settings = gateway.write_settings(folder, store=store)
        self.rules = Rules(folder / "rules")
        self.known, self.open_uploads, self.server = {}, [], None
        self.start()
        expect(self.ask("PUT", f"/{BUCKET}")[0], (200,), "make the bucket")

    def start(self):
        env = {"LD_PRELOAD": str(self.shim), "FAULTS_RULES": str(self.folder / "rules"), "FAULTS_UNDER": str(self.data), "TIDEGATE_LOG_LEVEL": "info,tidegate::local=debug"}
        self.server = gateway.Gateway(self.binary, self.settings, self.folder / "gateway.log", env)
        self.port = self.server.wait_until_open().ports["s3"]

    def wire(self):
        return Wire(self.port, *gateway.TENANTS["alice"])

    def ask(self, *request):
        wire = self.wire()
        try:
            return wire.request(*request)
        finally:
            wire.close()

    # Each writes once and says the status; what is acknowledged is remembered, what is refused must not be seen.

    def put(self, key, body, headers=None):
        status, answer, text = self.ask("PUT", f"/{BUCKET}/{key}", "", headers or {}, body)
        if status == 200:
            if answer["etag"].strip('"') != hashlib.md5(body).hexdigest():
                raise Finding(f"{key}: acknowledged with ETag {answer['etag']}")
            self.known[key] = body
        return status, text

    def delete(self, key):
        status, _, text = self.ask("DELETE", f"/{BUCKET}/{key}")
        if status == 204:
            self.known.pop(key, None)
        return status, text

    def copy(self, source, key):
        headers = {"x-amz-copy-source": f"/{BUCKET}/{source}"}
        status, _, text = self.ask("PUT", f"/{BUCKET}/{key}", "", headers)
        if status == 200 and b"<Error>" in text:
            raise Finding(f"copy: an error under a 200: {text[:300]}")
        if status == 200:
            self.known[key] = self.known[source]
        return status, text

    def multipart(self, key, bodies):
        """The status of the first step that was refused, or of the last."""
        path = f"/{BUCKET}/{key}"
        status, _, text = self.ask("POST", path, "uploads")
        if status != 200:
            return status, text
        upload, etags = between(text, b"<UploadId>"), []
        for number, body in enumerate(bodies, 1):
            status, answer, text = self.ask("PUT", path, f"partNumber={number}&uploadId={upload}", {}, body)
            if status != 200:
                break
            etags.append(answer["etag"])
        if len(etags) == len(bodies):
            plan = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in enumerate(etags, 1))
            status, _, text = self.ask("POST", path, f"uploadId={upload}", {}, f"<CompleteMultipartUpload>{plan}</CompleteMultipartUpload>".encode())
            if status == 200:
                self.known[key] = b"".join(bodies)
                return status, text
        # Open uploads would hold their parts' files; an abort may be refused for as long as the disk is.
        self.open_uploads.append((path, upload))
        return status, text

    # What must hold

    def look(self):
        """All that was acknowledged is there, byte-equal, and nothing else."""
        for key, body in self.known.items():
            status, _, there = self.ask("GET", f"/{BUCKET}/{key}")
            expect(status, (200,), f"GET {key}", there)
            if there != body:
                raise Finding(f"{key}: {len(there)} B, md5 {hashlib.md5(there).hexdigest()}, acknowledged were {len(body)} B")
        status, _, listed = self.ask("GET", f"/{BUCKET}", "list-type=2")
        expect(status, (200,), "list", listed)
        keys = {between(entry, b"<Key>") for entry in listed.split(b"<Contents>")[1:]}
        if keys != set(self.known):
            raise Finding(f"the listing differs from what was acknowledged: {keys ^ set(self.known)}")

    def resumes(self):
        """After the fault: by itself, for every kind of write."""
        until("service resumes", lambda: self.put("resumed", b"again")[0] == 200)
        expect(self.put("resumed-large", body_of("again", 300_000))[0], (200,), "a large PUT after the fault")
        while self.open_uploads:
            path, upload = self.open_uploads.pop()
            expect(self.ask("DELETE", path, f"uploadId={upload}")[0], (204,), "abort after the fault")
        until("ready", lambda: self.ask("GET", "/-/ready")[0] == 200)

    def files(self, *folders):
        # os.walk passes over a folder that goes meanwhile.
        return [Path(at) / name for f in folders for at, _, names in os.walk(self.data / f) for name in names]

    def settles(self):
        """Nothing of a failed write stays: not on its way, and not in place."""
        large = {hashlib.sha256(b).digest() for k, b in self.known.items() if len(b) > 65536 or k.startswith(PARTS)}
        wanted = len(large)

        def done():
            way, there = self.files("staging"), self.files("blobs")
            return True if not way and len(there) == wanted else f"{wanted} files wanted, {len(there)} there; on their way: {way[:5]}"

        until("the files of failed writes go", done)

    def gone(self):
        """Whatever a finding left running."""
        if self.server.process.poll() is None:
            self.server.kill()

    def stop(self):
        status = self.server.stop()
        if status != 0:
            raise Finding(f"exit status {status} after SIGTERM")

    def restart(self, store):
        """With other settings of the store."""
        self.stop()
        text = self.settings.read_text()
        self.settings.write_text(text.replace(self.store, store))
        self.store = store
        self.start()

    def fsck(self):
        done = subprocess.run(
            [str(self.binary), "fsck", "--verify", "--config", str(self.settings)], stdin=subprocess.DEVNULL, capture_output=True,
            cwd=self.folder, timeout=300, env={k: v for k, v in os.environ.items() if not k.startswith("TIDEGATE_")},
        )
        if done.returncode != 0:
            raise Finding(f"fsck ended with {done.returncode}: {(done.stdout + done.stderr)[-1500:].decode(errors='replace')}")

    def end(self):
        self.look()
        self.stop()
        self.fsck()


def refused(answer, error, what):
    """A clear error of the right class."""
    status, body = answer
    full = error == errno.ENOSPC
    expect(status, (507,) if full else (503,), what, body)
    code = between(body, b"<Code>")
    if code != ("InsufficientStorage" if full else "ServiceUnavailable"):
        raise Finding(f"{what}: code {code}")


ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS, errno.EACCES)
STEPS = (OPEN, WRITE, SYNC, SYNCDIR, RENAME)
# Where in a write the step is: text of the path, operation, and whether a small and a large body need it.
POINTS = (
    ("/staging/", OPEN, False, True), ("/staging/", WRITE, False, True), ("/staging/", SYNC, False, True),
    ("/blobs/", RENAME, False, True), ("/blobs/", SYNCDIR, False, True),
    ("/journal/", WRITE, True, True), ("/journal/", SYNC, True, True),
)


def three_tries(place):
    """Two faults cost nothing, with the third the client is told; each try is a new file. Faults are counted: upkeep must meet none."""
    place.restart(QUIET)
    number = 0
    for holds, step, small, large in POINTS:
        for size, concerned in ((2_000, small), (300_000, large)):
            if not concerned:
                continue
            for error in ERRORS:
                number += 1
                what = f"{NAMES[step]} in {holds} fails with {errno.errorcode[error]}, {size} B"
                place.rules.set(step, error, 2, holds)
                status, text = place.put(f"k{number % 7}", body_of(number, size))
                expect(status, (200,), f"{what}: twice", text)
                if place.rules.hits() != 2:
                    raise Finding(f"{what}: {place.rules.hits()} faults of two were met")
                place.rules.set(step, error, 3, holds)
                refused(place.put(f"k{number % 7}", body_of(-number, size)), error, f"{what}: three times")
                if place.rules.hits() != 3:
                    raise Finding(f"{what}: {place.rules.hits()} tries instead of three")
                place.rules.clear()
                place.look()
    # A part is staged and brought in place as well, also a small one.
    for holds, step, _, _ in POINTS:
        for size in (2_000, 300_000):
            place.rules.set(step, errno.EIO, 2, holds)
            status, text = place.multipart(f"{PARTS}1", [body_of(f"{holds}{step}", size)])
            expect(status, (200,), f"an upload while {NAMES[step]} in {holds} fails twice", text)
            place.rules.clear()
    place.restart(STORE)
    place.settles()
    place.end()


def dead_disk(place):
    """Every operation while a step of the disk always fails; reads go on; then it heals."""
    place.put("old-small", b"old")
    place.put("old-large", body_of("old", 300_000))
    for error in ERRORS:
        for step in (*STEPS, OPEN | WRITE | SYNC | SYNCDIR | RENAME | UNLINK | MKDIR):
            what = f"{'everything' if step not in NAMES else NAMES[step]} fails with {errno.errorcode[error]}"
            place.rules.set(step, error)
            tried = [
                ("PUT of a small body", lambda: place.put("new-small", body_of(what, 900))),
                ("PUT of a large body", lambda: place.put("new-large", body_of(what, 400_000))),
                ("PUT over an object", lambda: place.put("old-small", body_of(what, 800))),
                ("multipart upload", lambda: place.multipart(f"{PARTS}2", [body_of(what + "m", 300_000)])),
                ("copy", lambda: place.copy("old-large", "new-copy")),
                ("delete", lambda: place.delete("old-large")),
            ]
            for name, write in tried:
                answer = write()
                if answer[0] not in (200, 204):
                    refused(answer, error, f"{what}: {name}")
            if step not in NAMES and place.ask("GET", "/-/ready")[0] != 503:
                raise Finding(f"{what}: says that it is ready")
            place.look()
            place.rules.clear()
            place.resumes()
            for key in [k for k in place.known if k.startswith(("new-", PARTS))]:
                expect(place.delete(key)[0], (204,), "delete after the fault")
            place.put("old-large", body_of("old", 300_000))
            place.settles()
            place.look()
    place.end()


def unlink_fails(place):
    """Files that could not even be removed go when the disk lets them."""
    place.rules.set(UNLINK, errno.EROFS)
    wrong = {"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}
    expect(place.put("wrong", body_of("wrong", 300_000), wrong)[0], (400,), "a body that is not what was promised")
    place.put("a", body_of("same", 300_000))
    expect(place.put("b", body_of("same", 300_000))[0], (200,), "a PUT whose file is not needed")
    place.rules.set(UNLINK, errno.EROFS, exception="")
    place.rules.set(SYNC, errno.EIO, holds="/journal/", number=1)
    refused(place.put("c", body_of("c", 300_000)), errno.EIO, "a PUT whose record fails")
    place.rules.clear()
    place.resumes()
    place.settles()
    place.end()


def broken_index(place):
    """The index is derived: whatever its disk does, nothing acknowledged is lost, and it is rebuilt."""
    maybe = {}
    for step in (WRITE, OPEN | WRITE | SYNC | SYNCDIR | RENAME | UNLINK | MKDIR):
        for error in (errno.EIO, errno.ENOSPC):
            place.rules.set(step, error, holds="/index/", exception="-")
            deadline = time.monotonic() + 3
            number = 0
            while time.monotonic() < deadline:
                number += 1
                key, body = f"i{number % 50}", body_of(f"{step}{error}{number}", random.choice((500, 3_000)))
                status, text = place.put(key, body)
                expect(status, (200, 503, 507), "PUT while the index fails", text)
                if status == 200:
                    maybe.pop(key, None)
                else:
                    # Durable, and perhaps not to be seen yet: may be found later.
                    maybe.setdefault(key, []).append(body)
            place.rules.clear()
            until("the index is rebuilt", lambda: place.put("probe", b"x")[0] == 200)
            for key, bodies in maybe.items():
                status, _, there = place.ask("GET", f"/{BUCKET}/{key}")
                if status == 200 and there in bodies:
                    place.known[key] = there
            maybe.clear()
            place.look()
    place.resumes()
    place.settles()
    place.end()


def killed_in_between(place):
    """`kill -9` between the rename of a large body and its record: the file goes at the next start."""
    place.put("kept", body_of("kept", 300_000))
    for step, holds in ((RENAME, "/blobs/"), (SYNCDIR, "/blobs/"), (OPEN, "/placing/"), (SYNC, "/staging/"), (WRITE, "/journal/"), (SYNC, "/journal/")):
        for multipart in (False, True):
            body = body_of(f"{step}{holds}{multipart}", 300_000)
            upload = between(place.ask("POST", f"/{BUCKET}/parts", "uploads")[2], b"<UploadId>")
            # What the start and the upload wrote is done with before.
            place.rules.set(step, KILL, 1, holds)
            try:
                if multipart:
                    place.ask("PUT", f"/{BUCKET}/parts", f"partNumber=1&uploadId={upload}", {}, body)
                else:
                    place.ask("PUT", f"/{BUCKET}/cut", "", {}, body)
                raise Finding("it lives on")
            except Cut:
                pass
            place.rules.clear()
            place.server.kill()
            place.start()
            expect(place.ask("DELETE", f"/{BUCKET}/parts", f"uploadId={upload}")[0], (204,), "abort after the crash")
            # Without an answer it may be there or not.
            expect(place.delete("cut")[0], (204,), "delete after the crash")
            place.settles()
    place.end()


class Hammer(threading.Thread):
    """Puts and deletes on keys of its own, and knows after each what must be there."""

    def __init__(self, place, number, seed):
        super().__init__(daemon=True)
        self.place, self.number = place, number
        self.random = random.Random(f"{seed}/{number}")
        self.stopping, self.finding = False, None
        self.known, self.counts = {}, {}

    def run(self):
        try:
            wire = self.place.wire()
            while not self.stopping:
                key = f"h{self.number}-{self.random.randrange(12)}"
                if self.random.random() < 0.25:
                    status, _, text = wire.request("DELETE", f"/{BUCKET}/{key}")
                    after = None
                else:
                    after = body_of(self.random.random(), self.random.choice((0, 100, 5_000, 50_000, 70_000, 400_000)))
                    status, _, text = wire.request("PUT", f"/{BUCKET}/{key}", "", {}, after)
                expect(status, (200, 204, 503, 507), f"{key}", text)
                self.counts[status] = self.counts.get(status, 0) + 1
                if status in (200, 204):
                    self.known[key] = after
                status, _, there = wire.request("GET", f"/{BUCKET}/{key}")
                expect(status, (200, 404), f"GET {key}", there)
                if (there if status == 200 else None) != self.known.get(key):
                    raise Finding(f"{key}: there is another version than the acknowledged one")
        except Exception as fault:
            self.finding = f"{type(fault).__name__}: {fault}"


def storm(place, seconds, seed):
    """Many writers while faults come and go."""
    chance = random.Random(seed)
    hammers = [Hammer(place, n, seed) for n in range(8)]
    for hammer in hammers:
        hammer.start()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not any(h.finding for h in hammers):
        if chance.random() < 0.6:
            steps = chance.choice((OPEN, WRITE, SYNC, SYNCDIR, RENAME, MKDIR, UNLINK, OPEN | WRITE | SYNC, 127))
            place.rules.set(steps, chance.choice(ERRORS), chance.choice((1, 2, 3, 5, 20, -1)), chance.choice(("", "/staging/", "/blobs/", "/journal/", "/placing/")))
        else:
            place.rules.clear()
        time.sleep(chance.uniform(0.01, 0.3))
    place.rules.clear()
    for hammer in hammers:
        hammer.stopping = True
    for hammer in hammers:
        hammer.join()
        if hammer.finding:
            raise Finding(f"storm: {hammer.finding}")
        place.known |= {k: b for k, b in hammer.known.items() if b is not None}
    counts = {}
    for hammer in hammers:
        for status, n in hammer.counts.items():
            counts[status] = counts.get(status, 0) + n
    if min(counts.get(s, 0) for s in (200, 503)) == 0:
        raise Finding(f"storm: it tested nothing: {counts}")
    print(f"faults: storm: {', '.join(f'{n} x {s}' for s, n in sorted(counts.items()))}", flush=True)
    place.resumes()
    place.settles()
    place.look()
    # And once more as a crash leaves it.
    place.server.kill()
    place.start()
    place.settles()
    place.end()


def fill(reserve, small):
    def scenario(place):
        filled = 0
        while filled < 200:
            status, text = place.put(f"fill-{filled:03}", body_of(filled, 1 << 20))
            if status != 200:
                refused((status, text), errno.ENOSPC, "a PUT on the full disk")
                break
            filled += 1
        if not 20 < filled < 64:
            raise Finding(f"{filled} MiB went into 64")
        refused(place.multipart("m", [body_of("m", 1 << 20)]), errno.ENOSPC, "an upload on the full disk")
        place.look()
        if reserve == "0B":
            no_byte_left(place, small / "ballast")
        for n in range(15):
            expect(place.delete(f"fill-{n:03}")[0], (204,), "a delete on the full disk")
        until("room is used again", lambda: place.put("room", body_of("room", 1 << 20))[0] == 200)
        place.resumes()
        place.settles()
        place.end()

    return scenario


def no_byte_left(place, ballast):
    """Nothing for the journal either."""
    with open(ballast, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            pass
    for n in range(60):
        status, text = place.put(f"tiny-{n}", body_of(n, 30_000))
        if status != 200:
            refused((status, text), errno.ENOSPC, "a small PUT on the full disk")
    place.look()
    ballast.unlink()


def full_disk(folder, binary, shim):
    """A real file system that fills up: writes are refused, deletes go on, and room that is made is used."""
    small = folder / "full"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(small)], capture_output=True)
    if mounted.returncode != 0:
        print(f"faults: full disk: skipped, no file system can be mounted here: {mounted.stderr.decode().strip()}", flush=True)
        return
    try:
        for reserve in ("8MiB", "0B"):
            on_a_place(fill(reserve, small), small / f"reserve-{reserve}", binary, shim, STORE.replace('"0B"', f'"{reserve}"'))
            shutil.rmtree(small / f"reserve-{reserve}")
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


SCENARIOS = (three_tries, dead_disk, unlink_fails, broken_index, killed_in_between)


def on_a_place(scenario, folder, *arguments):
    place = Place(folder, *arguments)
    try:
        scenario(place)
    except (Finding, Cut, RuntimeError):
        print(f"the gateway {'runs' if place.server.process.poll() is None else f'ended with {place.server.process.poll()}'}", flush=True)
        log = (folder / "gateway.log").read_text(errors="replace").splitlines()[-15:]
        print("the gateway's last lines:", *log, sep="\n    ", flush=True)
        raise
    finally:
        place.gone()


def compile_shim(folder):
    shim = folder / "shim.so"
    subprocess.run([os.environ.get("CC", "cc"), "-O1", "-shared", "-fPIC", "-o", str(shim), str(HERE / "shim.c")], check=True)
    return shim


def main():
    parser = argparse.ArgumentParser(description="The disk fails; every acknowledged write must be there.")
    parser.add_argument("--seconds", type=float, default=15, help="of the storm")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--binary")
    parser.add_argument("--only", help="one scenario")
    parser.add_argument("--keep", action="store_true", help="leave the folders")
    asked = parser.parse_args()
    if not sys.platform.startswith("linux"):
        print("faults: skipped: the shim speaks Linux's system calls")
        return
    binary = Path(asked.binary or gateway.find_binary())
    folder = Path(tempfile.mkdtemp(prefix="tidegate-faults-"))
    shim = compile_shim(folder)
    runs = {s.__name__: (lambda s=s: on_a_place(s, folder / s.__name__, binary, shim)) for s in SCENARIOS}
    runs["storm"] = lambda: on_a_place(lambda p: storm(p, asked.seconds, asked.seed), folder / "storm", binary, shim)
    runs["full_disk"] = lambda: full_disk(folder, binary, shim)
    print(f"faults: seed {asked.seed}", flush=True)
    failed = []
    try:
        for name, run in runs.items():
            if asked.only not in (None, name):
                continue
            begun = time.monotonic()
            try:
                run()
                print(f"faults: {name}: passed in {time.monotonic() - begun:.0f} s", flush=True)
            except (Finding, Cut, RuntimeError) as fault:
                failed.append(name)
                print(f"FAIL faults: {name}: {fault}", flush=True)
    finally:
        if asked.keep:
            print(f"kept: {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
