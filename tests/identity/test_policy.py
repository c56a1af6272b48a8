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
from skytrail.identity.policy import Applicable, Ask, Decision, Kind, Policy
from skytrail.identity.principals import Identity, root

CASES = Path(__file__).parent.parent / "cases" / "policies"
MALFORMED = json.loads((CASES / "malformed.json").read_text())
ACCEPTED = json.loads((CASES / "accepted.json").read_text())

generated = settings(deadline=None, derandomize=True, max_examples=200)


@pytest.mark.parametrize("case", MALFORMED, ids=[case["name"] for case in MALFORMED])
def test_malformed(case: dict[str, Any]) -> None:
    with pytest.raises(MalformedPolicy) as caught:
        policy.parse(case["document"], case.get("kind", "identity"))
    assert str(caught.value) == case["message"]


@pytest.mark.parametrize("case", ACCEPTED, ids=[case["name"] for case in ACCEPTED])
def test_accepted(case: dict[str, Any]) -> None:
    assert policy.parse(json.dumps(case["document"]), case["kind"]).kind == case["kind"]


def test_a_policy_that_is_kept_and_cannot_be_read_denies_all_but_the_root(caplog: pytest.LogCaptureFixture) -> None:
    kinds: tuple[Kind, ...] = ("identity", "resource", "trust", "session")
    for kind in kinds:
        found = policy.kept(f"no policy of kind {kind}", kind)
        for principal_type, decision in (
            ("User", Decision.EXPLICITLY_DENIED),
            ("", Decision.EXPLICITLY_DENIED),
            ("Account", Decision.IMPLICITLY_DENIED),
        ):
            context = {"aws:principaltype": (principal_type,)} if principal_type else {}
            assert policy.evaluate([found], Ask("s3:GetObject", "arn:aws:s3:::b/k", context)) is decision
    assert len(caplog.records) == len(kinds)


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


TEXTS = st.sampled_from(
    ("*", "s3:*", "sts:AssumeRole", "arn:aws:s3:::b/${aws:username}", "arn:aws:iam::123456789012:root", "true", "Allow")
) | st.text(max_size=6)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
KINDS: st.SearchStrategy[Kind] = st.sampled_from(("identity", "resource", "trust", "session"))
NAMES = ("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition")


@st.composite
def nearly_policies(draw: st.DrawFn) -> Any:
    """Policies with something in them that does not belong there."""
    statement: dict[str, Any] = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=4)):
        statement[name] = draw(JUNK)
    if "Condition" not in statement and draw(st.booleans()):
        operator = draw(
            st.sampled_from(("StringLike", "Bool", "Null", "ArnLike", "DateEquals", "ForAnyValue:IpAddress"))
        )
        statement["Condition"] = {operator: {"aws:username": draw(JUNK)}}
    return {"Version": "2012-10-17", "Statement": draw(st.sampled_from((statement, [statement, statement])))}


@generated
@given(nearly_policies() | JUNK, KINDS)
def test_no_policy_breaks_the_parser(tree: Any, kind: Kind) -> None:
    try:
        found = policy.parse(json.dumps(tree), kind)
    except MalformedPolicy:
        return
    assert found.statements
    assert policy.evaluate([found], Ask("sts:AssumeRole", "*", {}, ALICE)) in Decision


ALICE = Identity("IAMUser", "123456789012", "AIDAALICE", "arn:aws:iam::123456789012:user/alice", "alice")
CAROL = Identity("IAMUser", "999999999999", "AIDACAROL", "arn:aws:iam::999999999999:user/carol", "carol")
NOBODY = Identity("AWSAccount", "")
SERVICE = Identity("AWSService", "123456789012", invoked_by="sns.amazonaws.com")
ROOT = root("123456789012")
ACTIONS = ("s3:GetObject", "s3:PutObject", "sqs:SendMessage")
BUCKETS = ("arn:aws:s3:::a/x", "arn:aws:s3:::b/x")
PRINCIPALS = (
    "*",
    {"AWS": "123456789012"},
    {"AWS": ALICE.arn},
    {"AWS": "999999999999"},
    {"Service": "sns.amazonaws.com"},
)


