"""LookupEvents and the investigator's search, over a real journal and real columns."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from skytrail.errors import ColumnsUnavailable, QueryTooLarge, ServiceError
from skytrail.identity.secrets import Sealer
from skytrail.services import tokens
from skytrail.services.cloudtrail.history import investigate, lookup
from skytrail.services.cloudtrail.history.conditions import Condition, Parameters, conjunction, containing
from skytrail.services.cloudtrail.history.resources import name_of, resources_of

from .trail import NOW, Trail, ids

CASES = json.loads((Path(__file__).parents[1] / "cases" / "lookup.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trail]:
    trail = Trail(tmp_path_factory.mktemp("trail"))
    yield trail
    trail.close()


@pytest.fixture(scope="module")
def told(trail: Trail) -> str:
    """The account of the cases' records, a second apart."""
    account = trail.account()
    trail.record(
        account, *({**record, "eventTime": f"2026-03-01T10:00:{n:02}Z"} for n, record in enumerate(CASES["records"]))
    )
    return account


def names(answer: dict[str, Any]) -> list[str]:
    return [event["EventName"] for event in answer["Events"]]


def attribute(key: str, value: str) -> list[dict[str, str]]:
    return [{"AttributeKey": key, "AttributeValue": value}]


def at(second: float) -> datetime:
    return datetime(2026, 3, 1, 10, tzinfo=UTC) + timedelta(seconds=second)


# LookupEvents


@pytest.mark.parametrize("case", CASES["attributes"], ids=lambda case: f"{case['key']}={case['value']}")
def test_an_attribute_finds(trail: Trail, told: str, case: dict[str, Any]) -> None:
    assert names(trail.lookup(told, LookupAttributes=attribute(case["key"], case["value"]))) == case["finds"]


def test_every_key_of_the_model_is_known() -> None:
    from skytrail.wire import models

    shape = models.service("cloudtrail").model.shape_for("LookupAttributeKey")
    assert set(shape.enum) == set(lookup._ATTRIBUTES)


def test_an_event_id_finds_its_event(trail: Trail) -> None:
    account = trail.account()
    one, two = trail.record(account, {}, {})
    assert ids(trail.lookup(account, LookupAttributes=attribute("EventId", one))) == [one]
    assert ids(trail.lookup(account, LookupAttributes=attribute("EventId", two))) == [two]


@pytest.mark.parametrize("case", CASES["errors"], ids=lambda case: json.dumps(case["request"]))
def test_errors(trail: Trail, told: str, case: dict[str, Any]) -> None:
    with pytest.raises(ServiceError) as caught:
        trail.lookup(told, **case["request"])
    assert caught.value.code == case["code"]


def test_every_error_is_of_the_model(trail: Trail) -> None:
    from skytrail.wire import models

    operation = models.service("cloudtrail").operation("LookupEvents")
    assert operation is not None
    modelled = {shape.name for shape in operation.error_shapes}
    assert {case["code"] for case in CASES["errors"]} | {"InvalidTimeRangeException"} <= modelled


@pytest.mark.parametrize(
    ("value", "valid"),
    [("a" * 2000, True), ("a" * 2001, False), ("_" * 1000, True), ("_" * 1001, False), (", \n_" * 250 + "a", False)],
)
def test_some_characters_of_a_value_count_twice(trail: Trail, told: str, value: str, valid: bool) -> None:
    if valid:
        assert trail.lookup(told, LookupAttributes=attribute("Username", value)) == {"Events": []}
        return
    with pytest.raises(ServiceError, match="InvalidLookupAttributesException"):
        trail.lookup(told, LookupAttributes=attribute("Username", value))


