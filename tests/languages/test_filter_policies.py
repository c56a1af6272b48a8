from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.languages import filter_policies
from skytrail.languages.filter_policies import InvalidFilterPolicy

CASES = json.loads((Path(__file__).parents[1] / "cases" / "sns" / "filter_policies.json").read_text())


@pytest.mark.parametrize("case", CASES["matching"] + CASES["bodies"], ids=lambda case: case["why"])
def test_matching(case: dict[str, Any]) -> None:
    scopes: tuple[filter_policies.Scope, ...] = ("MessageBody", "MessageAttributes")
    for scope in scopes if case in CASES["matching"] else scopes[:1]:
        policy = filter_policies.compile(json.dumps(case["policy"]), scope)
        assert [document for document in case["yes"] if not policy.accepts(document)] == []
        assert [document for document in case["no"] if policy.accepts(document)] == []


@pytest.mark.parametrize(("text", "message"), CASES["invalid"])
def test_invalid(text: str, message: str) -> None:
    with pytest.raises(InvalidFilterPolicy) as error:
        filter_policies.compile(text, "MessageAttributes")
    assert str(error.value) == message


def _policy(**counts: int) -> str:
    return json.dumps({name: [str(number) for number in range(count)] for name, count in counts.items()})


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        (_policy(a=150), True),
        (_policy(a=151), False),
        (_policy(a=10, b=15), True),
        (_policy(a=10, b=16), False),
        # 3 x 4 x 2 x 3 = 72: each value counts once for each level that it lies at.
        ('{"a": {"b": {"c": ["1", "2", "3", "4"]}}, "d": {"e": ["1", "2", "3"]}}', True),
        ('{"a": {"b": {"c": ["1", "2", "3", "4", "5"]}}, "d": {"e": ["1", "2", "3", "4", "5"]}}', True),
        ('{"a": {"b": {"c": ["1", "2", "3", "4", "5"]}}, "d": {"e": ["1", "2", "3", "4", "5", "6"]}}', False),
        # Alternatives add up.
        (
            json.dumps({"a": list("12345"), "$or": [{"b": list("123456789")}, {"c": list("abcdefg"), "d": ["1"] * 3}]}),
            True,
        ),
        (
            json.dumps({"a": list("12345"), "$or": [{"b": list("123456789")}, {"c": list("abcdefg"), "d": ["1"] * 4}]}),
            False,
        ),
        ('{"a":' * 200 + '["x"]' + "}" * 200, False),
    ],
)
def test_complexity(text: str, fits: bool) -> None:
    if fits:
        filter_policies.compile(text, "MessageBody")
        return
    with pytest.raises(InvalidFilterPolicy, match="Filter policy is too complex"):
        filter_policies.compile(text, "MessageBody")


def test_keys_of_alternatives_count_once() -> None:
    five = {"a": ["1"], "b": ["1"], "$or": [{"c": ["1"], "d": ["1"]}, {"e": ["1"], "a": ["2"]}]}
    filter_policies.compile(json.dumps(five), "MessageBody")
    with pytest.raises(InvalidFilterPolicy, match="more than 5 keys"):
        filter_policies.compile(json.dumps({**five, "f": ["1"]}), "MessageBody")


def test_a_policy_is_compiled_once() -> None:
    assert filter_policies.compile('{"a": ["once"]}', "MessageBody") is filter_policies.compile(
        '{"a": ["once"]}', "MessageBody"
    )


def test_size() -> None:
    with pytest.raises(InvalidFilterPolicy, match="too large"):
        filter_policies.compile(json.dumps({"a": ["x" * 262_144]}), "MessageBody")


def test_deep_and_long_documents_take_linear_time() -> None:
    policy = filter_policies.compile(
        '{"a": {"b": [{"wildcard": "*a*a*a*a*a*a*a*b"}], "c": [{"exists": false}]}}', "MessageBody"
    )
    deep: Any = "x"
    for _ in range(50_000):
        deep = [deep]
    before = time.process_time()
    assert not policy.accepts({"a": {"b": "a" * 200_000}})
    assert not policy.accepts({"a": [{"b": "a" * 10}] * 20_000})
    assert not policy.accepts({"a": {"b": deep}})
    assert time.process_time() - before < 5


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["a", "b", "$or", "prefix", "suffix", "wildcard", "numeric", "exists", "anything-but", "cidr"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(_values, _values, st.sampled_from(["MessageBody", "MessageAttributes"]))
def test_any_policy_is_compiled_or_refused_and_answers(
    policy: Any, document: Any, scope: filter_policies.Scope
) -> None:
    try:
        compiled = filter_policies.compile(json.dumps(policy), scope)
    except InvalidFilterPolicy:
        return
    assert compiled.accepts(document) in (True, False)


@given(st.text(alphabet="ab*", max_size=6), st.text(alphabet="ab", max_size=8))
def test_wildcards_mean_what_a_regular_expression_says(pattern: str, text: str) -> None:
    import re

    try:
        policy = filter_policies.compile(json.dumps({"k": [{"wildcard": pattern}]}), "MessageBody")
    except InvalidFilterPolicy:
        assert "**" in pattern
        return
    expected = re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text) is not None
    assert policy.accepts({"k": text}) is expected
