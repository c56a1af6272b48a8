"""S3 in enforced mode: what each call asks permission for, and who has it; the cases are in tests/cases/s3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skytrail.call import Call, Source
from skytrail.errors import ServiceError
from skytrail.identity import accounts, inline
from skytrail.identity.principals import ANONYMOUS, Identity, root
from skytrail.services import s3
from skytrail.services.s3 import policy
from skytrail.services.s3.buckets import canonical_id
from skytrail.services.s3.demands import of_deletion
from skytrail.storage.store import Transaction
from skytrail.wire import models
from skytrail.wire.http import Request
from skytrail.wire.routing import Route

from .s3_buckets_house import ACCOUNT, OTHER, Buckets

CASES = Path(__file__).parent.parent / "cases" / "s3"
DEMANDS = json.loads((CASES / "demands.json").read_text())
PERMISSIONS = json.loads((CASES / "permissions.json").read_text())


class Guarded(Buckets):
    """A bucket `one` of the account, with users: alice of it, eve of another."""

    def __init__(self, data: Path) -> None:
        super().__init__(data, "enforced")
        self.users = {name: self._user(name, account) for name, account in (("alice", ACCOUNT), ("eve", OTHER))}

    def _user(self, name: str, account: str) -> Identity:
        user = accounts.User(name, self.ids.principal("AIDA"), "/", self.clock.time())
        self.write(lambda tx: accounts.put_user(tx, account, user))
        return accounts.user_identity(account, user, "AKIA")

    def who(self, name: str) -> Identity:
        if name.endswith(".amazonaws.com"):
            return Identity("AWSService", ACCOUNT, invoked_by=name)
        known = {"root": root(ACCOUNT), "stranger": root(OTHER), "nobody": ANONYMOUS, **self.users}
        return known[name]

    def may(self, name: str, statements: list[Any]) -> None:
        identity = self.users[name]
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.write(lambda tx: inline.put(tx, identity.account, "user", name, "p", document))

    def write(self, change: Any) -> None:
        async def submit() -> None:
            def apply(tx: Transaction) -> None:
                change(tx)

            await self.store.submit(apply)

        self.runner.run(submit())

    def call(self, operation: str, given: dict[str, Any], who: str = "root", **headers: str) -> Call:
        service = models.service("s3")
        found = service.operation(operation)
        assert found is not None
        identity = self.who(who)
        return Call(
            request=Request("GET", "/", headers.pop("query", ""), {"host": "localhost:4566", **headers}),
            source=Source("192.0.2.17"),
            request_id="r",
            event_id="e",
            received=self.clock.time(),
            account=identity.account or ACCOUNT,
            region="us-east-1",
            identity=identity,
            route=Route(service, found, "rest-xml"),
            input=given,
        )

    def ask(self, who: str, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        call = self.call(operation, given, who)
        self.runner.run(self.pipeline.perform(call))
        if call.error is not None:
            raise call.error
        return call.output or {}

    def set_up(self, settings: dict[str, Any]) -> None:
        def put(operation: str, **given: Any) -> None:
            given = json.loads(json.dumps(given).replace("$OTHER", canonical_id(OTHER)))
            self.ask("root", operation, {"Bucket": "one", **given})

        if "ObjectOwnership" in settings:
            rule = {"ObjectOwnership": settings["ObjectOwnership"]}
            put("PutBucketOwnershipControls", OwnershipControls={"Rules": [rule]})
        put("DeletePublicAccessBlock")
        if "ACL" in settings:
            put("PutBucketAcl", **settings["ACL"])
        if "ObjectACL" in settings:
            put("PutObjectAcl", Key="k", **settings["ObjectACL"])


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Guarded]:
    house = Guarded(tmp_path)
    house.ask("root", "CreateBucket", {"Bucket": "one"})
    for key, tagging in (("k", "team=red"), ("plain", ""), ("a b", "")):
        house.ask("root", "PutObject", {"Bucket": "one", "Key": key, "Tagging": tagging, "Body": b"x"})
    yield house
    house.close()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    house = Guarded(tmp_path_factory.mktemp("s3"))
    house.ask("root", "CreateBucket", {"Bucket": "one"})
    for key, tagging in (("k", "team=red"), ("plain", ""), ("a b", "")):
        house.ask("root", "PutObject", {"Bucket": "one", "Key": key, "Tagging": tagging, "Body": b"x"})
    yield house
    house.close()


@pytest.mark.parametrize("case", DEMANDS, ids=lambda case: case["operation"])
def test_what_a_call_demands(case: dict[str, Any], standing: Guarded) -> None:
    call = standing.call(case["operation"], case["input"])
    found = s3.demands(call, standing.engines)
    if case["operation"] == "DeleteObjects":  # each key is asked for by itself, by the operation
        assert found == []
        named = [(each["Key"], each.get("VersionId")) for each in case["input"]["Delete"]["Objects"]]
        found = of_deletion(call, standing.engines, named)
    assert [f"{each.action} {each.resource}" for each in found or ()] == case["demands"]
    of_bucket = [each for each in found or () if each.resource.startswith("arn:aws:s3:::one")]
    assert all(each.account == ACCOUNT for each in of_bucket)


def test_every_operation_demands_something(standing: Guarded) -> None:
    given = {
        "Bucket": "one", "Key": "k", "CopySource": "one/k", "Delete": {"Objects": [{"Key": "k"}]}, "UploadId": "u",
    }  # fmt: skip
    for operation in s3.OPERATIONS.keys() - {"DeleteObjects"}:
        shape = models.service("s3").operation(operation).input_shape  # type: ignore[union-attr]
        asked = {name: value for name, value in given.items() if name in shape.members}
        assert s3.demands(standing.call(operation, asked), standing.engines), operation


@pytest.mark.parametrize("case", PERMISSIONS, ids=lambda case: case["why"])
def test_who_may(case: dict[str, Any], house: Guarded) -> None:
    settings = case.get("settings", {})
    if settings:
        house.set_up(settings)
    if "policy" in case:
        document = json.dumps({"Version": "2012-10-17", "Statement": case["policy"]})
        house.ask("root", "PutBucketPolicy", {"Bucket": "one", "Policy": document})
    if settings.get("PublicAccessBlockConfiguration"):
        block = settings["PublicAccessBlockConfiguration"]
        house.ask("root", "PutPublicAccessBlock", {"Bucket": "one", "PublicAccessBlockConfiguration": block})
    if "may" in case:
        house.may(case["who"], case["may"])
    given = {
        name: value for name, value in case["input"].items() if name != "Bucket" or case["operation"] != "ListBuckets"
    }
    if case["allowed"]:
        house.ask(case["who"], case["operation"], given)
    else:
        with pytest.raises(ServiceError) as caught:
            house.ask(case["who"], case["operation"], given)
        assert (caught.value.code, caught.value.status) == ("AccessDenied", 403)


def test_an_object_that_is_not_there_is_told_to_who_may_list(house: Guarded) -> None:
    objects = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::one/*"}
    bucket = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::one"}
    house.may("alice", [objects])
    with pytest.raises(ServiceError, match="not authorized to perform: s3:ListBucket on resource: arn:aws:s3:::one "):
        house.ask("alice", "GetObject", {"Bucket": "one", "Key": "no"})
    house.may("alice", [objects, bucket])
    with pytest.raises(ServiceError, match="NoSuchKey"):
        house.ask("alice", "GetObject", {"Bucket": "one", "Key": "no"})


def test_what_another_account_owns_in_the_bucket(house: Guarded) -> None:
    """The bucket's policy does not open it, but can close it."""
    everything = {"Effect": "Allow", "Principal": {"AWS": [ACCOUNT, OTHER]}, "Action": "s3:*"}
    both = ["arn:aws:s3:::one", "arn:aws:s3:::one/*"]
    house.set_up({"ObjectOwnership": "ObjectWriter"})

    def put_policy(*statements: dict[str, Any]) -> None:
        document = json.dumps(
            {"Version": "2012-10-17", "Statement": [{**each, "Resource": both} for each in statements]}
        )
        house.ask("root", "PutBucketPolicy", {"Bucket": "one", "Policy": document})

    put_policy(everything)
    house.ask("stranger", "PutObject", {"Bucket": "one", "Key": "theirs", "Body": b"x"})
    get = {"Bucket": "one", "Key": "theirs"}
    assert house.ask("stranger", "GetObject", get)["ContentLength"] == 1
    with pytest.raises(ServiceError, match="AccessDenied"):
        house.ask("root", "GetObject", get)
    put_policy(everything, {"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject"})
    with pytest.raises(ServiceError, match="AccessDenied"):
        house.ask("stranger", "GetObject", get)
    house.ask("root", "DeleteObject", get)


