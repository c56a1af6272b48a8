"""Policies: what they decide, and which are refused."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.errors import MalformedPolicy
from skytrail.identity import policy
from skytrail.identity.patterns import Pattern, arn_parts
from skytrail.identity.policy import Ask

CASES = Path(__file__).parent.parent / "cases" / "policies"
DECISIONS = json.loads((CASES / "decisions.json").read_text())
MALFORMED = json.loads((CASES / "malformed.json").read_text())

generated = settings(deadline=None, derandomize=True, max_examples=200)


@pytest.mark.parametrize("case", DECISIONS, ids=[case["name"] for case in DECISIONS])
def test_decision(case: dict[str, Any]) -> None:
    policies = [policy.parse(json.dumps(document)) for document in case["policies"]]
    context = {key: tuple(values) for key, values in case["context"].items()}
    decision = policy.evaluate(policies, Ask(case["action"], case["resource"], context))
    assert decision.value == case["decision"]


@pytest.mark.parametrize("case", MALFORMED, ids=[case["name"] for case in MALFORMED])
def test_malformed(case: dict[str, str]) -> None:
    with pytest.raises(MalformedPolicy) as caught:
        policy.parse(case["document"])
    assert str(caught.value) == case["message"]


def test_a_bomb_of_brackets() -> None:
    with pytest.raises(MalformedPolicy):
        policy.parse('{"Statement":' * 50_000)
    with pytest.raises(MalformedPolicy):
        policy.parse("[" * 130_000)


def slow_match(pattern: str, text: str) -> bool:
    """The plainest definition of * and ?."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(slow_match(pattern[1:], text[start:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and slow_match(pattern[1:], text[1:])


@generated
@given(st.text("ab*?.\n", max_size=7), st.text("ab*.\n", max_size=9))
def test_patterns_match_as_defined(pattern: str, text: str) -> None:
    assert Pattern(pattern, variables=False).matches(text, {}) is slow_match(pattern, text)


@generated
@given(st.text("a*?${},' ", max_size=12), st.text("ab", max_size=4))
def test_no_text_breaks_a_pattern(pattern: str, text: str) -> None:
    assert Pattern(pattern, variables=True).matches(text, {}) in (True, False, None)


@generated
@given(
    st.text(max_size=40)
    | st.recursive(st.text(max_size=4), lambda inner: st.dictionaries(st.text(max_size=4), inner)).map(json.dumps)
)
def test_noise_is_refused(document: str) -> None:
    with pytest.raises(MalformedPolicy):
        policy.parse(document)


def test_no_pattern_is_slow() -> None:
    text = "a" * 2000
    began = time.perf_counter()
    for pattern in ("*a" * 500 + "b", "a*" * 1000 + "b", "?*" * 500 + "b", "*" + "?" * 500 + "b"):
        assert not Pattern(pattern, variables=False).matches(text, {})
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    "text",
    ["arn:${" + " " * 100_000, "arn:" + "${a," * 30_000, "arn:${a,'" + "${a,'" * 30_000, "arn:${a," + " " * 100_000],
    ids=["spaces", "openings", "quotes", "no default"],
)
def test_no_policy_takes_long_to_read(text: str) -> None:
    statement = {"Effect": "Allow", "Action": "*", "Resource": text}
    conditions = {"ArnLike": {"aws:PrincipalArn": ":" * 100_000 + "}"}}
    started = time.process_time()
    for tree in (statement, {**statement, "Condition": conditions}):
        try:
            policy.parse(json.dumps({"Version": "2012-10-17", "Statement": tree}))
        except MalformedPolicy:
            continue
    assert time.process_time() - started < 2


def test_a_variables_own_colon_does_not_part_an_arn() -> None:
    assert arn_parts("arn:aws:iam::${aws:PrincipalAccount}:user/${aws:username, 'a:b'}", variables=True) == [
        *("arn", "aws", "iam", "", "${aws:PrincipalAccount}", "user/${aws:username, 'a:b'}")
    ]
    assert arn_parts("arn:aws:sqs:${a}:b:c:d:${e", variables=True) == ["arn", "aws", "sqs", "${a}", "b", "c:d:${e"]
    assert arn_parts("arn:${a:b}", variables=False) == ["arn", "${a", "b}"]
