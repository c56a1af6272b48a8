"""Java's regular expressions, as far as the models use them: text -> tree."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_LAST = 0x10FFFF

_WORD = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACE = ((0x09, 0x0D), (0x20, 0x20))
_RANGES: dict[str, tuple[tuple[int, int], ...]] = {
    "ASCII": ((0, 0x7F),),
    "Alnum": ((0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A)),
    "Alpha": ((0x41, 0x5A), (0x61, 0x7A)),
    "Blank": ((0x09, 0x09), (0x20, 0x20)),
    "Cntrl": ((0, 0x1F), (0x7F, 0x7F)),
    "Digit": ((0x30, 0x39),),
    "Graph": ((0x21, 0x7E),),
    "Lower": ((0x61, 0x7A),),
    "Print": ((0x20, 0x7E),),
    "Punct": ((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)),
    "Space": _SPACE,
    "Upper": ((0x41, 0x5A),),
    "XDigit": ((0x30, 0x39), (0x41, 0x46), (0x61, 0x66)),
    "L1": ((0, 0xFF),),
    "all": ((0, _LAST),),
}
_PROPERTIES = {
    "IsAlphabetic": r"\p{L}\p{Nl}",
    "IsDigit": r"\p{Nd}",
    "IsEmoji": r"\p{So}",
    "IsLetter": r"\p{L}",
    "IsPunctuation": r"\p{P}",
    "IsWhite_Space": r"\s\x{85}\p{Z}",
    "IsWhitespace": r"\s\x{85}\p{Z}",
    "LD": r"\p{L}\p{Nd}",
}
_SHORTHANDS: dict[str, tuple[tuple[int, int], ...]] = {"d": ((0x30, 0x39),), "w": _WORD, "s": _SPACE}
_CONTROLS = {"t": 0x09, "n": 0x0A, "r": 0x0D, "f": 0x0C, "a": 0x07, "e": 0x1B}
_QUANTIFIER = re.compile(r"[*+?]|\{(\d+)(,?)(\d*)\}")
#: What Java's dot leaves out.
DOT = r"[^\n\r\x{85}\x{2028}\x{2029}]"


class UnreadableError(Exception):
    pass


@dataclass(slots=True)
class Set:
    """A class, an escape or a character: code points in ranges, and what only RE2 can name."""

    ranges: list[tuple[int, int]] = field(default_factory=list)
    named: list[str] = field(default_factory=list)
    negated: bool = False

    def re2(self) -> str:
        inner = "".join(map(_range, self.ranges)) + "".join(self.named)
        if not inner:
            return r"[\x{0}-\x{10FFFF}]" if self.negated else r"[^\x{0}-\x{10FFFF}]"
        return f"[{'^' if self.negated else ''}{inner}]"

    def python(self) -> str | None:
        """For `re`, where the set is made of code points alone."""
        if self.named or not self.ranges:
            return None
        inner = "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in self.ranges)
        return f"[{'^' if self.negated else ''}{inner}]"


@dataclass(slots=True)
class Look:
    alternatives: list[list[Item]]
    behind: bool
    negative: bool


@dataclass(slots=True)
class Item:
    """One element of a sequence: text for RE2, a set, a group of alternatives or a lookaround; and its repetitions."""

    what: str | Set | list[list[Item]] | Look
    least: int = 1
    most: int | None = 1

    @property
    def once(self) -> bool:
        return self.least == 1 and self.most == 1


class Parser:
    """Java's syntax, as far as the models use it."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._dot_all = False
        self.widened = False

    def whole(self) -> list[list[Item]]:
        alternatives = self._alternatives()
        if self._at != len(self._text):
            raise UnreadableError
        return alternatives

    def _alternatives(self) -> list[list[Item]]:
        alternatives: list[list[Item]] = [[]]
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == ")":
                break
            if char == "|":
                self._at += 1
                alternatives.append([])
                continue
            item = self._element()
            if item is not None:
                alternatives[-1].append(self._quantified(item))
        return alternatives

    def _quantified(self, item: Item) -> Item:
        while (match := _QUANTIFIER.match(self._text, self._at)) is not None:
            self._at = match.end()
            sign = match[0][0]
            if sign == "{":
                least = int(match[1])
                most = int(match[3]) if match[3] else (None if match[2] else least)
            else:
                least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
            if most is not None and most < least:
                raise UnreadableError
            item = Item(item.what, least, most) if item.once else Item([[item]], least, most)
            suffix = self._text[self._at : self._at + 1]
            if suffix in ("?", "+"):
                # Lazy is the same language; possessive is a part of it.
                self.widened |= suffix == "+"
                self._at += 1
        return item

    def _element(self) -> Item | None:
        char = self._text[self._at]
        if char == "(":
            return self._group()
        if char == "[":
            return Item(self._class())
        if char == "\\":
            return self._escape()
        self._at += 1
        if char == ".":
            return Item(Set([(0, _LAST)]) if self._dot_all else DOT)
        if char in "^$":
            return Item(char)
        return Item(Set([(ord(char), ord(char))]))

    def _group(self) -> Item | None:
        self._at += 1
        look: tuple[bool, bool] | None = None
        if self._text.startswith("?", self._at):
            opening = re.compile(r"\?(?:(<?)([=!])|([a-z]*)(?:-[a-z]+)?([:)])|(>)|<[A-Za-z][A-Za-z0-9]*>)").match(
                self._text, self._at
            )
            if opening is None:
                raise UnreadableError
            self._at = opening.end()
            if opening[2]:
                look = (opening[1] == "<", opening[2] == "!")
            elif opening[4]:
                if set(opening[3]) - {"s"}:
                    raise UnreadableError
                self._dot_all |= "s" in opening[3]
                if opening[4] == ")":
                    return None
            # An atomic group matches a part of what the plain one does.
            self.widened |= opening[5] is not None
        alternatives = self._alternatives()
        if self._text[self._at] != ")":
            raise UnreadableError
        self._at += 1
        return Item(Look(alternatives, *look) if look is not None else alternatives)

    def _escape(self) -> Item:
        following = self._text[self._at + 1]
        if following in "AzZ":
            self._at += 2
            return Item("^" if following == "A" else "$")
        if following in "bB":
            self._at += 2
            return Item("\\" + following)
        if following == "Q":
            end = self._text.find("\\E", self._at)
            quoted = self._text[self._at + 2 : end if end >= 0 else len(self._text)]
            self._at = end + 2 if end >= 0 else len(self._text)
            return Item([[Item(Set([(ord(char), ord(char))])) for char in quoted]])
        if following.isdigit() and following != "0":
            # A back-reference repeats what a group has matched: anything, here.
            self._at += 2
            self.widened = True
            return Item("(?s:.*)")
        return Item(self._escaped_set())

    def _escaped_set(self) -> Set:
        following = self._text[self._at + 1]
        if following in "pP":
            return self._property()
        if following in "dws":
            self._at += 2
            return Set(list(_SHORTHANDS[following]))
        if following in "DWS":
            self._at += 2
            return Set(list(_SHORTHANDS[following.lower()]), negated=True)
        point = self._code_point()
        return Set([(point, point)])

    def _property(self) -> Set:
        negated = self._text[self._at + 1] == "P"
        if self._text[self._at + 2] == "{":
            end = self._text.index("}", self._at)
            name = self._text[self._at + 3 : end]
            self._at = end + 1
        else:
            name = self._text[self._at + 2]
            self._at += 3
        if name in _RANGES:
            return Set(list(_RANGES[name]), negated=negated)
        if name in _PROPERTIES:
            return Set(named=[_PROPERTIES[name]], negated=negated)
        name = name.removeprefix("Is").removeprefix("script=")
        if not re.fullmatch(r"[A-Za-z_]+", name):
            raise UnreadableError
        return Set(named=[f"\\p{{{name}}}"], negated=negated)

    def _code_point(self) -> int:
        """An escaped character; two escapes that make a surrogate pair are one."""
        following = self._text[self._at + 1]
        if following == "u":
            point = int(self._text[self._at + 2 : self._at + 6], 16)
            self._at += 6
            if 0xD800 <= point < 0xDC00 and self._text.startswith("\\u", self._at):
                low = int(self._text[self._at + 2 : self._at + 6], 16)
                if 0xDC00 <= low < 0xE000:
                    self._at += 6
                    return 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00)
            return point
        if following == "x":
            match = re.compile(r"\{([0-9A-Fa-f]+)\}|([0-9A-Fa-f]{2})").match(self._text, self._at + 2)
            if match is None:
                raise UnreadableError
            self._at = match.end()
            return int(match[1] or match[2], 16)
        self._at += 2
        if following == "0":
            digits = re.compile(r"[0-3]?[0-7]{1,2}").match(self._text, self._at)
            if digits is None:
                raise UnreadableError
            self._at = digits.end()
            return int(digits[0], 8)
        if following in _CONTROLS:
            return _CONTROLS[following]
        if following.isalnum():
            raise UnreadableError
        return ord(following)

    def _class(self) -> Set:
        self._at += 1
        result = Set()
        if self._text[self._at] == "^":
            result.negated = True
            self._at += 1
        first = True
        while self._text[self._at] != "]" or first:
            first = False
            if self._text.startswith("&&", self._at):
                self._skip_intersection(result)
                break
            if self._text[self._at] == "[":
                self._merge(result, self._class())
                continue
            part = self._class_member()
            if len(part.ranges) == 1 and not part.named and not part.negated and self._is_range(part):
                self._at += 1
                high = self._class_member()
                if len(high.ranges) != 1 or high.named or high.negated or high.ranges[0][0] != high.ranges[0][1]:
                    # "a-\w": the hyphen stands for itself.
                    self._merge(result, Set([(0x2D, 0x2D)]))
                    self._merge(result, part)
                    self._merge(result, high)
                    continue
                if high.ranges[0][0] < part.ranges[0][0]:
                    raise UnreadableError
                part = Set([(part.ranges[0][0], high.ranges[0][0])])
            self._merge(result, part)
        self._at += 1
        return result

    def _is_range(self, part: Set) -> bool:
        low, high = part.ranges[0]
        following = self._text[self._at : self._at + 2]
        return low == high and following[:1] == "-" and following[1:] not in ("]", "[", "")

    def _class_member(self) -> Set:
        if self._text[self._at] == "\\":
            return self._escaped_set()
        char = ord(self._text[self._at])
        self._at += 1
        return Set([(char, char)])

    def _merge(self, into: Set, part: Set) -> None:
        if part.negated:
            if part.named and not part.ranges and len(part.named) == 1 and part.named[0].count("\\") == 1:
                into.named.append(part.named[0].replace("\\p", "\\P"))
            elif not part.named:
                into.ranges.extend(_complement(part.ranges))
            else:
                raise UnreadableError
        else:
            into.ranges.extend(part.ranges)
            into.named.extend(part.named)

    def _skip_intersection(self, result: Set) -> None:
        """`[a&&[^b]]` is written as `[a]`, which holds it; of a negated one nothing so simple holds."""
        if result.negated:
            raise UnreadableError
        self.widened = True
        while self._text.startswith("&&", self._at):
            self._at += 2
            while self._text[self._at] != "]" and not self._text.startswith("&&", self._at):
                if self._text[self._at] == "[":
                    self._class()
                else:
                    self._class_member()


def _complement(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    result, start = [], 0
    for low, high in sorted(ranges):
        if low > start:
            result.append((start, low - 1))
        start = max(start, high + 1)
    if start <= _LAST:
        result.append((start, _LAST))
    return result


def _range(bounds: tuple[int, int]) -> str:
    low, high = bounds
    return f"\\x{{{low:X}}}" if low == high else f"\\x{{{low:X}}}-\\x{{{high:X}}}"
