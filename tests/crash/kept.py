"""Keys of a bucket that keeps versions and locks some: what is written there, and what must be there after a crash.

Each key has one writer, so its versions have one order. No acknowledged version may be lost or in another place, none that is gone may
come back, and none that is locked may go. What got no answer may have happened or not; what is seen once stays.
"""

import re
from itertools import count

from history import ABSENT
from writer import Finding, between, expect, md5_header, op_header

BUCKET = "kept"
KEYS = 4  # of each writer
MOST = 12  # versions of a key, about
MOST_LOCKED = 4
READ = 4  # versions of a key that are read after each crash
REMEMBERED = 300  # ids that are gone
FAR_AWAY = "2099-01-01T00:00:00Z"

numbers = count(1)


class Version:
    def __init__(self, content, locked=False):
        self.content, self.locked = content, locked
        self.number = f"v{next(numbers)}"
        self.id = None  # until it is acknowledged, or seen
        self.going = False  # a delete of it was sent

    def __repr__(self):
        what = "marker" if self.content is ABSENT else f"{self.content}"
        return f"{self.number} ({self.id}{', locked' if self.locked else ''}): {what}"


class Kept:
    """The keys of one writer: versions from the newest to the oldest, and ids that are gone."""

    def __init__(self, number):
        self.keys = {f"kept-{number}-{n}": [] for n in range(KEYS)}
        self.gone = {key: [] for key in self.keys}

    def work(self, writer):
        key = writer.random.choice(list(self.keys))
        unlocked = [v for v in self.keys[key] if v.id and not v.locked and not v.going]
        if writer.random.random() < 0.25 or len(unlocked) > MOST:
            known = [v for v in self.keys[key] if v.id and not v.going]
            if known:
                return self.delete(writer, key, writer.random.choice(known))
        if writer.random.random() < 0.2:
            return self.mark(writer, key)
        return self.put(writer, key)

    def put(self, writer, key):
        few = sum(v.locked for v in self.keys[key]) < MOST_LOCKED
        version = Version(writer.content(), few and writer.random.random() < 0.15)
        headers = {**op_header(version), "content-md5": md5_header(version.content.bytes())}
        if version.locked and writer.random.random() < 0.5:
            headers["x-amz-object-lock-legal-hold"] = "ON"
        elif version.locked:
            headers |= {"x-amz-object-lock-mode": "COMPLIANCE", "x-amz-object-lock-retain-until-date": FAR_AWAY}
        self.keys[key].insert(0, version)
        status, answer, body = writer.wire.request("PUT", f"/{BUCKET}/{key}", "", headers, version.content.bytes())
        if not writer.world.excuses(status):
            expect(status, (200,), f"put {version!r}", body)
            version.id = answer["x-amz-version-id"]

    def mark(self, writer, key):
        version = Version(ABSENT)
        self.keys[key].insert(0, version)
        status, answer, body = writer.wire.request("DELETE", f"/{BUCKET}/{key}")
        if not writer.world.excuses(status):
            expect(status, (204,), f"delete of {key}", body)
            version.id = answer["x-amz-version-id"]

    def delete(self, writer, key, version):
        version.going = not version.locked
        status, _, body = writer.wire.request("DELETE", f"/{BUCKET}/{key}", f"versionId={version.id}", {"x-amz-bypass-governance-retention": "true"})
        if writer.world.excuses(status):
            return
        expect(status, (403,) if version.locked else (204,), f"delete of {version!r}", body)
        if not version.locked:
            self.keys[key].remove(version)
            self.forget(key, version.id)

    def forget(self, key, version_id):
        self.gone[key] = [*self.gone[key], version_id][-REMEMBERED:]

    def look(self, ask, listed, chance):
        """Compares with the listing, and takes over what is seen. `ask` asks the gateway."""
        for key, versions in self.keys.items():
            there = listed.pop(key, [])
            seen = [self.match(ask, key, versions, *entry) for entry in there]
            places = [versions.index(v) for v in seen]
            if places != sorted(set(places)):
                raise Finding(f"{key}: versions in another order: {seen}; written: {versions}")
            for version in versions:
                if version not in seen and version.id and not version.going:
                    raise Finding(f"{key}: lost: {version!r}; there is {seen}")
                if version not in seen and version.id:
                    self.forget(key, version.id)
            for version in seen:
                version.going = False
            self.keys[key] = seen
            self.read(ask, key, seen, chance)

    def match(self, ask, key, versions, version_id, is_marker):
        """The version that is listed, found by its number where its id was never heard."""
        known = next((v for v in versions if v.id == version_id), None)
        if known is None and is_marker:
            known = next((v for v in versions if v.id is None and v.content is ABSENT), None)
        elif known is None:
            _, headers, _ = ask("GET", f"/{BUCKET}/{key}", f"versionId={version_id}")
            known = next((v for v in versions if v.id is None and v.number == headers.get("x-amz-meta-op")), None)
        if known is None or (known.content is ABSENT) != is_marker:
            word = "was deleted, and is there again" if version_id in self.gone[key] else "is none that was written"
            raise Finding(f"{key}: version {version_id} {word}; written: {versions}")
        known.id = version_id
        return known

    def read(self, ask, key, versions, chance):
        status, headers, body = ask("GET", f"/{BUCKET}/{key}")
        newest = versions[0] if versions else None
        if newest is None or newest.content is ABSENT:
            expect(status, (404,), f"{key}, whose newest version is {newest!r}", body)
        elif status != 200 or headers.get("x-amz-version-id") != newest.id:
            raise Finding(f"{key}: shows {status} {headers.get('x-amz-version-id')} instead of {newest!r}")
        bodies = [v for v in versions if v.content is not ABSENT]
        for version in chance.sample(bodies, min(READ, len(bodies))):
            status, headers, body = ask("GET", f"/{BUCKET}/{key}", f"versionId={version.id}")
            expect(status, (200,), f"{version!r} of {key}", body)
            if body != version.content.bytes() or headers.get("x-amz-meta-op") != version.number:
                raise Finding(f"{key}: {version!r} has another body, or is another: {len(body)} B, #{headers.get('x-amz-meta-op')}")


def list_versions(ask):
    """By key: (id, whether it is a marker), newest first."""
    listed, marker = {}, ""
    while True:
        status, _, body = ask("GET", f"/{BUCKET}", f"versions=&max-keys=50{marker}")
        expect(status, (200,), "list versions", body)
        for kind, entry in re.findall(rb"<(Version|DeleteMarker)>(.*?)</\1>", body, re.DOTALL):
            key, version_id = between(entry, b"<Key>"), between(entry, b"<VersionId>")
            is_latest = between(entry, b"<IsLatest>") == "true"
            if is_latest == (key in listed):
                raise Finding(f"{key}: version {version_id} says IsLatest {is_latest} after {listed.get(key)}")
            listed.setdefault(key, []).append((version_id, kind == b"DeleteMarker"))
        if between(body, b"<IsTruncated>") != "true":
            return listed
        marker = f"&key-marker={between(body, b'<NextKeyMarker>')}&version-id-marker={between(body, b'<NextVersionIdMarker>')}"


def look(world, ask, chance):
    listed = list_versions(ask)
    for kept in world.kept:
        kept.look(ask, listed, chance)
    if listed:
        raise Finding(f"versions of keys that nobody wrote: {listed}")


def summary(world):
    versions = [v for kept in world.kept for versions in kept.keys.values() for v in versions]
    gone = sum(len(ids) for kept in world.kept for ids in kept.gone.values())
    return f"{len(versions)} versions kept ({sum(v.locked for v in versions)} locked), {gone} gone"
