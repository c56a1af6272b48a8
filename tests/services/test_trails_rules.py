"""Trails' names and members: what may be said of a trail; the cases are in tests/cases/cloudtrail."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.call import Call, Source
from skytrail.errors import ServiceError
from skytrail.identity.principals import root
from skytrail.services.cloudtrail.trails import model, names, rules
from skytrail.services.cloudtrail.trails.model import Trail
from skytrail.wire.http import Request

from .trails_house import CASES

ACCOUNT, REGION = "123456789012", "eu-west-1"
NAMES = json.loads((CASES / "trail_names.json").read_text())
MEMBERS = json.loads((CASES / "trail_members.json").read_text())


@pytest.mark.parametrize("name", NAMES["allowed"])
def test_names(name: str) -> None:
    names.check(name)


@pytest.mark.parametrize(("name", "message"), [*NAMES["refused"].items(), ("x" * 129, "")])
def test_names_that_are_none(name: str, message: str) -> None:
    with pytest.raises(ServiceError) as raised:
        names.check(name)
    assert raised.value.code == "InvalidTrailNameException"
    assert raised.value.message == (message or "Trail name must have a maximum of 128 characters.")


def test_the_longest_name() -> None:
    names.check("x" * 128)


@pytest.mark.parametrize("arn", NAMES["no ARNs"])
def test_arns_that_are_none(arn: str) -> None:
    with pytest.raises(ServiceError) as raised:
        names.parse_arn(arn)
    assert raised.value.code == "CloudTrailARNInvalidException"


WORD = st.text("abcXYZ019", min_size=1, max_size=12)


@given(st.lists(WORD, min_size=2, max_size=6), st.sampled_from(".-_"), st.sampled_from(["us-east-1", "cn-north-1"]))
def test_a_name_comes_back_from_its_arn(words: list[str], joint: str, region: str) -> None:
    name = joint.join(words)
    try:
        names.check(name)
    except ServiceError as error:
        assert error.message == "Trail name must not be in IP address format."  # noqa: PT017 - the one that may be
        return
    assert names.parse_arn(model.arn(ACCOUNT, region, name)) == (ACCOUNT, region, name)


@given(st.text(max_size=140))
def test_every_text_is_a_name_or_is_refused(text: str) -> None:
    try:
        names.check(text)
    except ServiceError as error:
        assert error.code == "InvalidTrailNameException"  # noqa: PT017
    else:
        assert 3 <= len(text) <= 128
        assert text.isascii()


@pytest.mark.parametrize("case", MEMBERS, ids=lambda case: json.dumps(case["given"])[:80])
def test_members(case: dict[str, Any]) -> None:
    request = dict(case["given"])
    if "long" in case:
        request[case["long"]] = "a" * case["length"]
    call = Call(
        request=Request("POST", "/", "", {}),
        source=Source("192.0.2.1"),
        request_id="r",
        event_id="e",
        received=0.0,
        account=ACCOUNT,
        region=REGION,
        identity=root(ACCOUNT),
    )
    if "error" in case:
        with pytest.raises(ServiceError) as raised:
            made(call, request)
        assert raised.value.code == case["error"]
        assert case.get("says", "") in str(raised.value.message)
        return
    trail = made(call, request)
    for field, value in case.get("kept", {}).items():
        assert getattr(trail, field) == value


def made(call: Call, request: dict[str, Any]) -> Trail:
    trail = msgspec.structs.replace(Trail("one", ACCOUNT, REGION, "id", "bucket"), **rules.changes(call, request))
    rules.check_whole(trail)
    return trail
