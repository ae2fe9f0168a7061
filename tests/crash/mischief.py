"""What is done to a data folder between two rounds of the crash test: harm that must cost nothing that was acknowledged.

The index is derived, so anything may happen to it; behind the journal's end there may be what a torn write leaves.
"""

import os
import shutil


def newest_segment(data):
    return max((data / "journal").glob("*.seg"), key=lambda p: p.name, default=None)


def delete_index(data, chance):
    shutil.rmtree(data / "index", ignore_errors=True)


def truncate_index(data, chance):
    files = [p for p in (data / "index").rglob("*") if p.is_file() and p.stat().st_size]
    for path in chance.sample(files, min(len(files), chance.randrange(1, 3))):
        os.truncate(path, chance.randrange(path.stat().st_size))


def scribble_on_index(data, chance):
    files = [p for p in (data / "index").rglob("*") if p.is_file() and p.stat().st_size]
    for path in chance.sample(files, min(len(files), 1)):
        with open(path, "r+b") as file:
            for _ in range(8):
                file.seek(chance.randrange(path.stat().st_size))
                file.write(chance.randbytes(chance.randrange(1, 64)))


def garbage_behind_journal(data, chance):
    """What a torn write leaves: bytes that were never acknowledged, at times an old block again."""
    path = newest_segment(data)
    with open(path, "r+b") as file:
        old = file.read(1 << 16)
        file.seek(0, os.SEEK_END)
        file.write(chance.choice((chance.randbytes(chance.randrange(1, 20_000)), bytes(chance.randrange(1, 9_000)), old[chance.randrange(len(old)) :])))


def nothing(data, chance):
    pass


MISCHIEF = {nothing: 40, delete_index: 15, truncate_index: 15, scribble_on_index: 8, garbage_behind_journal: 15}
# Whose traces may show only later.
HARM_TO_INDEX = (truncate_index, scribble_on_index)
