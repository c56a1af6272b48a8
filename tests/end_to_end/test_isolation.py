"""Two accounts in two Regions never see each other's events; the investigator sees all of them."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from skytrail.testing import Server, Skytrail

from .kit import investigated, records

ACCOUNTS = ("111111111111", "222222222222")
REGIONS = ("eu-central-1", "us-east-1")
PLACES = list(product(ACCOUNTS, REGIONS))
EACH = 7


@pytest.fixture
def calls(skytrail: Skytrail) -> dict[tuple[str, str], set[str]]:
    """Request ids of the same calls, made in turn in every account and Region."""
    made: dict[tuple[str, str], set[str]] = {place: set() for place in PLACES}
    clients = {place: skytrail.client("sts", account=place[0], region=place[1]) for place in PLACES}
    for _ in range(EACH):
        for place, sts in clients.items():
            made[place].add(sts.get_caller_identity()["ResponseMetadata"]["RequestId"])
    return made


def looked_up(skytrail: Skytrail, place: tuple[str, str], *attribute: str) -> list[dict[str, Any]]:
    """All pages, small ones, of what is found by an attribute."""
    cloudtrail = skytrail.client("cloudtrail", account=place[0], region=place[1])
    attributes = [{"AttributeKey": attribute[0], "AttributeValue": attribute[1]}] if attribute else []
    pages = cloudtrail.get_paginator("lookup_events").paginate(
        LookupAttributes=attributes, PaginationConfig={"PageSize": 3}
    )
    return [event for page in pages for event in page["Events"]]


@pytest.mark.parametrize("place", PLACES, ids="-".join)
def test_no_key_finds_an_event_of_another_account_or_region(
    place: tuple[str, str], skytrail: Skytrail, calls: dict[tuple[str, str], set[str]]
) -> None:
    everything = looked_up(skytrail, place)
    own = [event for event in everything if event["EventName"] == "GetCallerIdentity"]
    assert {record["requestID"] for record in records(own)} == calls[place]
    for record in records(everything):
        assert (record["recipientAccountId"], record["awsRegion"]) == place
    for key, value in (
        ("EventName", "GetCallerIdentity"),
        ("EventSource", "sts.amazonaws.com"),
        ("ReadOnly", "true"),
        ("Username", "root"),
        ("AccessKeyId", place[0]),
    ):
        found = {record["requestID"] for record in records(looked_up(skytrail, place, key, value))}
        others = set().union(*(ids for other, ids in calls.items() if other != place))
        assert calls[place] <= found, key
        assert not found & others, key


def test_an_event_is_not_found_from_elsewhere_by_what_only_it_has(skytrail: Skytrail) -> None:
    home = PLACES[0]
    iam = skytrail.client("iam", account=home[0])
    user = iam.create_user(UserName="alice")["User"]
    key = iam.create_access_key(UserName="alice")["AccessKey"]["AccessKeyId"]
    skytrail.client("sts", access_key=key).get_caller_identity()
    place = home[0], "us-east-1"
    (created,) = looked_up(skytrail, place, "EventName", "CreateUser")
    unique = {
        "EventId": created["EventId"],
        "ResourceName": user["Arn"],
        "ResourceType": "AWS::IAM::User",
        "Username": "alice",
        "AccessKeyId": key,
    }
    for attribute in unique.items():
        assert looked_up(skytrail, place, *attribute), attribute
        for other in PLACES:
            if other != place:
                assert looked_up(skytrail, other, *attribute) == [], (attribute, other)


def test_the_other_accounts_key_and_name_find_nothing(
    skytrail: Skytrail, calls: dict[tuple[str, str], set[str]]
) -> None:
    for place in PLACES:
        for account in ACCOUNTS:
            if account != place[0]:
                assert looked_up(skytrail, place, "AccessKeyId", account) == []


def test_the_investigator_sees_all_accounts_and_regions(
    skytrail: Skytrail, skytrail_server: Server, calls: dict[tuple[str, str], set[str]]
) -> None:
    found = investigated(skytrail_server, "--name", "GetCallerIdentity")
    seen = {
        place: {r["requestID"] for r in found if (r["recipientAccountId"], r["awsRegion"]) == place} for place in PLACES
    }
    assert seen == calls
    one = investigated(skytrail_server, "--account", ACCOUNTS[0], "--region", REGIONS[1])
    assert {record["requestID"] for record in one} == calls[ACCOUNTS[0], REGIONS[1]]


def test_users_belong_to_one_account(skytrail: Skytrail) -> None:
    for account in ACCOUNTS:
        skytrail.client("iam", account=account).create_user(UserName=f"of-{account}")
    for account in ACCOUNTS:
        users = skytrail.client("iam", account=account).list_users()["Users"]
        assert [user["UserName"] for user in users] == [f"of-{account}"]