def test_s3_itself_ends_what_is_over(house: Guarded) -> None:
    house.start()
    rule = {"Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}}
    house.ask("root", "PutBucketLifecycleConfiguration", {"Bucket": "one", "LifecycleConfiguration": {"Rules": [rule]}})
    house.advance(2 * 86_400)
    assert house.ask("root", "ListObjectsV2", {"Bucket": "one"})["KeyCount"] == 0


def test_how_a_request_was_signed(standing: Guarded) -> None:
    def context(**headers: str) -> dict[str, tuple[str, ...]]:
        (demand,) = s3.demands(standing.call("HeadBucket", {"Bucket": "one"}, **headers), standing.engines) or ()
        return {key: value for key, value in demand.context.items() if key != "s3:resourceaccount"}

    by_header = context(
        **{
            "authorization": "AWS4-HMAC-SHA256 Credential=...",
            "x-amz-date": "20240229T234959Z",
            "x-amz-content-sha256": "UNSIGNED-PAYLOAD",
        }
    )
    assert by_header == {
        "s3:authtype": ("REST-HEADER",),
        "s3:signatureversion": ("AWS4-HMAC-SHA256",),
        "s3:signatureage": ("1000",),
        "s3:x-amz-content-sha256": ("UNSIGNED-PAYLOAD",),
    }
    query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20240229T234000Z&X-Amz-Signature=0"
    assert context(query=query) == {
        "s3:authtype": ("REST-QUERY-STRING",),
        "s3:signatureversion": ("AWS4-HMAC-SHA256",),
        "s3:signatureage": ("600000",),
    }
    assert context(authorization="AWS key:signature") == {
        "s3:authtype": ("REST-HEADER",),
        "s3:signatureversion": ("AWS",),
    }
    assert context(authorization="AWS4-HMAC-SHA256 x", **{"x-amz-date": "yesterday"}).keys() == {
        "s3:authtype", "s3:signatureversion",
    }  # fmt: skip


ALLOW = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::one/*"}


@pytest.mark.parametrize(
    ("change", "public"),
    [
        ({}, True),
        ({"Principal": {"AWS": "*"}}, True),
        ({"Principal": {"AWS": [ACCOUNT, "*"]}}, True),
        ({"Principal": {"AWS": ACCOUNT}}, False),
        ({"Principal": {"Service": "cloudtrail.amazonaws.com"}}, False),
        ({"Effect": "Deny"}, False),
        ({"Condition": {"StringEquals": {"aws:SourceVpce": "vpce-1"}}}, False),
        ({"Condition": {"StringLike": {"aws:SourceVpce": "vpce-*"}}}, True),
        ({"Condition": {"StringEquals": {"aws:PrincipalOrgID": ["o-1", "o-2"]}}}, False),
        ({"Condition": {"StringNotEquals": {"aws:SourceAccount": ACCOUNT}}}, True),
        ({"Condition": {"StringEquals": {"aws:PrincipalTag/team": "red"}}}, True),
        ({"Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:sns:*:{ACCOUNT}:*"}}}, False),
        ({"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:sns:eu-west-1:*:t"}}}, True),
        ({"Condition": {"IpAddress": {"aws:SourceIp": ["192.0.2.0/24", "2001:db8::/32"]}}}, False),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/1"}}}, True),
        ({"Condition": {"StringEquals": {"aws:userid": "${aws:userid}"}}}, True),
    ],
)
def test_what_is_public(change: dict[str, Any], public: bool) -> None:
    document = json.dumps({"Version": "2012-10-17", "Statement": {**ALLOW, **change}})
    assert policy.is_public(document) is public


def test_what_a_restricted_bucket_keeps_of_its_policy() -> None:
    deny = {**ALLOW, "Effect": "Deny"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [ALLOW, deny]})
    assert json.loads(policy.without_allows(document) or "") == {"Version": "2012-10-17", "Statement": [deny]}
    assert policy.without_allows(json.dumps({"Statement": ALLOW})) is None