def test_an_event_is_whole(trail: Trail) -> None:
    account = trail.account()
    resources = [
        {"type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::alpha", "accountId": account},
        {"type": "AWS::IAM::Role", "ARN": "arn:aws:iam::1:role/path/builder"},
        {"ARN": "arn:aws:logs:us-east-1:1:log-group:/aws/x:*"},
        {"type": "AWS::S3::Object", "ARNPrefix": "arn:aws:s3:::alpha/"},
    ]
    (event_id,) = trail.record(account, {"resources": resources, "requestParameters": {"b": "ü", "a": 1.50}})
    (event,) = trail.lookup(account)["Events"]
    record = event.pop("CloudTrailEvent")
    assert event == {
        "EventId": event_id,
        "EventName": "CreateBucket",
        "ReadOnly": "false",
        "AccessKeyId": "AKIAIOSFODNN7EXAMPLE",
        "EventTime": datetime(2026, 3, 1, 10, tzinfo=UTC),
        "EventSource": "s3.amazonaws.com",
        "Username": "alice",
        "Resources": [
            {"ResourceType": "AWS::S3::Bucket", "ResourceName": "alpha"},
            {"ResourceType": "AWS::IAM::Role", "ResourceName": "builder"},
            {"ResourceName": "/aws/x"},
            {"ResourceType": "AWS::S3::Object", "ResourceName": "alpha/"},
        ],
    }
    ((_, stored),) = trail.store.records("audit", trail.store.end("audit") - 1, rows=1)
    assert record.encode() == stored


def test_what_an_event_has_not_is_left_out(trail: Trail) -> None:
    account = trail.account()
    trail.record(
        account,
        {"userIdentity": {"type": "AWSService", "invokedBy": "x.amazonaws.com"}, "readOnly": None, "resources": None},
    )
    (event,) = trail.lookup(account)["Events"]
    assert set(event) == {"EventId", "EventName", "EventTime", "EventSource", "Resources", "CloudTrailEvent"}
    assert event["Resources"] == []


def test_accounts_and_regions_see_their_own_events(trail: Trail) -> None:
    one, two = trail.account(), trail.account()
    (here,) = trail.record(one, {})
    (there,) = trail.record(one, {"awsRegion": "eu-west-1"})
    (other,) = trail.record(two, {})
    assert ids(trail.lookup(one)) == [here]
    assert ids(trail.lookup(one, "eu-west-1")) == [there]
    assert ids(trail.lookup(two)) == [other]
    assert ids(trail.lookup(one, LookupAttributes=attribute("EventId", other))) == []


def test_a_range_includes_its_ends(trail: Trail, told: str) -> None:
    def found(**request: Any) -> list[str]:
        return names(trail.lookup(told, **request))

    assert found(StartTime=at(1), EndTime=at(2)) == ["ListBuckets", "DeleteBucket"]
    assert found(StartTime=at(2), EndTime=at(2)) == ["ListBuckets"]
    assert found(StartTime=at(4)) == ["ConsoleLogin", "RunInstances"]
    assert found(EndTime=at(0)) == ["CreateBucket"]
    assert found(StartTime=at(100)) == []
    assert found(EndTime=at(-1)) == []
    assert len(found(StartTime=datetime(1970, 1, 1, tzinfo=UTC), EndTime=datetime(9999, 1, 1, tzinfo=UTC))) == 6
    # An event's time has whole seconds: what happens after a moment is found from that moment on.
    assert found(StartTime=at(1.9), EndTime=at(2.9)) == ["ListBuckets", "DeleteBucket"]


def test_a_start_after_the_end_is_refused(trail: Trail, told: str) -> None:
    with pytest.raises(ServiceError, match="InvalidTimeRangeException"):
        trail.lookup(told, StartTime=at(2), EndTime=at(1))


def test_the_history_ends_with_the_retention(trail: Trail) -> None:
    account = trail.account()
    oldest = datetime.fromtimestamp(NOW, UTC) - timedelta(days=90)
    before, first = trail.record(
        account,
        {"eventTime": f"{oldest - timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"},
        {"eventTime": f"{oldest:%Y-%m-%dT%H:%M:%SZ}"},
    )
    assert ids(trail.lookup(account)) == [first]
    assert ids(trail.lookup(account, StartTime=oldest - timedelta(days=1))) == [first]
    assert ids(trail.lookup(account, LookupAttributes=attribute("EventId", before))) == []


