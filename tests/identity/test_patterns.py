"""Whether a policy's pattern may be about a resource of which a part is not known."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.identity.patterns import Pattern, could_meet

TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/"
#: All short texts of two letters: patterns of five signs that meet do so in one of nine.
SHORT = ["".join(letters) for length in range(10) for letters in itertools.product("ab", repeat=length)]


@pytest.mark.parametrize(
    ("pattern", "text", "meet"),
    [
        ("*", "*", True),
        (f"{TABLE}secret", f"{TABLE}*", True),
        (f"{TABLE}secret/index/i", f"{TABLE}*", True),
        ("arn:aws:dynamodb:*:*:table/secret", f"{TABLE}*", True),
        (f"{TABLE}secret", f"{TABLE}*/index/*", False),
        ("arn:aws:dynamodb:*:*:table/*t", f"{TABLE}s*", True),
        ("arn:aws:dynamodb:us-*:*:table/*", f"{TABLE}*", False),
        (f"{TABLE}secret", f"{TABLE}other", False),
        (f"{TABLE}?", f"{TABLE}", False),
        ("a?c", "a?c", True),
        ("abc", "a?c", False),
        ("", "*", True),
        ("?", "", False),
    ],
)
def test_could_meet(pattern: str, text: str, meet: bool) -> None:
    assert could_meet(pattern, text) is meet


def expression(pattern: str) -> re.Pattern[str]:
    return re.compile("".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern))


@given(st.text("ab*?", max_size=4), st.text("ab*", max_size=4))
def test_they_meet_where_a_text_matches_both(pattern: str, text: str) -> None:
    of_pattern, of_text = expression(pattern), expression(text)
    both = any(of_pattern.fullmatch(each) and of_text.fullmatch(each) for each in SHORT)
    assert could_meet(pattern, text) is both


@given(st.text("ab*?", max_size=12), st.text("ab?", max_size=12))
def test_what_is_known_is_met_where_it_matches(pattern: str, text: str) -> None:
    assert could_meet(pattern, text) is Pattern(pattern, variables=False).matches(text, {})


def test_variables() -> None:
    pattern = Pattern("table/${aws:username}-*", variables=True)
    assert pattern.could_meet("table/*", {"aws:username": ("ann",)}) is True
    assert pattern.could_meet("table/bob*", {"aws:username": ("ann",)}) is False
    assert pattern.could_meet("table/*", {}) is None


def test_long_ones_take_no_time() -> None:
    assert not could_meet("*a" * 1000 + "*", "b" * 2048)
    assert could_meet("*a" * 1000, "*b" * 1000 + "*")
