"""What the crash test writes, and how it remembers it: contents, open uploads, the writing threads, and what they share.

Each writer has keys of its own, whose state it knows, and writes shared keys at the same time as the others. `World` is what
is known of the bucket between the rounds. Called by crash.py.
"""

import base64
import hashlib
import random
import threading
import time
from functools import lru_cache

import gateway
from history import ABSENT, FOREVER, LONG_AGO, Write
from wire import Cut, Wire

BUCKET = "crash"
WRITERS = 6
OWN_KEYS = 20  # of each writer
SHARED_KEYS = 12  # written by all at the same time
OPEN_UPLOADS = 40
PART = 5 << 20
REPEATED_SIZES = (0, 1, 700, 5_000, 20_000, 40_000, 70_000, 100_000, 150_000, 300_000)  # of contents that many keys share


class Finding(Exception):
    """A broken promise."""


class Content:
    """Bytes by seed and size, sent as one body or as parts."""

    def __init__(self, seed, size, parts=0):
        self.seed, self.size, self.parts = seed, size, parts

    def bytes(self):
        return content_bytes(self.seed, self.size)

    def pieces(self):
        data = self.bytes()
        return [data[i : i + PART] for i in range(0, max(len(data), 1), PART)]

    def etag(self):
        return content_etag(self.seed, self.size, self.parts)

    def __repr__(self):
        return f"{self.size} B of {self.seed}" + (f" in {self.parts} parts" if self.parts else "")


@lru_cache(maxsize=400)
def content_bytes(seed, size):
    return random.Random(f"{seed}/{size}").randbytes(size)


@lru_cache(maxsize=4000)
def content_etag(seed, size, parts):
    if not parts:
        return f'"{hashlib.md5(content_bytes(seed, size)).hexdigest()}"'
    digests = b"".join(hashlib.md5(p).digest() for p in Content(seed, size, parts).pieces())
    return f'"{hashlib.md5(digests).hexdigest()}-{parts}"'


class Upload:
    """A multipart upload that outlives a crash."""

    def __init__(self, write, upload_id, etags):
        self.write, self.upload_id, self.etags = write, upload_id, etags
        self.completing = False

    def plan(self):
        parts = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{e}</ETag></Part>" for n, e in enumerate(self.etags, 1))
        return f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()


def expect(status, wanted, what, body=b""):
    if status not in wanted:
        raise Finding(f"{what}: status {status}: {body[:400].decode(errors='replace')}")


def op_header(write):
    return {"x-amz-meta-op": str(write.number)}


class World:
    """What is known of the bucket between the rounds."""

    def __init__(self):
        self.shared = [f"shared/{n}" for n in range(SHARED_KEYS)]
        self.keys = [*self.shared, *(k for n in range(WRITERS) for k in self.own_keys(n))]
        self.before = {key: Write(key, ABSENT, LONG_AGO, LONG_AGO) for key in self.keys}
        self.uploads, self.unanswered = [], []
        self.lock = threading.Lock()
        self.stopping = self.killed = False
        self.index_harmed = False
        self.excused = 0
        self.kept = []  # by writer: keys whose versions are kept

    def excuses(self, status):
        """A harmed index may be found out only in the middle of its work: then it is rebuilt while requests are told to come
        again. What was asked for may have been done or not, as with a connection that was cut."""
        if status == 503 and self.index_harmed:
            with self.lock:
                self.excused += 1
            return True
        return False

    @staticmethod
    def own_keys(number):
        return [f"own/{number}/{n}" for n in range(OWN_KEYS)]

    def settled(self, key, writes):
        """The value of a key that only the caller writes to; ABSENT also where it isn't known."""
        last = next((w for w in reversed(writes) if w.key == key), self.before[key])
        return last.value if last.end != FOREVER else ABSENT

    def leave(self, upload):
        with self.lock:
            self.uploads.append(upload)

    def take(self, own):
        with self.lock:
            found = next((u for u in self.uploads if u.write.key in own), None)
            if found:
                self.uploads.remove(found)
            return found

    def completing(self, upload):
        with self.lock:
            self.unanswered.append(upload)

    def completed(self, upload):
        with self.lock:
            self.unanswered.remove(upload)


