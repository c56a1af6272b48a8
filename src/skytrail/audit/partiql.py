"""The tables that a PartiQL statement of DynamoDB names, found without understanding the rest of it."""

from __future__ import annotations

import re
from collections.abc import Iterator

#: Texts and comments are skipped whole: what stands in them names nothing. No branch can be entered twice at one
#: place, so it takes time in proportion to the statement.
_TOKEN = re.compile(
    r"""
      '(?:[^']|'')*(?:'|\Z)
    | --[^\n]*
    | "(?P<quoted>(?:[^"]|"")*)"
    | (?P<word>[A-Za-z_$][\w$]*)
    | (?P<mark>[^\s])
    """,
    re.VERBOSE,
)
#: A table's name follows these words; UPDATE only where the statement begins.
_BEFORE = frozenset({"FROM", "INTO"})


def tables(statement: str) -> Iterator[str]:
    """In their order, as often as they are named; an index (`"table"."index"`) by its table."""
    expected, first = False, True
    for token in _TOKEN.finditer(statement):
        kind = token.lastgroup
        if kind is None:
            # A text or a comment.
            continue
        if expected and kind in ("quoted", "word"):
            yield token["quoted"].replace('""', '"') if kind == "quoted" else token["word"]
            expected = False
        else:
            word = token["word"].upper() if kind == "word" else ""
            expected = word in _BEFORE or (first and word == "UPDATE")
        first = False
