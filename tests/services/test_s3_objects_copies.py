"""Copies of objects, and of parts of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from skytrail.services.s3 import checksums

from .s3_objects_house import MIB, Objects

BODY = b"0123456789"
ETAG = f'"{hashlib.md5(BODY).hexdigest()}"'
LONG_AGO, LATER = datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[Objects]:
    s3 = Objects(tmp_path)
    s3.put(
        "from",
        BODY,
        ContentType="text/plain",
        CacheControl="no-cache",
        Metadata={"a": "b"},
        Tagging="t=1",
        StorageClass="STANDARD_IA",
        WebsiteRedirectLocation="/there",
        Expires=LATER,
    )
    yield s3
    s3.close()


def copy(s3: Objects, source: str = "bucket/from", key: str = "to", **more: Any) -> dict[str, Any]:
    return s3("CopyObject", Key=key, CopySource=source, **more)


def test_a_copy_has_what_its_source_has(s3: Objects) -> None:
    s3("CreateBucket", Bucket="other")
    done = copy(s3, Bucket="other")
    assert done == {
        "CopyObjectResult": {
            "ETag": ETAG,
            "LastModified": datetime(2024, 2, 29, 23, 50, tzinfo=UTC),
            "ChecksumCRC64NVME": checksums.of_bytes("CRC64NVME", BODY),
            "ChecksumType": "FULL_OBJECT",
        },
        "ServerSideEncryption": "AES256",
    }
    got = s3("GetObject", Bucket="other", Key="to")
    assert (got["Body"], got["ContentType"], got["CacheControl"]) == (BODY, "text/plain", "no-cache")
    assert (got["Metadata"], got["TagCount"], got["Expires"]) == ({"a": "b"}, 1, LATER)
    # These are the copy's own.
    assert "StorageClass" not in got
    assert "WebsiteRedirectLocation" not in got
    assert len(s3.files()) == 2


def test_a_copy_may_have_other_properties(s3: Objects) -> None:
    copy(s3, MetadataDirective="REPLACE", Metadata={"x": "y"}, ContentType="text/html", StorageClass="ONEZONE_IA")
    got = s3("GetObject", Key="to")
    assert (got["Metadata"], got["ContentType"], got["StorageClass"]) == ({"x": "y"}, "text/html", "ONEZONE_IA")
    assert "CacheControl" not in got
    assert s3("GetObjectTagging", Key="to")["TagSet"] == [{"Key": "t", "Value": "1"}]
    copy(s3, TaggingDirective="REPLACE", Tagging="n=2", Metadata={"ignored": "x"})
    assert s3("GetObjectTagging", Key="to")["TagSet"] == [{"Key": "n", "Value": "2"}]
    assert s3("HeadObject", Key="to")["Metadata"] == {"a": "b"}
    copy(s3, ChecksumAlgorithm="SHA1", WebsiteRedirectLocation="/here")
    head = s3("HeadObject", Key="to", ChecksumMode="ENABLED")
    assert head["ChecksumSHA1"] == checksums.of_bytes("SHA1", BODY)
    assert head["WebsiteRedirectLocation"] == "/here"


def test_a_copy_onto_itself_must_change_something(s3: Objects) -> None:
    error = s3.refused("CopyObject", Key="from", CopySource="bucket/from")
    assert (error.code, error.status) == ("InvalidRequest", 400)
    assert s3.code("CopyObject", Key="from", CopySource="bucket/from", StorageClass="STANDARD_IA") == "InvalidRequest"
    copy(s3, key="from", MetadataDirective="REPLACE", Metadata={"new": "1"})
    assert s3("GetObject", Key="from")["Metadata"] == {"new": "1"}
    copy(s3, key="from", StorageClass="STANDARD_IA")
    copy(s3, key="from", ServerSideEncryption="AES256")
    assert s3.get("from") == BODY
    assert len(s3.files()) == 1


@pytest.mark.parametrize(
    ("key", "source"),
    [
        ("a b+ü?versionId=x", "/bucket/a%20b%2B%C3%BC%3FversionId%3Dx"),
        ("a+b", "bucket/a+b"),
        ("..", "bucket/.."),
        ("/x", "bucket//x"),
        ("x", "%2Fbucket%2Fx"),
    ],
)
def test_sources_are_percent_encoded(s3: Objects, key: str, source: str) -> None:
    s3.put(key, key.encode())
    copy(s3, source)
    assert s3.get("to") == key.encode()


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("bucket", "InvalidArgument"),
        ("bucket/", "InvalidArgument"),
        ("/", "InvalidArgument"),
        ("bucket/%ff", "InvalidArgument"),
        ("arn:aws:s3:us-east-1:123456789012:accesspoint/x/object/y", "NotImplemented"),
        ("bucket/none", "NoSuchKey"),
        ("none/from", "NoSuchBucket"),
        ("bucket/from?versionId=x", "InvalidArgument"),
        (f"bucket/from?versionId={'A' * 32}", "NoSuchVersion"),
    ],
)
def test_sources_that_are_not_there(s3: Objects, source: str, code: str) -> None:
    assert s3.code("CopyObject", Key="to", CopySource=source) == code
    upload = s3.upload("to")
    assert s3.code("UploadPartCopy", Key="to", CopySource=source, UploadId=upload, PartNumber=1) == code
    assert len(s3.files()) == 1


def test_copies_of_versions(s3: Objects) -> None:
    s3.versioning("Enabled")
    first = s3.put("v", b"1")["VersionId"]
    s3.put("v", b"2")
    done = copy(s3, f"bucket/v?versionId={first}")
    assert done["CopySourceVersionId"] == first
    assert s3.get("to") == b"1"
    copy(s3, f"bucket/v?versionId={first}", key="v")
    assert s3.get("v") == b"1", "an old version becomes the newest"
    marker = s3("DeleteObject", Key="v")["VersionId"]
    assert s3.code("CopyObject", Key="to", CopySource="bucket/v") == "NoSuchKey"
    assert s3.code("CopyObject", Key="to", CopySource=f"bucket/v?versionId={marker}") == "InvalidRequest"


CONDITIONS: list[tuple[dict[str, Any], bool]] = [
    ({"CopySourceIfMatch": ETAG}, True),
    ({"CopySourceIfMatch": '"x"'}, False),
    ({"CopySourceIfNoneMatch": ETAG}, False),
    ({"CopySourceIfNoneMatch": '"x"'}, True),
    ({"CopySourceIfModifiedSince": LATER}, False),
    ({"CopySourceIfUnmodifiedSince": LONG_AGO}, False),
    ({"CopySourceIfMatch": ETAG, "CopySourceIfUnmodifiedSince": LONG_AGO}, True),
    ({"CopySourceIfNoneMatch": ETAG, "CopySourceIfModifiedSince": LONG_AGO}, False),
]


@pytest.mark.parametrize(("condition", "holds"), CONDITIONS)
def test_conditions_of_sources(s3: Objects, condition: dict[str, Any], holds: bool) -> None:
    upload = s3.upload("part")
    part = {"Key": "part", "CopySource": "bucket/from", "UploadId": upload, "PartNumber": 1, **condition}
    if holds:
        copy(s3, **condition)
        s3("UploadPartCopy", **part)
    else:
        error = s3.refused("CopyObject", Key="to", CopySource="bucket/from", **condition)
        assert (error.code, error.status) == ("PreconditionFailed", 412)
        assert s3.code("UploadPartCopy", **part) == "PreconditionFailed"
        assert not s3.there("to")


def test_conditions_of_the_copy(s3: Objects) -> None:
    copy(s3, IfNoneMatch="*")
    assert s3.code("CopyObject", Key="to", CopySource="bucket/from", IfNoneMatch="*") == "PreconditionFailed"
    assert s3.code("CopyObject", Key="to", CopySource="bucket/from", IfMatch='"x"') == "PreconditionFailed"
    copy(s3, IfMatch=ETAG)
    for parameters, code in (
        ({"MetadataDirective": "MOVE"}, "InvalidArgument"),
        ({"TaggingDirective": "MOVE"}, "InvalidArgument"),
        ({"ExpectedSourceBucketOwner": "999999999999"}, "AccessDenied"),
        ({"StorageClass": "COLD"}, "InvalidStorageClass"),
        ({"ObjectLockMode": "COMPLIANCE"}, "InvalidRequest"),
    ):
        assert s3.code("CopyObject", Key="to", CopySource="bucket/from", **parameters) == code
    assert len(s3.files()) == 2


def test_parts_are_copied_by_ranges(s3: Objects) -> None:
    body = bytes(range(256)) * (6 * MIB // 256)
    s3.put("large", body)
    upload = s3.upload("to")
    first = s3(
        "UploadPartCopy", Key="to", CopySource="bucket/large", UploadId=upload, PartNumber=1,
        CopySourceRange=f"bytes=100-{5 * MIB + 99}",
    )["CopyPartResult"]  # fmt: skip
    second = s3("UploadPartCopy", Key="to", CopySource="bucket/from", UploadId=upload, PartNumber=2)["CopyPartResult"]
    assert second == {"ETag": ETAG, "LastModified": datetime(2024, 2, 29, 23, 50, tzinfo=UTC)}
    s3.complete(upload, [{"PartNumber": 1, "ETag": first["ETag"]}, {"PartNumber": 2, "ETag": ETAG}], "to")
    assert s3.get("to") == body[100 : 5 * MIB + 100] + BODY
    copy(s3, "bucket/to", key="copy")
    head = s3("HeadObject", Key="copy")
    assert head["ETag"] == f'"{hashlib.md5(s3.get("to")).hexdigest()}"'
    assert "PartsCount" not in s3("HeadObject", Key="copy", PartNumber=1)


@pytest.mark.parametrize("header", ["bytes=0-10", "bytes=5-", "bytes=-5", "bytes=5-2", "0-5", "bytes=a-b", ""])
def test_ranges_of_sources(s3: Objects, header: str) -> None:
    upload = s3.upload("to")
    code = s3.code(
        "UploadPartCopy", Key="to", CopySource="bucket/from", UploadId=upload, PartNumber=1, CopySourceRange=header
    )
    assert code == "InvalidArgument"


def test_a_source_is_bounded(s3: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skytrail.services.s3.copying.MOST_BYTES", 9)
    assert s3.code("CopyObject", Key="to", CopySource="bucket/from") == "InvalidRequest"


def test_a_source_that_is_overwritten_while_it_is_copied(s3: Objects) -> None:
    """The copy is of what was there."""
    body = bytes(3 * MIB)
    s3.put("large", body)

    async def scenario() -> None:
        task = asyncio.create_task(s3.ask("CopyObject", {"Key": "to", "CopySource": "bucket/large"}))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await s3.ask("PutObject", {"Key": "large", "Body": b"new"})
        await task

    s3.run(scenario())
    assert s3.get("to") in (body, b"new")
    assert s3.get("large") == b"new"
    assert len(s3.files()) == 3
