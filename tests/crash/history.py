"""What may be seen of one key after a crash: the rule, and nothing else.

Each operation is an interval from when it was sent to when it was acknowledged; one without an answer never ends, and may
have happened or not. A value may be seen unless an acknowledged operation began after that value was acknowledged: the same
rule as for a linearizable register. A refused operation has no effect and is not part of the history.
"""

from dataclasses import dataclass, field
from itertools import count

FOREVER = float("inf")
LONG_AGO = float("-inf")
ABSENT = None  # the value of a key that was deleted, or never written

numbers = count(1)


@dataclass(eq=False)
class Write:
    key: str
    value: object  # a Content, or ABSENT
    start: float
    end: float = FOREVER  # until it is acknowledged
    number: int = field(default_factory=lambda: next(numbers))

    def __repr__(self):
        state = "unanswered" if self.end == FOREVER else "acknowledged"
        return f"#{self.number} {state} {'delete' if self.value is ABSENT else self.value}"


def possible(writes):
    """The writes whose value may be the one that is seen now. `writes` begins with what was there before."""
    latest_start = max((w.start for w in writes if w.end != FOREVER), default=LONG_AGO)
    return [w for w in writes if w.end >= latest_start]


def self_test():
    before = Write("k", "0", LONG_AGO, LONG_AGO)
    seen = lambda *writes: {w.value for w in possible([before, *writes])}
    assert seen() == {"0"}
    assert seen(Write("k", "a", 1, 2)) == {"a"}
    assert seen(Write("k", "a", 1)) == {"0", "a"}  # no answer: old or new
    assert seen(Write("k", "a", 1, 2), Write("k", "b", 3)) == {"a", "b"}
    assert seen(Write("k", "a", 1, 2), Write("k", ABSENT, 3, 4)) == {ABSENT}
    assert seen(Write("k", "a", 1, 5), Write("k", "b", 2, 4)) == {"a", "b"}  # at the same time: either
    assert seen(Write("k", "a", 1), Write("k", "b", 2, 4)) == {"a", "b"}  # unanswered, and still running when b was done
    assert seen(Write("k", "a", 1, 2), Write("k", "b", 3, 4), Write("k", "c", 3.5, 6)) == {"b", "c"}


self_test()