def test_insights_events_are_a_history_of_their_own(trail: Trail) -> None:
    account = trail.account()
    insight = {
        "eventCategory": "Insight",
        "eventType": "AwsCloudTrailInsight",
        "eventName": None,
        "eventSource": None,
        "insightDetails": {"eventName": "RunInstances", "eventSource": "ec2.amazonaws.com", "state": "Start"},
    }
    (management,) = trail.record(account, {})
    assert trail.lookup(account, EventCategory="insight") == {"Events": []}
    (found,) = trail.record(account, insight)
    assert ids(trail.lookup(account)) == [management]
    requests: list[dict[str, Any]] = [{}, {"LookupAttributes": attribute("EventName", "RunInstances")}]
    for request in requests:
        assert ids(trail.lookup(account, EventCategory="insight", **request)) == [found]


# Pages


def test_pages_hold_each_event_once_newest_first(trail: Trail) -> None:
    account = trail.account()
    # Some share a second, and some come late: their order is that of their time, then of their recording.
    seconds = [n // 3 if n % 7 else 60 - n for n in range(60)]
    recorded = trail.record(account, *({"eventTime": f"2026-03-01T10:01:{second:02}Z"} for second in seconds))
    expected = [id_ for _, _, id_ in sorted(zip(seconds, range(60), recorded, strict=True), reverse=True)]
    for most in (1, 7, 20, 50):
        pages = trail.pages(account, MaxResults=most)
        assert [len(page) for page in pages[:-1]] == [most] * (len(pages) - 1)
        assert [event for page in pages for event in page] == expected
    assert len(ids(trail.lookup(account))) == 50
    assert len(trail.pages(account, MaxResults=30)) == 2  # no empty page at the end


def test_pages_stay_exact_while_events_arrive(trail: Trail) -> None:
    account = trail.account()
    recorded = trail.record(account, *({} for _ in range(10)))
    pages = trail.pages(account, lambda: trail.record(account, {}, {"eventTime": "2026-03-01T11:00:00Z"}), MaxResults=3)
    assert [event for page in pages for event in page] == recorded[::-1]


@pytest.fixture(scope="module")
def paged(trail: Trail) -> tuple[str, dict[str, Any], str]:
    account = trail.account()
    trail.record(account, *({} for _ in range(5)))
    request: dict[str, Any] = {
        "MaxResults": 2,
        "LookupAttributes": attribute("Username", "alice"),
        "StartTime": at(-9),
        "EndTime": at(9),
    }
    return account, request, trail.lookup(account, **request)["NextToken"]


@pytest.mark.parametrize(
    "changed",
    [
        {"MaxResults": 3},
        {"MaxResults": None},
        {"StartTime": at(-8)},
        {"StartTime": None},
        {"EndTime": at(10)},
        {"EndTime": None},
        {"LookupAttributes": attribute("Username", "bob")},
        {"LookupAttributes": attribute("EventName", "alice")},
        {"LookupAttributes": []},
        {"EventCategory": "insight", "LookupAttributes": []},
    ],
    ids=repr,
)
def test_a_token_holds_for_its_parameters_only(trail: Trail, paged: Any, changed: dict[str, Any]) -> None:
    account, request, token = paged
    assert len(ids(trail.lookup(account, **request, NextToken=token))) == 2
    with pytest.raises(ServiceError, match="InvalidNextTokenException"):
        trail.lookup(account, **{**request, **changed}, NextToken=token)


def test_a_token_holds_for_its_account_and_region_only(trail: Trail, paged: Any) -> None:
    account, request, token = paged
    for where in ((trail.account(), "us-east-1"), (account, "eu-west-1")):
        with pytest.raises(ServiceError, match="InvalidNextTokenException"):
            trail.lookup(*where, **request, NextToken=token)


def test_a_token_outlives_a_restart(trail: Trail, paged: Any) -> None:
    account, request, token = paged
    before = ids(trail.lookup(account, **request, NextToken=token))
    trail.restart()
    assert ids(trail.lookup(account, **request, NextToken=token)) == before


def test_no_altered_token_passes() -> None:
    sealer = Sealer(b"k" * 32)
    token = tokens.seal(sealer, [1_772_359_200, 7], ["a"])
    assert tokens.unseal(sealer, token, ["a"]) == [1_772_359_200, 7]
    raw = base64.b64decode(token)
    altered = [
        base64.b64encode(raw[:n] + bytes([raw[n] ^ bit]) + raw[n + 1 :]).decode()
        for n in range(len(raw))
        for bit in (1, 128)
    ]
    altered += [token[:-1], f"{token}=", f" {token}", f"{token}\n", token * 9, token.replace("=", "")]
    for other in {*altered} - {token}:
        with pytest.raises(tokens.InvalidToken):
            tokens.unseal(sealer, other, ["a"])
    with pytest.raises(tokens.InvalidToken):
        tokens.unseal(Sealer(b"l" * 32), token, ["a"])


@given(st.text(max_size=300))
@hypothesis_settings(deadline=None, derandomize=True)
def test_any_text_is_a_token_or_none(text: str) -> None:
    with pytest.raises(tokens.InvalidToken):
        tokens.unseal(Sealer(b"k" * 32), text, [])


@pytest.mark.parametrize("failure", [ColumnsUnavailable("away"), QueryTooLarge(241, "memory")], ids=repr)
def test_a_history_that_cannot_be_read_asks_to_try_again(
    trail: Trail, told: str, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    async def query(*_: Any, **__: Any) -> Any:
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(type(trail.columns), "query", query)
        with pytest.raises(ServiceError) as caught:
            trail.lookup(told)
        (line,) = trail.search()
    assert (caught.value.code, caught.value.status) == ("ServiceUnavailable", 503)
    assert line["error"]["code"] == "ServiceUnavailable"


# Resources


NAMES = [
    ("arn:aws:s3:::bucket", "bucket"),
    ("arn:aws:s3:::bucket/a/key", "bucket/a/key"),
    ("arn:aws:iam::1:user/team/bob", "bob"),
    ("arn:aws:iam::1:root", "root"),
    ("arn:aws:sns:us-east-1:1:topic", "topic"),
    ("arn:aws:cloudtrail:us-east-1:1:trail/main", "main"),
    ("arn:aws:logs:us-east-1:1:log-group:/aws/lambda/f:*", "/aws/lambda/f"),
    ("arn:aws:lambda:us-east-1:1:function:f", "f"),
    ("arn:aws:dynamodb:us-east-1:1:table/t/index/i", "t/index/i"),
    ("i-0123", "i-0123"),
    ("arn:aws:sns", "arn:aws:sns"),
]


@pytest.mark.parametrize(("arn", "name"), NAMES)
def test_the_name_within_an_arn(arn: str, name: str) -> None:
    assert name_of(arn) == name


def test_a_name_that_is_shown_finds_its_event(trail: Trail) -> None:
    account = trail.account()
    for arn, _ in NAMES:
        trail.record(account, {"eventName": arn, "resources": [{"type": "T", "ARN": arn}]})
    for arn, _ in NAMES:
        (event,) = trail.lookup(account, LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": arn}])[
            "Events"
        ]
        (resource,) = event["Resources"]
        by_name = [{"AttributeKey": "ResourceName", "AttributeValue": resource["ResourceName"]}]
        assert event["EventId"] in ids(trail.lookup(account, LookupAttributes=by_name))


@pytest.mark.parametrize("resources", ["null", "{}", '"x"', "[1, null, [], {}]", '[{"type": 1, "ARN": {}}]', "1e999"])
def test_strange_resources_are_none(resources: str) -> None:
    assert resources_of(f'{{"resources": {resources}}}') == []


# The investigator's search


def found(lines: list[dict[str, Any]]) -> list[str]:
    assert "cursor" in lines[-1], lines[-1]
    return [line["record"]["eventName"] for line in lines[:-1]]


@pytest.mark.parametrize("case", CASES["searches"], ids=lambda case: case["name"])
def test_a_search_finds(trail: Trail, told: str, case: dict[str, Any]) -> None:
    assert found(trail.search(accounts=[told], **case["search"])) == case["finds"]


@pytest.mark.parametrize("body", [*map(orjson.dumps, CASES["refused"]), b"", b"[]", b"{", b"\xff"], ids=repr)
def test_a_search_that_means_nothing_is_refused(trail: Trail, body: bytes) -> None:
    (line,) = map(orjson.loads, trail.lines(body))
    assert line["error"]["code"] == "ValidationException"


def test_a_search_goes_over_all_accounts_and_regions(trail: Trail) -> None:
    marker = "across-all"
    one, two = trail.account(), trail.account()
    trail.record(one, {"eventName": "A", "userAgent": marker, "eventTime": "2026-03-01T10:00:02Z"})
    trail.record(two, {"eventName": "B", "userAgent": marker, "awsRegion": "eu-west-1"})
    assert found(trail.search(text=[marker])) == ["A", "B"]
    assert found(trail.search(text=[marker], accounts=[two])) == ["B"]
    assert found(trail.search(text=[marker], accounts=[one, two], regions=["us-east-1"])) == ["A"]


def test_a_line_carries_the_record_as_stored(trail: Trail) -> None:
    account = trail.account()
    resources = [{"type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::alpha"}]
    trail.record(account, {"resources": resources, "requestParameters": {"x": 'a "b" \n ü \x1b[31m'}})
    position = trail.store.end("audit")
    ((_, stored),) = trail.store.records("audit", position - 1, rows=1)
    line, end = trail.lines(orjson.dumps({"accounts": [account]}))
    head = orjson.dumps({"position": position, "user": "alice", "resources": ["alpha"]})[:-1]
    assert line == head + b',"record":' + stored + b"}\n"
    assert orjson.loads(end) == {"cursor": position}


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("limit", [None, 12])
def test_a_long_answer_is_read_in_pages(
    trail: Trail, monkeypatch: pytest.MonkeyPatch, order: str, limit: int | None
) -> None:
    account = trail.account()
    seconds = [n // 4 for n in range(25)]
    recorded = trail.record(account, *({"eventTime": f"2026-03-01T10:01:{second:02}Z"} for second in seconds))
    with monkeypatch.context() as patch:
        patch.setattr(investigate, "_PAGE", 5)
        *events, end = trail.search(accounts=[account], limit=limit, order=order)
    expected = recorded if order == "oldest" else recorded[::-1]
    assert [event["record"]["eventID"] for event in events] == expected[:limit]
    assert "cursor" in end


def test_a_cursor_neither_repeats_nor_misses(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    account = trail.account()

    def look(after: int | None, limit: int | None = None) -> tuple[list[str], int]:
        *events, end = trail.search(accounts=[account], after=after, limit=limit)
        return [event["record"]["eventID"] for event in events], end["cursor"]

    first = trail.record(account, {}, {})
    seen, cursor = look(None)
    assert seen == first[::-1]
    assert look(cursor) == ([], cursor)
    # An event that happened earlier but was recorded later is new all the same; so they come as they were recorded.
    later = trail.record(account, {"eventTime": "2026-02-01T00:00:00Z"}, {}, {"eventTime": "2026-01-01T00:00:00Z"})
    monkeypatch.setattr(investigate, "_PAGE", 2)
    assert look(cursor)[0] == later
    part, middle = look(cursor, limit=2)
    rest, end = look(middle, limit=2)
    assert (part + rest, end) == (later, trail.store.end("audit"))
    # A cursor from before the history was cleared begins again.
    assert look(end + 1000)[0] == first + later


@given(
    st.lists(st.builds(Condition, st.sampled_from(["name", "ip", "arn", "resource", "requestParameters.x"]), st.text()))
    .map(tuple)
    .filter(lambda conditions: not any(c.key == "ip" and "/" in c.value for c in conditions)),
    st.text(min_size=1),
)
@hypothesis_settings(deadline=None, derandomize=True)
def test_what_a_caller_wrote_is_only_ever_bound(conditions: tuple[Condition, ...], text: str) -> None:
    parameters = Parameters()
    sql = " AND ".join([*conjunction(conditions, parameters), containing(text, parameters)])
    plain = Parameters()
    shape = [Condition(c.key, "*" if "*" in c.value.replace("\\*", "") else "x") for c in conditions]
    alike = " AND ".join([*conjunction(shape, plain), containing("x" if text.isascii() else "ü", plain)])
    if len(parameters.values) == len(plain.values):  # a text with two spellings is searched twice
        assert sql == alike
    assert all(f"{{{name}:String}}" in sql for name in parameters.values)


def test_a_search_that_cannot_travel_is_refused(trail: Trail) -> None:
    (answer,) = trail.search(text=["x" * 2000] * 10)
    assert answer["error"]["code"] == "ValidationException"
