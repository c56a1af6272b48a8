from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from botocore.model import Shape
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skytrail.wire import models
from skytrail.wire.patterns import compile_pattern

from .requests_made import SCOPE


def shapes(name: str) -> Iterator[Shape]:
    model = models.service(name).model
    return (model.shape_for(shape_name) for shape_name in model.shape_names)


PATTERNS = sorted(
    {shape.metadata["pattern"] for name in SCOPE for shape in shapes(name) if "pattern" in shape.metadata}
)
#: What `re` reads as Java does, with ASCII classes.
COMPARABLE = [pattern for pattern in PATTERNS if not re.search(r"\\p|\\u|&&", pattern)]


def test_which_patterns_in_scope_are_not_exact() -> None:
    tests = map(compile_pattern, PATTERNS)
    assert {test.pattern: test.fidelity for test in tests if test.fidelity != "exact"} == {
        "^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$": "widened",
        next(pattern for pattern in PATTERNS if r"(:((?!\d+$)" in pattern): "widened",
    }


@settings(deadline=None, derandomize=True, max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_same_language_as_pythons_own_engine(data: st.DataObject) -> None:
    pattern = data.draw(st.sampled_from(COMPARABLE))
    oracle = re.compile(pattern, re.ASCII)
    alphabet = st.sampled_from("aA0-_./:*$ é\t\\{}%|=+@,#[]")
    text = data.draw(st.text(alphabet, max_size=8) | st.from_regex(oracle, fullmatch=True).map(lambda text: text[:300]))
    test = compile_pattern(pattern)
    if test.fidelity == "exact" and "\n" not in text and "\r" not in text:
        assert test.matches(text) == (oracle.fullmatch(text) is not None)
    elif oracle.fullmatch(text):
        assert test.matches(text) or "\n" in text or "\r" in text


@pytest.mark.parametrize(
    ("pattern", "right", "wrong"),
    [
        (r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", ["", "é ٣", "a_b:c/d=e+f-g@h"], ["a|b", "a\nb"]),
        (r"[\u0009\u000A\u000D\u0020-\u00FF]+", ["a\tb\r\nÿ"], ["", "中"]),
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*", ["中", "😀"], ["\n", "\ud800"]),
        (r".*", ["", "abc"], ["a\nb", "a\u2028b"]),
        (r"(?s).*", ["a\nb"], []),
        (r"(?!aws:).+", ["a", "xaws:"], ["aws:", ""]),
        (r"^(?!aws:)[a-z:]+$", ["abc"], ["aws:x", "A"]),
        (r"(?!^[0-9]+$)([a-zA-Z0-9-_]+)", ["a1", "1a"], ["1", ""]),
        (r"[0-9A-Za-z\.\-_]*(?<!\.)", ["a.b", ""], ["a.", "."]),
        (r"[a-z]+(?<!-s3alias)(?<!x)", ["abc"], ["ax"]),
        (
            r"(?=[/\.\-_A-Za-z0-9]+)((?!aws\.).*)|(\$(\.[\w_-]+(\[(\d+|\*)\])*)*)",
            ["a.b", "$.a[0]", "a|"],
            ["aws.s3", "|"],
        ),
        (r"(?=.{3,5}$)[a-z]+", ["abc", "abcde"], ["ab", "abcdef"]),
        (r"\p{Alnum}{2}", ["a1"], ["é1", "a"]),
        (r"[\p{Graph}&&[^x]]+", ["abc"], [" "]),
        (r"[\w-\/.]+", ["a-/."], ["+"]),
        (r"[a-z[0-9]]+", ["a1"], ["["]),
        (r"\S{1,8192}", ["x" * 8192], ["x" * 8193, "", "a b"]),
        (r"arn:.{1,2000}", ["arn:" + "x" * 2000], ["arn:" + "x" * 2001, "arn:"]),
        (r"[\P{M}\p{M}]{1,3}", ["a\n😀"], ["", "abcd"]),
        (r"\Qa.b\E+", ["a.b"], ["axb"]),
        (r"$|kafka://x", ["", "kafka://x"], ["kafka"]),
        (r"((a|b)|c)", ["a", "c"], ["ab"]),
        (r"[+-=._:/]+", ["+,-./09:;<="], ["a"]),
        (r"[^\x00-\x1F:\x7F]+", ["abc"], ["a:b", "\x7f"]),
        (r"-(?:a|b){0,2}", ["-", "-ab"], ["-aba"]),
    ],
)
def test_java(pattern: str, right: list[str], wrong: list[str]) -> None:
    test = compile_pattern(pattern)
    assert test.fidelity != "unchecked"
    assert [text for text in right if not test.matches(text)] == []
    assert [text for text in wrong if test.matches(text)] == []


@pytest.mark.parametrize(
    "pattern", ["(", "[", "a)", "[b-a]", "a{3,1}", r"\p{Nonsense}", r"\u12", "(?i)a", "\\", r"(?<=a", "[]"]
)
def test_what_cannot_be_read_is_not_tested(pattern: str) -> None:
    test = compile_pattern(pattern)
    assert (test.fidelity, test.matches("anything")) == ("unchecked", True)


@settings(deadline=None, derandomize=True, max_examples=500)
@given(st.text(alphabet=r"ab01()[]{},|?!<=:^$*+-\pPuxsS.&é", max_size=20), st.text(max_size=5))
def test_any_text_for_a_pattern_is_no_fault(pattern: str, text: str) -> None:
    assert compile_pattern.__wrapped__(pattern).matches(text) in (True, False)


def test_no_pattern_in_scope_hangs() -> None:
    started = time.process_time()
    for pattern in (*PATTERNS, r"(a+)+$", r"(a|a)*b", r"([a-z]+)*!", r"(.*)*x"):
        matches = compile_pattern(pattern).matches
        for text in ("a" * 20_000 + "!", "arn:aws:" + "a:" * 10_000, "-" * 20_000 + "\n"):
            matches(text)
    assert time.process_time() - started < 10