@st.composite
def statements(draw: st.DrawFn, effect: str, *, named: bool) -> dict[str, Any]:
    made: dict[str, Any] = {
        "Effect": effect,
        draw(st.sampled_from(("Action", "NotAction"))): draw(st.sampled_from((*ACTIONS, "s3:*", "*"))),
        draw(st.sampled_from(("Resource", "NotResource"))): draw(st.sampled_from((*BUCKETS, "arn:aws:s3:::*", "*"))),
    }
    if draw(st.booleans()):
        operator = draw(
            st.sampled_from(("StringEquals", "StringNotEquals", "StringEqualsIfExists", "ForAnyValue:StringLike"))
        )
        made["Condition"] = {operator: {draw(st.sampled_from(("aws:username", "s3:prefix"))): ["alice", "x"]}}
    if named:
        made[draw(st.sampled_from(("Principal", "Principal", "NotPrincipal")))] = draw(st.sampled_from(PRINCIPALS))
    return made


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """Of each kind of policy its statements; who asks for what."""

    def some(*, named: bool = False) -> list[dict[str, Any]]:
        effects = draw(st.lists(st.sampled_from(("Allow", "Allow", "Deny")), max_size=2))
        return [draw(statements(effect, named=named)) for effect in effects]

    return {
        "identity": some(),
        "boundary": some() if draw(st.booleans()) else [],
        "sessions": some() if draw(st.booleans()) else [],
        "resource": some(named=True),
        "ask": Ask(
            draw(st.sampled_from(ACTIONS)),
            draw(st.sampled_from(BUCKETS)),
            {"aws:username": ("alice",)} if draw(st.booleans()) else {},
            draw(st.sampled_from((ALICE, CAROL, NOBODY, SERVICE, ROOT))),
        ),
        "policy_rules": draw(st.booleans()),
        "granted": draw(st.booleans()),
    }


def decide(request: dict[str, Any]) -> Decision:
    def parsed(name: str, kind: Kind = "identity") -> Policy | None:
        return policy.parse(json.dumps({"Statement": request[name]}), kind) if request[name] else None

    identity, sessions, ask = parsed("identity"), parsed("sessions", "session"), request["ask"]
    return policy.decide(
        ask,
        Applicable(
            identity=(identity,) if identity is not None else (),
            boundary=parsed("boundary"),
            sessions=(sessions,) if sessions is not None else None,
            resource=parsed("resource", "resource"),
        ),
        account=ask.principal.account,
        owner="123456789012",
        policy_rules=request["policy_rules"],
        granted=request["granted"],
    ).decision


PARTS = st.sampled_from(("identity", "boundary", "sessions", "resource"))


@generated
@given(requests(), PARTS, st.data())
def test_a_deny_always_wins(request: dict[str, Any], part: str, data: st.DataObject) -> None:
    more = request | {part: [*request[part], deny_all(named=part == "resource")]}
    assert decide(more) is Decision.EXPLICITLY_DENIED
    some = request | {part: [*request[part], data.draw(statements("Deny", named=part == "resource"))]}
    if decide(request) is Decision.EXPLICITLY_DENIED:
        assert decide(some) is Decision.EXPLICITLY_DENIED
    elif part in ("identity", "resource"):
        # A boundary or a session policy that there was not is a limit as well.
        assert decide(some) in (decide(request), Decision.EXPLICITLY_DENIED)


def deny_all(*, named: bool) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": "*", "Resource": "*"} | ({"Principal": "*"} if named else {})


@generated
@given(requests(), PARTS, st.data())
def test_an_allow_never_takes_away(request: dict[str, Any], part: str, data: st.DataObject) -> None:
    if part in ("boundary", "sessions") and not request[part]:
        return  # what was not limited would be
    more = request | {part: [*request[part], data.draw(statements("Allow", named=part == "resource"))]}
    if decide(request) is Decision.ALLOWED:
        assert decide(more) is Decision.ALLOWED
    if decide(request) is Decision.EXPLICITLY_DENIED:
        assert decide(more) is Decision.EXPLICITLY_DENIED


@generated
@given(requests())
def test_a_limit_never_gives(request: dict[str, Any]) -> None:
    limits = {"boundary": [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}]}
    if not request["boundary"] and decide(request) is not Decision.ALLOWED:
        assert decide(request | limits) is not Decision.ALLOWED


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
