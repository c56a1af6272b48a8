"""The patterns of policies: `*` is any text, `?` any one character, `${key}` a value of the request.

`${key, 'text'}` has a default; `${*}`, `${?}` and `${$}` stand for the characters themselves. What a value brings
along is always literal. Matching takes time in proportion to both lengths, whatever the pattern.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

#: The values of a request's condition keys, under their lower-case names.
Context = Mapping[str, tuple[str, ...]]

#: Possessive: what was taken is not given back, so a pattern cannot make its reading slow.
_VARIABLE = re.compile(r"\$\{([^{},']*+)(?:,\s*+'([^']*+)'\s*+)?\}")
_VARIABLE_OR_COLON = re.compile(f"{_VARIABLE.pattern}|:")
_ESCAPES = frozenset("*?$")


class _Sign:
    """A wildcard; there is one of each, and they are compared by identity."""

    __slots__ = ()


_STAR, _ANY = _Sign(), _Sign()
_SIGNS = {"*": _STAR, "?": _ANY}


@dataclass(slots=True, frozen=True)
class Variable:
    key: str
    default: str | None


class Pattern:
    """One pattern of a policy; with `wild` False, `*` and `?` are literal characters too."""

    __slots__ = ("_parts", "_test", "text", "variables", "wild")

    def __init__(self, text: str, *, variables: bool, wild: bool = True, fold: bool = False) -> None:
        """`fold`: without regard to case; then the matched text must come in lower case."""
        self.text = text
        self.wild = wild
        self._parts = _parse(text.lower() if fold else text, variables, wild)
        self.variables = tuple(part for part in self._parts if isinstance(part, Variable))
        self._test = (
            None if self.variables else _tester([part for part in self._parts if not isinstance(part, Variable)])
        )

    def matches(self, text: str, context: Context) -> bool | None:
        """None where a variable of the pattern has no value in this request."""
        if self._test is not None:
            return self._test(text)
        filled = self._filled(context)
        return None if filled is None else _tester(filled)(text)

    def could_meet(self, text: str, context: Context) -> bool | None:
        """Whether there is a text that both match, where `*` in `text` stands for what is not known."""
        filled = self._filled(context)
        return None if filled is None else _could_meet(filled, text)

    def _filled(self, context: Context) -> list[str | _Sign] | None:
        filled: list[str | _Sign] = []
        for part in self._parts:
            if not isinstance(part, Variable):
                filled.append(part)
                continue
            values = context.get(part.key)
            if values is not None and len(values) == 1:
                filled.append(values[0])
            elif part.default is not None:
                filled.append(part.default)
            else:
                return None
        return filled


def could_meet(pattern: str, text: str) -> bool:
    """Whether there is a text that both match; `*` in `text` is any text, all else in it is itself."""
    return Pattern(pattern, variables=False).could_meet(text, {}) is True


def _could_meet(parts: list[str | _Sign], text: str) -> bool:
    """All places of the pattern at which one may be after a part of the text, as bits of one number."""
    stars = anyhow = place = 0
    by_letter: dict[str, int] = {}
    for part in parts:
        if part is _STAR:
            stars |= 1 << place
            place += 1
        elif part is _ANY:
            anyhow |= 1 << place
            place += 1
        for letter in part if isinstance(part, str) else "":
            by_letter[letter] = by_letter.get(letter, 0) | 1 << place
            place += 1
    end = 1 << place
    places = _past(1, stars)
    for letter in text:
        if letter == "*":
            places = (end << 1) - (places & -places)
        else:
            places = _past((places & (by_letter.get(letter, 0) | anyhow)) << 1 | places & stars, stars)
        if not places:
            return False
    return bool(places & end)


def _past(places: int, stars: int) -> int:
    while (more := places | (places & stars) << 1) != places:
        places = more
    return places


def arn_parts(text: str, *, variables: bool) -> list[str]:
    """The parts of a pattern of ARNs, at most six; a colon within a variable does not part."""
    if not variables:
        return text.split(":", 5)
    parts: list[str] = []
    start = 0
    for match in _VARIABLE_OR_COLON.finditer(text):
        if match[0] == ":":
            parts.append(text[start : match.start()])
            start = match.end()
            if len(parts) == 5:
                break
    return [*parts, text[start:]]


def _parse(text: str, variables: bool, wild: bool) -> list[str | _Sign | Variable]:
    """Parts: literal text, signs, variables."""
    parts: list[str | _Sign | Variable] = []
    position = 0
    for match in _VARIABLE.finditer(text) if variables else ():
        parts += _signs(text[position : match.start()], wild)
        position = match.end()
        key = match[1].strip()
        if key in _ESCAPES and match[2] is None:
            parts.append(key)
        else:
            parts.append(Variable(key.lower(), match[2]))
    return parts + _signs(text[position:], wild)


def _signs(text: str, wild: bool) -> list[str | _Sign | Variable]:
    if not wild:
        return [text] if text else []
    return [_SIGNS.get(part, part) for part in re.split(r"([*?])", text) if part]


def _tester(parts: list[str | _Sign]) -> Callable[[str], bool]:
    """Most patterns are plain text, or plain text and a star, and need no regular expression."""
    if parts == [_STAR]:
        return lambda _: True
    plain = "".join(part for part in parts if isinstance(part, str))
    signs = [part for part in parts if isinstance(part, _Sign)]
    if not signs:
        return lambda text: text == plain
    if signs == [_STAR] and parts[-1] is _STAR:
        return lambda text: text.startswith(plain)
    expression = _expression(tuple(parts))
    return lambda text: expression.fullmatch(text) is not None


@functools.lru_cache(maxsize=1024)
def _expression(parts: tuple[str | _Sign, ...]) -> re.Pattern[str]:
    """Each run between two stars is taken at its first place for good, so nothing is tried twice."""
    runs: list[str] = [""]
    for part in parts:
        if part is _STAR:
            runs.append("")
        elif isinstance(part, str):
            runs[-1] += re.escape(part)
        else:
            runs[-1] += "."
    if len(runs) == 1:
        return re.compile(runs[0], re.DOTALL)
    middle = "".join(f"(?>.*?{run})" for run in runs[1:-1] if run)
    return re.compile(f"{runs[0]}{middle}.*{runs[-1]}", re.DOTALL)
