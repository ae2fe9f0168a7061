#!/usr/bin/env python3
"""The crash test: writers, `kill -9` at a random moment, a new start, and a look at everything that was promised.

    python crash.py [--rounds 200] [--seed N] [--binary PATH] [--keep]

Each round writers put, overwrite, copy, delete and complete multipart uploads, on keys of their own and on shared ones, with
contents that repeat (so that deduplication and its deletes take part). Then the process is killed, and between the rounds the
index is at times deleted, truncated or scribbled on, garbage is put behind the journal as a torn write would, or the new
process is killed in the middle of its recovery. After each start: every acknowledged write is there, byte-equal, with its own
metadata and ETag; an unanswered one is there whole or not at all; the listing says the same as the reads; open uploads are
still open with their parts, and a Complete without an answer can be repeated. In a second bucket versions are kept, and some of them
locked: none is lost, none comes back, and none that is locked goes (kept.py). `tidegate fsck` must find nothing.

A run without a finding ends with one line and status 0. The seed is printed; it fixes what is done, not how threads interleave.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "clients"))
import gateway
import kept
from history import ABSENT, FOREVER, LONG_AGO, Write, possible
from mischief import HARM_TO_INDEX, MISCHIEF, delete_index
from wire import Cut, Wire
from writer import BUCKET, WRITERS, Finding, World, Writer, between, expect

WRITE_SECONDS = (0.02, 0.35)  # the moment of the kill
KILLED_AT_START = 0.15  # of the starts: killed again while they recover
FSCK_EVERY = 10
# Small and hasty, so that segments end, the journal is compacted and files are dropped in each round.
STORE = """segment_size = "1MiB"
compact_segments = 3
grace = "1ms"
upkeep_interval = "100ms"
"""


def ask(world, wire, *request):
    """A request that is repeated for as long as the index is being rebuilt, and a rebuild has a reason."""
    for _ in range(200):
        answer = wire.request(*request)
        if not world.excuses(answer[0]):
            return answer
        time.sleep(0.05)
    raise Finding("the index is not rebuilt within 10 s")


def repeat_completes(world, wire):
    """A Complete that got no answer is sent again, as SDKs do: it must succeed, done before or not, and replaced since or not."""
    for upload in world.unanswered:
        write = upload.write
        status, _, body = ask(world, wire, "POST", f"/{BUCKET}/{write.key}", f"uploadId={upload.upload_id}", {}, upload.plan())
        if status != 200 or b"<Error>" in body:
            raise Finding(f"repeated complete of {write!r}: status {status}: {body[:300].decode(errors='replace')}")
        if between(body, b"<ETag>").replace("&quot;", '"') != write.value.etag():
            raise Finding(f"repeated complete of {write!r}: ETag {between(body, b'<ETag>')}")
        write.end = time.monotonic()
    world.unanswered.clear()


def look(world, port, writes):
    """Reads every key, the listing and the open uploads, and compares them with the history. What is seen is the next `before`."""
    history = {key: [world.before[key]] for key in world.keys}
    for write in writes:
        history[write.key].append(write)
    wire = Wire(port, *gateway.TENANTS["alice"])
    repeat_completes(world, wire)
    seen = {}
    for key in world.keys:
        choices = possible(history[key])
        status, headers, body = ask(world, wire, "GET", f"/{BUCKET}/{key}")
        expect(status, (200, 404), f"GET {key}", body)
        if status == 404:
            match = next((w for w in choices if w.value is ABSENT), None)
        else:
            match = next((w for w in choices if str(w.number) == headers.get("x-amz-meta-op")), None)
        if match is None:
            there = "nothing" if status == 404 else f"#{headers.get('x-amz-meta-op')} ({len(body)} B, {headers.get('etag')})"
            raise Finding(f"{key}: there is {there}; possible: {choices}; history: {history[key]}")
        if match.value is not ABSENT:
            if body != match.value.bytes():
                raise Finding(f"{key}: the body of {match!r} is another: {len(body)} B, md5 {hashlib.md5(body).hexdigest()}")
            if headers["etag"] != match.value.etag():
                raise Finding(f"{key}: ETag {headers['etag']} of {match!r}")
            seen[key] = (match.value.etag(), match.value.size)
        world.before[key] = Write(key, match.value, LONG_AGO, LONG_AGO, match.number)
    listed = list_keys(world, wire)
    if listed != seen:
        raise Finding(f"the listing differs from the reads: {set(listed.items()) ^ set(seen.items())}")
    look_at_uploads(world, wire)
    kept.look(world, lambda *request: ask(world, wire, *request), world.random)
    wire.close()


def list_keys(world, wire):
    listed, token = {}, ""
    while True:
        status, _, body = ask(world, wire, "GET", f"/{BUCKET}", "list-type=2&max-keys=50" + (f"&start-after={token}" if token else ""))
        expect(status, (200,), "list", body)
        keys = []
        for entry in body.split(b"<Contents>")[1:]:
            keys.append(between(entry, b"<Key>"))
            listed[keys[-1]] = (between(entry, b"<ETag>").replace("&quot;", '"'), int(between(entry, b"<Size>")))
        if keys != sorted(keys):
            raise Finding(f"the listing is out of order: {keys}")
        if between(body, b"<IsTruncated>") != "true":
            return listed
        token = keys[-1].replace("/", "%2F")


def look_at_uploads(world, wire):
    status, _, body = ask(world, wire, "GET", f"/{BUCKET}", "uploads=")
    expect(status, (200,), "list uploads", body)
    listed = {between(entry, b"<UploadId>") for entry in body.split(b"<Upload>")[1:]}
    for upload in world.uploads:
        if upload.upload_id not in listed and b"<IsTruncated>true" not in body:
            raise Finding(f"the open upload of {upload.write!r} is not listed")
        status, _, parts = ask(world, wire, "GET", f"/{BUCKET}/{upload.write.key}", f"uploadId={upload.upload_id}")
        expect(status, (200,), f"parts of the open upload of {upload.write!r}", parts)
        etags = [between(p, b"<ETag>").replace("&quot;", '"') for p in parts.split(b"<Part>")[1:]]
        if etags != upload.etags:
            raise Finding(f"the open upload of {upload.write!r} has parts {etags}, acknowledged were {upload.etags}")


class Run:
    def __init__(self, asked, folder):
        self.seed, self.folder = asked.seed, folder
        self.binary = asked.binary or gateway.find_binary()
        self.settings = gateway.write_settings(folder, store=STORE)
        self.data = folder / "data"
        self.random = random.Random(asked.seed)
        self.world = World()
        self.world.random = self.random
        self.world.kept = [kept.Kept(n) for n in range(WRITERS)]
        self.counts = {}
        self.server = None
        self.acknowledged = self.unanswered = 0

    def count(self, name):
        self.counts[name] = self.counts.get(name, 0) + 1

    def start(self):
        self.server = gateway.Gateway(self.binary, self.settings, self.folder / "gateway.log")
        return self.server.wait_until_open().ports["s3"]

    def fsck(self, *arguments):
        done = subprocess.run(
            [str(self.binary), "fsck", "--config", str(self.settings), *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, cwd=self.folder, timeout=300,
            env={k: v for k, v in os.environ.items() if not k.startswith("TIDEGATE_")},
        )
        self.count("fsck")
        if done.returncode != 0:
            raise Finding(f"fsck ended with {done.returncode}: {(done.stdout + done.stderr)[-1500:].decode(errors='replace')}")

    def make_bucket(self):
        port = self.start()
        wire = Wire(port, *gateway.TENANTS["alice"])
        for bucket, headers in ((BUCKET, {}), (kept.BUCKET, {"x-amz-bucket-object-lock-enabled": "true"})):
            status, _, body = wire.request("PUT", f"/{bucket}", "", headers)
            expect(status, (200,), f"make the bucket {bucket}", body)
        self.server.kill()

    def round(self, number):
        world = self.world
        mischief = self.random.choices(list(MISCHIEF), MISCHIEF.values())[0]
        mischief(self.data, self.random)
        world.index_harmed = mischief in HARM_TO_INDEX or (world.index_harmed and mischief is not delete_index)
        self.count(mischief.__name__)
        while self.random.random() < KILLED_AT_START:
            early = gateway.Gateway(self.binary, self.settings, self.folder / "gateway.log")
            time.sleep(self.random.uniform(0, 0.12))
            early.kill()
            self.count("killed_at_start")
        port = self.start()
        look(world, port, self.writes)
        world.stopping = world.killed = False
        writers = [Writer(n, port, f"{self.seed}/{number}", world) for n in range(WRITERS)]
        for writer in writers:
            writer.start()
        time.sleep(self.random.uniform(*WRITE_SECONDS))
        if self.random.random() < 0.08:
            world.stopping = True
            for writer in writers:
                writer.join()
            self.server.stop()
            self.count("stopped_in_peace")
        else:
            died = self.server.process.poll()
            world.killed = True
            self.server.kill()
            if died is not None:
                raise Finding(f"the gateway had ended by itself, with {died}")
            for writer in writers:
                writer.join()
        self.writes = [w for writer in writers for w in writer.writes]
        for writer in writers:
            if writer.finding:
                raise Finding(f"{writer.name}: {writer.finding}")
        self.acknowledged += sum(w.end != FOREVER for w in self.writes)
        self.unanswered += sum(w.end == FOREVER for w in self.writes)
        if number % FSCK_EVERY == 0:
            self.fsck()

    def go(self, rounds):
        number, self.writes = 0, []
        try:
            self.make_bucket()
            for number in range(1, rounds + 1):
                self.round(number)
                if number % 25 == 0:
                    print(f"crash: {number} rounds, {self.acknowledged} acknowledged writes, {self.unanswered} cut", flush=True)
            look(self.world, self.start(), self.writes)
            status = self.server.stop()
            if status != 0:
                raise Finding(f"exit status {status} after SIGTERM")
            self.fsck("--verify")
        except (Finding, Cut, RuntimeError) as fault:
            raise Finding(f"round {number} of seed {self.seed}: {fault}") from None


def main():
    parser = argparse.ArgumentParser(description="kill -9 at random moments; every acknowledged write must be there.")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--binary")
    parser.add_argument("--keep", action="store_true", help="leave the data folder")
    asked = parser.parse_args()
    print(f"crash: seed {asked.seed}, {asked.rounds} rounds", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="tidegate-crash-"))
    run = Run(asked, folder)
    begun = time.monotonic()
    try:
        run.go(asked.rounds)
    except BaseException as fault:
        if run.server and run.server.process.poll() is None:
            run.server.process.send_signal(signal.SIGKILL)
            run.server.process.wait()
        asked.keep = asked.keep or isinstance(fault, Finding)
        if not isinstance(fault, Finding):
            raise
        print(f"FAIL crash: {fault}", flush=True)
        log = (folder / "gateway.log").read_text(errors="replace").splitlines()[-15:]
        print("the gateway's last lines:", *log, sep="\n    ", flush=True)
        sys.exit(1)
    else:
        what = ", ".join(f"{n} {c}" for n, c in sorted(run.counts.items()))
        print(f"crash: passed, {asked.rounds} rounds in {time.monotonic() - begun:.0f} s, {run.acknowledged} acknowledged writes kept, {run.unanswered} cut, {kept.summary(run.world)}, {run.world.excused} told to come again ({what})")
    finally:
        if asked.keep:
            print(f"kept: {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