class Writer(threading.Thread):
    """Works until its connection is cut; keeps a history of what it sent and what was acknowledged."""

    def __init__(self, number, port, seed, world):
        super().__init__(name=f"writer {number}", daemon=True)
        self.number, self.world = number, world
        self.random = random.Random(f"{seed}/{number}")
        self.wire = Wire(port, *gateway.TENANTS["alice"])
        self.own = world.own_keys(number)
        self.writes, self.finding, self.done = [], None, 0

    def run(self):
        kinds = [self.put, self.conditional_put, self.delete, self.batch_delete, self.copy, self.multipart, self.leave_upload, self.take_upload, self.keep]
        try:
            while not self.world.stopping:
                self.random.choices(kinds, (50, 8, 9, 4, 8, 8, 4, 5, 30))[0]()
                self.done += 1
        except Cut:
            if not self.world.killed:
                self.finding = "a connection was cut while the gateway should have been running"
        except Exception as fault:
            self.finding = f"{type(fault).__name__}: {fault}"
        finally:
            self.wire.close()

    def any_key(self):
        return self.random.choice(self.own if self.random.random() < 0.7 else self.world.shared)

    def content(self):
        if self.random.random() < 0.3:
            n = self.random.randrange(len(REPEATED_SIZES))
            return Content(f"repeated-{n}", REPEATED_SIZES[n])
        size = self.random.choice((0, self.random.randrange(100), self.random.randrange(8_000), self.random.randrange(8_000), self.random.randrange(200_000)))
        return Content(f"{self.number}-{self.random.random()}", size)

    def begin(self, key, value):
        write = Write(key, value, time.monotonic())
        self.writes.append(write)
        return write

    def settle(self, write, status, body, refused=()):
        if status in refused:
            self.writes.remove(write)
            return False
        if self.world.excuses(status):
            return False
        expect(status, (200, 204), repr(write), body)
        write.end = time.monotonic()
        return True

    def put(self, headers=None, refused=()):
        content = self.content()
        write = self.begin(self.any_key(), content)
        status, answer, body = self.wire.request("PUT", f"/{BUCKET}/{write.key}", "", {**op_header(write), **(headers or {})}, content.bytes())
        if self.settle(write, status, body, refused) and answer["etag"] != content.etag():
            raise Finding(f"{write!r}: acknowledged with ETag {answer['etag']}")

    def conditional_put(self):
        # 409 says that another write to the key was under way.
        self.put({"if-none-match": "*"}, (412, 409))

    def delete(self):
        write = self.begin(self.any_key(), ABSENT)
        status, _, body = self.wire.request("DELETE", f"/{BUCKET}/{write.key}")
        self.settle(write, status, body)

    def batch_delete(self):
        writes = [self.begin(key, ABSENT) for key in self.random.sample(self.own, 4)]
        xml = "".join(f"<Object><Key>{w.key}</Key></Object>" for w in writes)
        status, _, body = self.wire.request("POST", f"/{BUCKET}", "delete", {"content-md5": md5_header(f"<Delete>{xml}</Delete>".encode())}, f"<Delete>{xml}</Delete>".encode())
        if status == 200 and b"<Error>" in body:
            if b"<Code>ServiceUnavailable</Code>" in body and self.world.excuses(503):
                return
            raise Finding(f"batch delete: {body[:300]}")
        for write in writes:
            self.settle(write, status, body)

    def copy(self):
        """Only between keys of its own: so it knows what it copies."""
        source, target = self.random.sample(self.own, 2)
        known = self.world.settled(source, self.writes)
        if known is ABSENT or known.parts:
            return
        write = self.begin(target, Content(known.seed, known.size))
        headers = {**op_header(write), "x-amz-copy-source": f"/{BUCKET}/{source}", "x-amz-metadata-directive": "REPLACE"}
        status, _, body = self.wire.request("PUT", f"/{BUCKET}/{target}", "", headers)
        if b"<Error>" in body and status == 200:
            raise Finding(f"copy: {body[:300]}")
        self.settle(write, status, body)

    def start_upload(self, parts):
        if parts == 2:
            content = Content(f"{self.number}-{self.random.random()}", PART + self.random.randrange(1, 5_000), 2)
        else:
            content = Content(f"{self.number}-{self.random.random()}", self.random.randrange(1, 60_000), 1)
        write = Write(self.random.choice(self.own), content, FOREVER)
        path = f"/{BUCKET}/{write.key}"
        status, _, body = self.wire.request("POST", path, "uploads", op_header(write))
        if self.world.excuses(status):
            return None
        expect(status, (200,), "create upload", body)
        upload = Upload(write, between(body, b"<UploadId>"), [])
        for number, piece in enumerate(content.pieces(), 1):
            status, answer, body = self.wire.request("PUT", path, f"partNumber={number}&uploadId={upload.upload_id}", {}, piece)
            if self.world.excuses(status):
                return None
            expect(status, (200,), "upload part", body)
            upload.etags.append(answer["etag"])
        return upload

    def complete(self, upload):
        upload.completing = True
        write = upload.write
        write.start = time.monotonic()
        self.writes.append(write)
        self.world.completing(upload)
        status, _, body = self.wire.request("POST", f"/{BUCKET}/{write.key}", f"uploadId={upload.upload_id}", {}, upload.plan())
        if status == 200 and b"<Error>" in body:
            raise Finding(f"complete of {write!r}: status {status}: {body[:300]}")
        if self.settle(write, status, body):
            self.world.completed(upload)

    def multipart(self):
        upload = self.start_upload(2 if self.random.random() < 0.06 else 1)
        if upload:
            self.complete(upload)

    def leave_upload(self):
        if len(self.world.uploads) < OPEN_UPLOADS:
            upload = self.start_upload(1)
            if upload:
                self.world.leave(upload)

    def keep(self):
        self.world.kept[self.number].work(self)

    def take_upload(self):
        upload = self.world.take(self.own)
        if upload:
            self.complete(upload)


def md5_header(data):
    return base64.b64encode(hashlib.md5(data).digest()).decode()


def between(body, tag):
    return body.split(tag, 1)[1].split(b"<", 1)[0].decode()
