"""S3's buckets: made, found, listed, deleted, set up; every refusal is a case in tests/cases/s3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from skytrail.errors import ServiceError
from skytrail.services.s3 import acls, buckets, managing, stored
from skytrail.services.s3.buckets import Grant, canonical_id

from .s3_buckets_house import ACCOUNT, NOW, OTHER, Buckets

REFUSALS = json.loads((Path(__file__).parent.parent / "cases" / "s3" / "bucket_refusals.json").read_text())
ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Buckets]:
    house = Buckets(tmp_path)
    yield house
    house.close()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buckets]:
    """Buckets that refusals leave as they are."""
    house = Buckets(tmp_path_factory.mktemp("s3"))
    s3 = house.client()
    for name in ("standing", "full", "versioned"):
        s3.create_bucket(Bucket=name)
    s3.create_bucket(Bucket="listed", ObjectOwnership="ObjectWriter")
    s3.create_bucket(Bucket="ireland", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    house.client(OTHER).create_bucket(Bucket="foreign")
    s3.put_object(Bucket="full", Key="k")
    s3.put_object(Bucket="versioned", Key="k")
    s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="versioned", Key="k")
    yield house
    house.close()


def told(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response: Any = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: f"{case['operation']}: {case['why']}")
def test_refusals(case: dict[str, Any], standing: Buckets) -> None:
    client = standing.client(parameter_validation=False)
    asked = json.loads(json.dumps(case["input"]).replace("$OWNER", canonical_id(ACCOUNT)))
    with pytest.raises(ClientError) as caught:
        client._make_api_call(case["operation"], asked)
    assert refusal(caught) == (case["code"], case["status"])
    if "message" in case:
        assert caught.value.response["Error"]["Message"] == case["message"]


def test_a_buckets_life(house: Buckets) -> None:
    s3 = house.client()
    made = told(s3.create_bucket(Bucket="one"))
    assert made == {"Location": "/one", "BucketArn": "arn:aws:s3:::one"}
    assert told(s3.create_bucket(Bucket="one")) == made
    head = told(s3.head_bucket(Bucket="one"))
    assert head == {"BucketArn": "arn:aws:s3:::one", "BucketRegion": "us-east-1", "AccessPointAlias": False}
    assert s3.get_bucket_location(Bucket="one")["LocationConstraint"] is None
    s3.put_object(Bucket="one", Key="k", Body=b"x")
    house.store.close()
    house.open()
    s3 = house.client()
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["one"]
    with pytest.raises(s3.exceptions.BucketAlreadyExists):
        house.client(OTHER).create_bucket(Bucket="one")
    with pytest.raises(ClientError) as caught:
        s3.delete_bucket(Bucket="one")
    assert refusal(caught) == ("BucketNotEmpty", 409)


def test_a_bucket_that_is_made_again_is_empty(house: Buckets) -> None:
    s3 = house.client()
    s3.create_bucket(Bucket="one", CreateBucketConfiguration={"Tags": [{"Key": "a", "Value": "b"}]})
    assert s3.get_bucket_tagging(Bucket="one")["TagSet"] == [{"Key": "a", "Value": "b"}]
    s3.delete_bucket(Bucket="one")
    for call in (s3.head_bucket, s3.delete_bucket, s3.list_objects_v2):
        with pytest.raises(ClientError) as caught:
            call(Bucket="one")
        assert refusal(caught)[1] == 404
    house.client(OTHER).create_bucket(Bucket="one")
    assert house.client().list_buckets()["Buckets"] == []
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.get_bucket_tagging(Bucket="two")


def test_an_upload_under_way_keeps_its_bucket(house: Buckets) -> None:
    s3 = house.client()
    s3.create_bucket(Bucket="one")
    upload = s3.create_multipart_upload(Bucket="one", Key="k")["UploadId"]
    with pytest.raises(ClientError) as caught:
        s3.delete_bucket(Bucket="one")
    assert refusal(caught) == ("BucketNotEmpty", 409)
    s3.abort_multipart_upload(Bucket="one", Key="k", UploadId=upload)
    s3.delete_bucket(Bucket="one")


def test_an_account_has_so_many_buckets(house: Buckets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managing, "MOST", 1)
    s3 = house.client()
    s3.create_bucket(Bucket="one")
    s3.create_bucket(Bucket="one")
    with pytest.raises(ClientError, match="TooManyBuckets"):
        s3.create_bucket(Bucket="two")
    house.client(OTHER).create_bucket(Bucket="two")


def test_a_document_that_was_changed_on_its_way(house: Buckets) -> None:
    s3 = house.client()
    s3.create_bucket(Bucket="one")
    body = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
    url, signed = "http://s3.localhost:4566/one?tagging", house.signed()
    for digest, code in (("1B2M2Y8AsgTpgAmY7PhCfg==", b"BadDigest"), ("x", b"InvalidDigest")):
        status, _, answer = house.raw("PUT", url, {**signed, "content-md5": digest}, body)
        assert (status, code in answer) == (400, True)
    for headers in ({}, {"content-md5": "jqzPL3CP1xqTN8blcrX3gg=="}):
        assert house.raw("PUT", url, {**signed, **headers}, body)[0] == 200
    assert house.raw("PUT", url, signed, body[:-3])[0] == 400
    assert b"MissingRequestBodyError" in house.raw("PUT", url, signed, b"")[2]


# Regions


def test_regions(house: Buckets) -> None:
    virginia, ireland = house.client(), house.client(region="eu-west-1")
    with pytest.raises(ClientError) as caught:
        ireland.create_bucket(Bucket="one")
    assert refusal(caught) == ("IllegalLocationConstraintException", 400)
    assert "The unspecified location constraint is incompatible" in str(caught.value)
    with pytest.raises(ClientError) as caught:
        ireland.create_bucket(Bucket="one", CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    assert "The eu-west-2 location constraint is incompatible" in str(caught.value)
    made = virginia.create_bucket(Bucket="one", CreateBucketConfiguration={"LocationConstraint": "EU"})
    assert made["Location"] == "http://one.s3.amazonaws.com/"
    with pytest.raises(virginia.exceptions.BucketAlreadyOwnedByYou):
        ireland.create_bucket(Bucket="one", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    for client in (virginia, ireland):
        assert client.get_bucket_location(Bucket="one")["LocationConstraint"] == "eu-west-1"
        assert [each["Name"] for each in client.list_buckets()["Buckets"]] == ["one"]
    assert ireland.head_bucket(Bucket="one")["BucketRegion"] == "eu-west-1"


def test_boto3_finds_the_bucket_of_another_region(house: Buckets) -> None:
    house.client().create_bucket(Bucket="one", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    for style in ("path", "virtual"):
        client = house.client(style=style)
        client.put_object(Bucket="one", Key="k", Body=b"x")
        assert client.list_objects_v2(Bucket="one")["KeyCount"] == 1


def test_a_signature_for_another_region_is_told_the_right_one(house: Buckets) -> None:
    house.client().create_bucket(Bucket="one", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    scope = f"{ACCOUNT}/20240229/us-east-1/s3/aws4_request"
    url = "http://s3.localhost:4566/one?versioning"
    status, _, body = house.raw("GET", url, house.signed())
    assert status == 400
    assert b"<Code>AuthorizationHeaderMalformed</Code>" in body
    assert b"<Region>eu-west-1</Region>" in body
    status, _, body = house.raw("GET", f"{url}&X-Amz-Credential={scope.replace('/', '%2F')}&X-Amz-Signature=0")
    assert b"<Code>AuthorizationQueryParametersError</Code>" in body
    # Who names no Region needs none.
    constraint = {"LocationConstraint": "eu-west-1"}
    house.client("000000000000").create_bucket(Bucket="two", CreateBucketConfiguration=constraint)
    assert house.raw("GET", "http://s3.localhost:4566/two?versioning")[0] == 200


# Listing


def test_buckets_are_listed_by_the_page(house: Buckets) -> None:
    s3 = house.client()
    for name in ("b-1", "a-2", "b-3", "b-2"):
        region = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}} if name == "b-3" else {}
        s3.create_bucket(Bucket=name, **region)
    house.client(OTHER).create_bucket(Bucket="b-0")
    everything = s3.list_buckets()
    created = datetime.fromtimestamp(NOW, UTC)
    assert everything["Buckets"][0] == {"Name": "a-2", "CreationDate": created}
    assert everything["Owner"] == {"ID": canonical_id(ACCOUNT)}
    pages = list(s3.get_paginator("list_buckets").paginate(Prefix="b-", PaginationConfig={"PageSize": 2}))
    assert [[each["Name"] for each in page["Buckets"]] for page in pages] == [["b-1", "b-2"], ["b-3"]]
    assert pages[0]["Prefix"] == "b-"
    assert pages[1]["Buckets"][0]["BucketRegion"] == "eu-west-1"
    assert [each["Name"] for each in s3.list_buckets(BucketRegion="eu-west-1")["Buckets"]] == ["b-3"]
    with pytest.raises(ClientError, match="continuation token"):
        s3.list_buckets(Prefix="a-", ContinuationToken=pages[0]["ContinuationToken"])


# Settings


@given(st.text('id=uriemailAddress", \t0f', max_size=60))
def test_grants_in_headers_are_read_or_refused(text: str) -> None:
    if not text:
        assert acls.of_headers({"GrantRead": text}, canonical_id(ACCOUNT)) is None
        return
    with pytest.raises(ServiceError) as caught:
        acls.of_headers({"GrantRead": text}, canonical_id(ACCOUNT))
    assert caught.value.code in ("InvalidArgument", "UnresolvableGrantByEmailAddress")


@given(st.lists(st.sampled_from(["AllUsers", "AuthenticatedUsers"]), min_size=1, max_size=5), st.booleans())
def test_grants_in_headers(groups: list[str], quoted: bool) -> None:
    uris = [f"http://acs.amazonaws.com/groups/global/{group}" for group in groups]
    header = " , ".join(f'uri="{uri}"' if quoted else f"uri={uri}" for uri in uris)
    granted = acls.of_headers({"GrantRead": header}, canonical_id(ACCOUNT))
    assert granted == tuple(dict.fromkeys(Grant("READ", uri=uri) for uri in uris))


def test_versioning(house: Buckets) -> None:
    s3 = house.client()
    s3.create_bucket(Bucket="one")
    assert told(s3.get_bucket_versioning(Bucket="one")) == {}
    for status in ("Enabled", "Suspended"):
        s3.put_bucket_versioning(Bucket="one", VersioningConfiguration={"Status": status, "MFADelete": "Disabled"})
        assert told(s3.get_bucket_versioning(Bucket="one")) == {"Status": status}


def test_tags(house: Buckets) -> None:
    s3 = house.client()
    s3.create_bucket(Bucket="one")
    tags = [{"Key": "größe", "Value": "a b+c=d:e/f@g"}, {"Key": "x", "Value": ""}]
    s3.put_bucket_tagging(Bucket="one", Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket="one")["TagSet"] == tags
    s3.put_bucket_tagging(Bucket="one", Tagging={"TagSet": tags[:1]})
    assert s3.get_bucket_tagging(Bucket="one")["TagSet"] == tags[:1]
    s3.delete_bucket_tagging(Bucket="one")
    with pytest.raises(ClientError, match="The TagSet does not exist"):
        s3.get_bucket_tagging(Bucket="one")


def test_default_encryption(house: Buckets) -> None:
    s3 = house.client()
    s3.create_bucket(Bucket="one")

    def rule() -> Any:
        (found,) = s3.get_bucket_encryption(Bucket="one")["ServerSideEncryptionConfiguration"]["Rules"]
        return found

    at_first = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}
    assert rule() == at_first
    by_kms = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/mine"}
    put = {"ApplyServerSideEncryptionByDefault": by_kms, "BucketKeyEnabled": True}
    s3.put_bucket_encryption(Bucket="one", ServerSideEncryptionConfiguration={"Rules": [put]})
    assert rule() == put
    s3.delete_bucket_encryption(Bucket="one")
    assert rule() == at_first


def test_ownership_and_public_access(house: Buckets) -> None:
    s3 = house.client()
    s3.create_bucket(Bucket="one")
    members = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    assert s3.get_bucket_ownership_controls(Bucket="one")["OwnershipControls"] == {
        "Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]
    }
    assert s3.get_public_access_block(Bucket="one")["PublicAccessBlockConfiguration"] == dict.fromkeys(members, True)
    s3.put_bucket_ownership_controls(
        Bucket="one", OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]}
    )
    s3.put_public_access_block(Bucket="one", PublicAccessBlockConfiguration={"IgnorePublicAcls": True})
    assert s3.get_public_access_block(Bucket="one")["PublicAccessBlockConfiguration"] == {
        **dict.fromkeys(members, False),
        "IgnorePublicAcls": True,
    }
    s3.put_bucket_acl(Bucket="one", ACL="public-read")
    with pytest.raises(ClientError) as caught:
        s3.put_bucket_ownership_controls(
            Bucket="one", OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        )
    assert refusal(caught) == ("InvalidBucketAclWithObjectOwnership", 400)
    s3.delete_bucket_ownership_controls(Bucket="one")
    s3.delete_public_access_block(Bucket="one")
    with pytest.raises(ClientError, match="OwnershipControlsNotFoundError"):
        s3.get_bucket_ownership_controls(Bucket="one")
    with pytest.raises(ClientError, match="NoSuchPublicAccessBlockConfiguration"):
        s3.get_public_access_block(Bucket="one")


def test_lists(house: Buckets) -> None:
    s3 = house.client()
    s3.create_bucket(Bucket="one", ObjectOwnership="ObjectWriter")
    s3.delete_public_access_block(Bucket="one")
    owner = canonical_id(ACCOUNT)
    full = {"Grantee": {"Type": "CanonicalUser", "ID": owner}, "Permission": "FULL_CONTROL"}
    everyone = {"Grantee": {"Type": "Group", "URI": ALL_USERS}, "Permission": "READ"}
    other = {"Grantee": {"Type": "CanonicalUser", "ID": canonical_id(OTHER)}, "Permission": "WRITE"}
    assert told(s3.get_bucket_acl(Bucket="one")) == {"Owner": {"ID": owner}, "Grants": [full]}
    s3.put_bucket_acl(Bucket="one", ACL="public-read")
    assert s3.get_bucket_acl(Bucket="one")["Grants"] == [full, everyone]
    s3.put_bucket_acl(
        Bucket="one", GrantFullControl=f'id="{owner}"', GrantWrite=f'id="{canonical_id(OTHER)}", uri={ALL_USERS}'
    )
    assert s3.get_bucket_acl(Bucket="one")["Grants"] == [full, other, {**everyone, "Permission": "WRITE"}]
    document = {"Owner": {"ID": owner}, "Grants": [everyone, other]}
    s3.put_bucket_acl(Bucket="one", AccessControlPolicy=document)
    assert told(s3.get_bucket_acl(Bucket="one")) == document
    s3.put_object(Bucket="one", Key="k", ACL="authenticated-read")
    assert [each["Permission"] for each in s3.get_object_acl(Bucket="one", Key="k")["Grants"]] == [
        "FULL_CONTROL",
        "READ",
    ]
    s3.put_object_acl(Bucket="one", Key="k", AccessControlPolicy=document)
    assert told(s3.get_object_acl(Bucket="one", Key="k")) == document
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object_acl(Bucket="one", Key="no")


def test_the_owner_of_what_another_account_puts(house: Buckets) -> None:
    mine, others = house.client(), house.client(OTHER)
    mine.create_bucket(Bucket="one")
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": OTHER},
        "Action": ["s3:PutObject", "s3:PutObjectAcl"],
        "Resource": "arn:aws:s3:::one/*",
    }
    mine.put_bucket_policy(Bucket="one", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))

    def owner(key: str, **given: Any) -> str:
        others.put_object(Bucket="one", Key=key, **given)
        bucket = buckets.existing(house.store.read, "one")
        version = stored.latest(house.store.read, bucket, key)
        assert version is not None
        return canonical_id(version.owner)

    assert owner("a") == owner("a", ACL="bucket-owner-full-control") == canonical_id(ACCOUNT)
    with pytest.raises(ClientError, match="AccessControlListNotSupported"):
        others.put_object(Bucket="one", Key="a", ACL="public-read")
    for ownership, with_acl in (("BucketOwnerPreferred", ACCOUNT), ("ObjectWriter", OTHER)):
        rule = {"ObjectOwnership": ownership}
        mine.put_bucket_ownership_controls(Bucket="one", OwnershipControls={"Rules": [rule]})
        assert owner("b") == canonical_id(OTHER)
        assert owner("b", ACL="bucket-owner-full-control") == canonical_id(with_acl)
    with pytest.raises(ClientError, match="AccessDenied"):
        others.put_object(Bucket="one", Key="a", ACL="public-read")


def test_a_policy(house: Buckets) -> None:
    s3 = house.client()
    s3.create_bucket(Bucket="one")
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{OTHER}:root"},
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": ["arn:aws:s3:::one", "arn:aws:s3:::one/a*"],
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=1)
    s3.put_bucket_policy(Bucket="one", Policy=document)
    assert s3.get_bucket_policy(Bucket="one")["Policy"] == document
    assert s3.get_bucket_policy_status(Bucket="one")["PolicyStatus"] == {"IsPublic": False}
    public = json.dumps({"Statement": [{**statement, "Principal": "*"}]})
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_bucket_policy(Bucket="one", Policy=public)
    s3.delete_public_access_block(Bucket="one")
    s3.put_bucket_policy(Bucket="one", Policy=public)
    assert s3.get_bucket_policy_status(Bucket="one")["PolicyStatus"] == {"IsPublic": True}
    s3.delete_bucket_policy(Bucket="one")
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        s3.get_bucket_policy(Bucket="one")


def test_cors_and_lifecycle_are_shown_as_they_were_put(house: Buckets) -> None:
    s3 = house.client()
    s3.create_bucket(Bucket="one")
    rule = {
        "ID": "r",
        "AllowedMethods": ["GET", "PUT"],
        "AllowedOrigins": ["https://*.example.com"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["etag"],
        "MaxAgeSeconds": 300,
    }
    s3.put_bucket_cors(Bucket="one", CORSConfiguration={"CORSRules": [rule]})
    assert s3.get_bucket_cors(Bucket="one")["CORSRules"] == [rule]
    s3.delete_bucket_cors(Bucket="one")
    rules = [
        {"ID": "a", "Status": "Enabled", "Filter": {"Prefix": "log/"}, "Expiration": {"Days": 30}},
        {
            "ID": "b",
            "Status": "Disabled",
            "Filter": {"And": {"Prefix": "x", "Tags": [{"Key": "k", "Value": "v"}], "ObjectSizeGreaterThan": 5}},
            "Expiration": {"Date": datetime(2030, 1, 1, tzinfo=UTC)},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 3, "NewerNoncurrentVersions": 2},
        },
        {
            "ID": "c",
            "Status": "Enabled",
            "Filter": {},
            "Expiration": {"ExpiredObjectDeleteMarker": True},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        },
        {"ID": "d", "Status": "Enabled", "Prefix": "", "Expiration": {"Days": 1}},
    ]
    s3.put_bucket_lifecycle_configuration(Bucket="one", LifecycleConfiguration={"Rules": rules})
    shown = told(s3.get_bucket_lifecycle_configuration(Bucket="one"))
    assert shown == {"Rules": rules, "TransitionDefaultMinimumObjectSize": "all_storage_classes_128K"}
    s3.delete_bucket_lifecycle(Bucket="one")
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket="one")


def test_what_no_bucket_has_is_told_truly(house: Buckets) -> None:
    s3 = house.client()
    s3.create_bucket(Bucket="one")
    for operation, answer in (
        ("get_bucket_abac", {"AbacStatus": {"Status": "Disabled"}}),
        ("get_bucket_accelerate_configuration", {}),
        ("get_bucket_logging", {}),
        ("get_bucket_request_payment", {"Payer": "BucketOwner"}),
        ("list_bucket_inventory_configurations", {"IsTruncated": False}),
        ("get_bucket_notification_configuration", {}),
        ("delete_bucket_website", {}),
        ("delete_bucket_replication", {}),
    ):
        assert told(getattr(s3, operation)(Bucket="one")) == answer
        with pytest.raises(s3.exceptions.NoSuchBucket):
            getattr(s3, operation)(Bucket="no-such")
    s3.put_bucket_accelerate_configuration(Bucket="one", AccelerateConfiguration={"Status": "Suspended"})
    s3.put_bucket_request_payment(Bucket="one", RequestPaymentConfiguration={"Payer": "BucketOwner"})
    s3.put_bucket_logging(Bucket="one", BucketLoggingStatus={})
