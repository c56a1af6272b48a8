"""`skytrail keys` with a running server and without one; what it changes holds from the next call on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skytrail.testing import Server

from .kit import answer, client, investigated, records, skytrail

ACCOUNT = "123456789012"
WORKS = (200, "")
UNKNOWN = (403, "InvalidClientTokenId")


@pytest.fixture(scope="module")
def enforced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(arguments=["--mode", "enforced"], data=tmp_path_factory.mktemp("enforced") / "data") as server:
        yield server


def keys(data: Path, *arguments: str, account: str = ACCOUNT) -> str:
    done = skytrail("keys", *arguments, "--data", str(data), "--account", account)
    assert done.returncode == 0, done.stderr
    return done.stdout


def create(data: Path, *arguments: str, **options: str) -> dict[str, str]:
    key: dict[str, str] = json.loads(keys(data, "create", "--output", "json", *arguments, **options))["AccessKey"]
    return key


def of(key: dict[str, str], server: Server, service: str, **options: Any) -> Any:
    return client(server, service, access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"], **options)


def test_a_key_works_from_its_making_to_its_end(enforced: Server) -> None:
    key = create(enforced.data)
    sts = of(key, enforced, "sts")
    assert sts.get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    keys(enforced.data, "disable", key["AccessKeyId"])
    assert answer(sts.get_caller_identity) == UNKNOWN
    assert f"{key['AccessKeyId']}\tInactive\t(root)" in keys(enforced.data, "list")
    keys(enforced.data, "enable", key["AccessKeyId"])
    assert answer(sts.get_caller_identity) == WORKS
    keys(enforced.data, "delete", key["AccessKeyId"])
    assert answer(sts.get_caller_identity) == UNKNOWN
    assert key["AccessKeyId"] not in keys(enforced.data, "list")


def test_each_command_leaves_its_record_without_the_secret(enforced: Server) -> None:
    key = create(enforced.data, account="222222222222")
    keys(enforced.data, "disable", key["AccessKeyId"], account="222222222222")
    found = investigated(enforced, "--account", "222222222222", "--write-only")
    assert [record["eventName"] for record in found] == ["UpdateAccessKey", "CreateAccessKey"]
    assert {record["userIdentity"]["type"] for record in found} == {"Root"}
    assert found[1]["responseElements"]["accessKey"]["accessKeyId"] == key["AccessKeyId"]
    assert key["SecretAccessKey"] not in json.dumps(investigated(enforced))
    assert key["SecretAccessKey"] not in enforced.log()


def test_an_account_sees_only_its_own_keys(enforced: Server) -> None:
    key = create(enforced.data, account="333333333333")
    assert key["AccessKeyId"] not in keys(enforced.data, "list")
    assert keys(enforced.data, "list", account="333333333333").count("AKIA") == 1
    done = skytrail("keys", "disable", key["AccessKeyId"], "--data", str(enforced.data), "--account", ACCOUNT)
    assert done.returncode == 1
    assert f"account {ACCOUNT} has no access key {key['AccessKeyId']}" in done.stderr


def test_a_policy_allows_what_it_says_and_nothing_else(enforced: Server, tmp_path: Path) -> None:
    policy = tmp_path / "auditor.json"
    statement = {"Effect": "Allow", "Action": "cloudtrail:LookupEvents", "Resource": "*"}
    policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": statement}))
    auditor = create(enforced.data, "--user", "auditor", "--policy", str(policy))
    assert auditor["UserName"] == "auditor"
    assert answer(of(auditor, enforced, "cloudtrail").lookup_events) == WORKS
    assert answer(of(auditor, enforced, "sts").get_caller_identity) == WORKS  # as on AWS: allowed to all
    denied = {
        "iam": ("create_user", {"UserName": "mallory"}, (403, "AccessDenied")),
        "cloudtrail": ("describe_trails", {}, (400, "AccessDeniedException")),
        "s3": ("list_buckets", {}, (403, "AccessDenied")),
        "sqs": ("list_queues", {}, (400, "AccessDeniedException")),
    }
    for service, (operation, parameters, expected) in denied.items():
        assert answer(getattr(of(auditor, enforced, service), operation), **parameters) == expected, service
    root = create(enforced.data)
    events = of(root, enforced, "cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "Username", "AttributeValue": "auditor"}]
    )["Events"]
    outcomes = {record["eventName"]: record.get("errorCode") for record in records(events)}
    assert outcomes == {
        "LookupEvents": None,
        "GetCallerIdentity": None,
        "CreateUser": "AccessDenied",
        "DescribeTrails": "AccessDeniedException",
        "ListBuckets": "AccessDenied",
        "ListQueues": "AccessDeniedException",
    }
    names = {user["UserName"] for user in of(root, enforced, "iam").list_users()["Users"]}
    assert names == {"auditor"}


def test_a_user_without_a_policy_may_do_nothing(enforced: Server) -> None:
    bob = create(enforced.data, "--user", "bob", account="444444444444")
    assert answer(of(bob, enforced, "cloudtrail").lookup_events) == (400, "AccessDeniedException")
    assert answer(of(bob, enforced, "iam").list_users) == (403, "AccessDenied")


def test_keys_are_made_listed_and_disabled_without_a_server(enforced: Server) -> None:
    account = "555555555555"
    running = create(enforced.data, account=account)
    enforced.stop()
    offline = create(enforced.data, account=account)
    keys(enforced.data, "disable", running["AccessKeyId"], account=account)
    listed = keys(enforced.data, "list", account=account)
    assert f"{offline['AccessKeyId']}\tActive" in listed
    assert f"{running['AccessKeyId']}\tInactive" in listed
    enforced.start()
    assert answer(of(offline, enforced, "sts").get_caller_identity) == WORKS
    assert answer(of(running, enforced, "sts").get_caller_identity) == UNKNOWN
    made = [
        record["responseElements"]["accessKey"]["accessKeyId"]
        for record in investigated(enforced, "--name", "CreateAccessKey", "--account", account)
    ]
    assert made == [offline["AccessKeyId"], running["AccessKeyId"]]


def test_the_servers_pages_for_tests_are_closed_to_strangers(enforced: Server) -> None:
    import urllib.error
    import urllib.request

    for path in ("clock", "reset", "lookup", "operate"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{enforced.endpoint}/_skytrail/{path}", b'{"action": "freeze"}')
        with refused.value as error:
            assert error.code == 403, path
