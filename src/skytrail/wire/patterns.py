"""The models' patterns (Java's syntax) as tests that take linear time.

A pattern is parsed, written anew for RE2 and matched against the whole value, as AWS does. Lookarounds, which RE2 has
not, become tests of their own where they stand at an end of an alternative; where they stand elsewhere, and where a
construct has no counterpart, the test is widened: it never refuses a value that AWS would take. Patterns that cannot
be read at all are not tested. `Test.fidelity` says which it is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import re2  # type: ignore[import-untyped]

from .java_patterns import DOT, Item, Look, Parser, Set, UnreadableError

Fidelity = Literal["exact", "widened", "unchecked"]

#: RE2's own limit for one counted repetition.
_MOST_REPEATS = 1000
#: Longer counted repetitions are cut into several up to here; above, the upper bound is dropped.
_MOST_UNROLLED = 5000
_RE2_MEMORY = 32 << 20


@dataclass(frozen=True, slots=True)
class Test:
    pattern: str
    matches: Callable[[str], bool]
    fidelity: Fidelity


@cache
def compile_pattern(pattern: str) -> Test:
    """Cached without bound: the patterns are the models', of which there are some five thousand."""
    try:
        parser = Parser(pattern)
        alternatives = parser.whole()
    except (UnreadableError, IndexError, ValueError):
        return Test(pattern, _anything, "unchecked")
    try:
        simple = _simple(alternatives)
    except re2.error:
        return Test(pattern, _anything, "unchecked")
    if simple is not None:
        return Test(pattern, simple, "widened" if parser.widened else "exact")
    for unbounded in (False, True):
        writer = _Writer(unbounded)
        try:
            matches = writer.test(alternatives)
        except re2.error:
            continue
        widened = parser.widened or writer.widened
        return Test(pattern, matches, "widened" if widened else "exact")
    return Test(pattern, _anything, "unchecked")


def _anything(_: str) -> bool:
    return True


def _simple(alternatives: list[list[Item]]) -> Callable[[str], bool] | None:
    """One set, repeated. For code points Python's own engine is as linear, having no choice to make, and ten times
    quicker; for other sets the count is taken from the length, so that RE2 has nothing to unroll.
    """
    items = [item for item in _flat(alternatives[0]) if item.what not in ("^", "$")]
    if len(alternatives) != 1 or len(items) != 1:
        return None
    item = items[0]
    if isinstance(item.what, Set) and (written := item.what.python()) is not None:
        most = "" if item.most is None else item.most
        fullmatch = re.compile(f"{written}{{{item.least},{most}}}").fullmatch
        return lambda text: fullmatch(text) is not None
    if item.what == DOT or isinstance(item.what, Set):
        every = _fullmatch((item.what if isinstance(item.what, str) else item.what.re2()) + "*")
        least, most_length = item.least, sys.maxsize if item.most is None else item.most
        return lambda text: least <= len(text) <= most_length and every(text)
    return None


def _flat(sequence: list[Item]) -> list[Item]:
    """The sequence without groups that only bracket one: their items stand in its place."""
    flat: list[Item] = []
    for item in sequence:
        if isinstance(item.what, list) and len(item.what) == 1 and item.once:
            flat.extend(_flat(item.what[0]))
        else:
            flat.append(item)
    return flat


class _Writer:
    def __init__(self, unbounded: bool) -> None:
        self.widened = False
        self._unbounded = unbounded

    def test(self, alternatives: list[list[Item]]) -> Callable[[str], bool]:
        while len(alternatives) == 1:
            flat = _flat(alternatives[0])
            inner = [item for item in flat if item.what not in ("^", "$")]
            if len(inner) == 1 and inner[0].once and isinstance(inner[0].what, list):
                alternatives = inner[0].what
            else:
                alternatives = [flat]
                break
        if not any(isinstance(item.what, Look) for each in alternatives for item in _flat(each)):
            return _fullmatch(self.write(alternatives))
        tests = [self._conditional(_flat(each)) for each in alternatives]
        return tests[0] if len(tests) == 1 else lambda text: any(test(text) for test in tests)

    def _conditional(self, sequence: list[Item]) -> Callable[[str], bool]:
        """A test of one alternative, with the lookarounds at its two ends as tests beside it."""
        conditions: list[tuple[Callable[[str], bool], bool]] = []
        body = list(sequence)
        for at_end in (False, True):
            body = body[::-1] if at_end else body
            anchors: list[Item] = []
            while body and (body[0].what in ("^", "$") or isinstance(body[0].what, Look)):
                item = body.pop(0)
                if isinstance(item.what, Look) and item.what.behind == at_end:
                    self._condition(item.what, conditions)
                else:
                    anchors.append(item)
            body = anchors + body
            body = body[::-1] if at_end else body
        main = _fullmatch(self.write([body]))
        return lambda text: main(text) and all(test(text) is wanted for test, wanted in conditions)

    def _condition(self, look: Look, conditions: list[tuple[Callable[[str], bool], bool]]) -> None:
        inner = _Writer(self._unbounded)
        written = f"(?:{inner.write(look.alternatives)})"
        if inner.widened:
            self.widened = True
            if look.negative:
                # What it forbids can no longer be told exactly, so nothing is forbidden.
                return
        rest = "(?s:.*)"
        conditions.append((_fullmatch(rest + written if look.behind else written + rest), not look.negative))

    def write(self, alternatives: list[list[Item]]) -> str:
        return "|".join("".join(map(self._item, sequence)) for sequence in alternatives)

    def _item(self, item: Item) -> str:
        what = item.what
        if isinstance(what, Look):
            self.widened = True
            return ""
        if isinstance(what, Set):
            text = what.re2()
        elif isinstance(what, list):
            text = f"(?:{self.write(what)})"
        else:
            text = what
        return text if item.once else self._repeat(text, item.least, item.most)

    def _repeat(self, text: str, least: int, most: int | None) -> str:
        if most is not None and most > 1 and (most > _MOST_UNROLLED or self._unbounded):
            self.widened, most = True, None
        if least > _MOST_UNROLLED:
            self.widened, least = True, _MOST_UNROLLED
        text = f"(?:{text})"
        parts = [f"{text}{{{count}}}" for count in _chunks(least)]
        if most is None:
            return "".join(parts) + f"{text}*"
        if most <= _MOST_REPEATS:
            return f"{text}{{{least},{most}}}"
        return "".join(parts) + "".join(f"{text}{{0,{count}}}" for count in _chunks(most - least))


def _chunks(total: int) -> list[int]:
    return [_MOST_REPEATS] * (total // _MOST_REPEATS) + [total % _MOST_REPEATS] * (total % _MOST_REPEATS > 0)


def _fullmatch(pattern: str) -> Callable[[str], bool]:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = _RE2_MEMORY
    fullmatch = re2.compile(pattern, options).fullmatch
    # Encoded here, the text is not walked again for offsets that nobody asks for.
    return lambda text: fullmatch(text.encode("utf-8", "surrogatepass")) is not None
