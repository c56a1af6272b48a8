"""Real clients make calls that succeed, fail and are denied; LookupEvents then returns each, field by field."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from skytrail.testing import Server

from .callers import CALLERS, REGION, USER_AGENTS, Caller, Credentials, Result

ACCOUNT = "123456789012"
#: IAM is global: its calls are recorded here, whatever the caller's Region.
IAM_REGION = "us-east-1"


@pytest.fixture(scope="module")
def enforced() -> Iterator[Server]:
    with Server(arguments=["--mode", "enforced"]) as server:
        yield server


def make_key(server: Server, *arguments: str) -> Credentials:
    """An access key, made with the command line while the server runs."""
    done = subprocess.run(
        [sys.executable, "-m", "skytrail", "keys", "create", "--data", str(server.data), "--account", ACCOUNT,
         "--output", "json", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    key = json.loads(done.stdout)["AccessKey"]
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])


@pytest.fixture(scope="module")
def root(enforced: Server) -> Credentials:
    return make_key(enforced)


@pytest.fixture(scope="module")
def alice(enforced: Server) -> Credentials:
    return make_key(enforced, "--user", "alice")


def looked_up(
    server: Server,
    credentials: Credentials,
    key: str,
    value: str,
    *,
    call: Caller = CALLERS["boto3"],
    region: str = REGION,
) -> list[dict[str, Any]]:
    result = call(
        server.endpoint,
        credentials,
        "cloudtrail",
        "LookupEvents",
        {"LookupAttributes": [{"AttributeKey": key, "AttributeValue": value}]},
        region,
    )
    assert result.output is not None, result.error
    events: list[dict[str, Any]] = result.output["Events"]
    return events


@pytest.mark.parametrize("client", CALLERS)
def test_a_call_that_succeeds_is_found_with_all_its_fields(client: str, enforced: Server, root: Credentials) -> None:
    user = f"bob-{client}"
    before = datetime.now(UTC).replace(microsecond=0)
    result = CALLERS[client](enforced.endpoint, root, "iam", "CreateUser", {"UserName": user, "Path": "/staff/"})
    assert result.output is not None, result.error
    event = find(looked_up(enforced, root, "ResourceName", user, region=IAM_REGION), "CreateUser")
    record = json.loads(event["CloudTrailEvent"])

    assert event["EventId"] == record["eventID"]
    assert event["EventName"] == record["eventName"] == "CreateUser"
    assert event["EventSource"] == record["eventSource"] == "iam.amazonaws.com"
    assert event["ReadOnly"] == "false"
    assert event["Username"] == "root"
    assert event["AccessKeyId"] == record["userIdentity"]["accessKeyId"] == root.access_key
    assert {"ResourceType": "AWS::IAM::User", "ResourceName": user} in event["Resources"]
    assert before <= event["EventTime"].astimezone(UTC) <= datetime.now(UTC) + timedelta(seconds=1)

    assert record["eventVersion"] == "1.11"
    assert record["userIdentity"] == {
        "type": "Root",
        "principalId": ACCOUNT,
        "arn": f"arn:aws:iam::{ACCOUNT}:root",
        "accountId": ACCOUNT,
        "accessKeyId": root.access_key,
    }
    assert record["awsRegion"] == IAM_REGION
    assert record["sourceIPAddress"] == "127.0.0.1"
    assert USER_AGENTS[client] in record["userAgent"]
    assert record["requestParameters"] == {"userName": user, "path": "/staff/"}
    assert record["responseElements"]["user"]["arn"] == result.output["User"]["Arn"]
    assert record["readOnly"] is False
    assert record["managementEvent"] is True
    assert record["eventType"] == "AwsApiCall"
    assert record["eventCategory"] == "Management"
    assert record["recipientAccountId"] == ACCOUNT
    assert "errorCode" not in record
    check_request_id(result, record)


@pytest.mark.parametrize("client", CALLERS)
def test_a_call_that_fails_is_found_with_its_error(client: str, enforced: Server, root: Credentials) -> None:
    missing = f"missing-{client}"
    result = CALLERS[client](enforced.endpoint, root, "iam", "DeleteUser", {"UserName": missing})
    assert result.error in ("NoSuchEntity", "NoSuchEntityException")
    events = looked_up(enforced, root, "EventName", "DeleteUser", region=IAM_REGION)
    records = [json.loads(event["CloudTrailEvent"]) for event in events]
    record = next(record for record in records if record["requestParameters"] == {"userName": missing})
    assert record["errorCode"] == "NoSuchEntityException"
    assert record["errorMessage"] == f"The user with name {missing} cannot be found."
    assert record["responseElements"] is None
    check_request_id(result, record)


@pytest.mark.parametrize("client", CALLERS)
def test_a_call_that_is_denied_is_found_with_who_was_denied(
    client: str, enforced: Server, root: Credentials, alice: Credentials
) -> None:
    result = CALLERS[client](enforced.endpoint, alice, "cloudtrail", "LookupEvents", {"MaxResults": 7})
    assert result.error == "AccessDeniedException"
    event = next(
        event
        for event in looked_up(enforced, root, "Username", "alice", call=CALLERS[client])
        if USER_AGENTS[client] in json.loads(event["CloudTrailEvent"])["userAgent"]
    )
    record = json.loads(event["CloudTrailEvent"])
    assert record["errorCode"] == "AccessDeniedException"
    assert record["errorMessage"].startswith(
        f"User: arn:aws:iam::{ACCOUNT}:user/alice is not authorized to perform: cloudtrail:LookupEvents"
    )
    assert record["userIdentity"]["type"] == "IAMUser"
    assert record["userIdentity"]["userName"] == "alice"
    assert record["userIdentity"]["arn"] == f"arn:aws:iam::{ACCOUNT}:user/alice"
    assert record["requestParameters"] == {"maxResults": 7}
    assert record["awsRegion"] == REGION
    assert event["ReadOnly"] == "true"
    check_request_id(result, record)


@pytest.mark.parametrize("client", CALLERS)
def test_a_wrong_secret_is_refused_and_recorded(client: str, enforced: Server, root: Credentials) -> None:
    result = CALLERS[client](enforced.endpoint, Credentials(root.access_key, "wrong"), "sts", "GetCallerIdentity", {})
    assert result.error == "SignatureDoesNotMatch"
    records = [
        json.loads(event["CloudTrailEvent"]) for event in looked_up(enforced, root, "EventName", "GetCallerIdentity")
    ]
    (record,) = [
        record
        for record in records
        if record.get("errorCode") == "SignatureDoesNotMatch" and USER_AGENTS[client] in record["userAgent"]
    ]
    assert record["userIdentity"]["type"] == "Unknown"
    assert record["requestParameters"] is None


@pytest.mark.parametrize("client", CALLERS)
def test_an_operation_that_is_not_there_yet_says_so_and_is_recorded(
    client: str, enforced: Server, root: Credentials
) -> None:
    result = CALLERS[client](enforced.endpoint, root, "cloudwatch", "ListDashboards", {"DashboardNamePrefix": client})
    assert result.error == "NotImplemented"
    records = [
        json.loads(event["CloudTrailEvent"]) for event in looked_up(enforced, root, "EventName", "ListDashboards")
    ]
    (record,) = [record for record in records if record["requestParameters"] == {"dashboardNamePrefix": client}]
    assert record["errorCode"] == "NotImplemented"
    check_request_id(result, record)


def find(events: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(event for event in events if event["EventName"] == name)


def check_request_id(result: Result, record: dict[str, Any]) -> None:
    if result.request_id is not None:
        assert record["requestID"] == result.request_id
