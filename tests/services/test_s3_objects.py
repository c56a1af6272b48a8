"""Objects: put, read, looked at; their keys, properties, conditions, ranges and checksums."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from skytrail.errors import ServiceError
from skytrail.services.s3 import checksums

from .s3_objects_house import MIB, Objects, streamed

LONG_AGO, LATER = datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
BODY = b"0123456789"
ETAG = f'"{hashlib.md5(BODY).hexdigest()}"'


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[Objects]:
    s3 = Objects(tmp_path)
    yield s3
    s3.close()


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Objects]:
    """A house in which `key` is BODY, only to be read."""
    s3 = Objects(tmp_path_factory.mktemp("standing"))
    s3.put(body=BODY)
    yield s3
    s3.close()


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Objects]:
    """A house in which nothing is, before a test and after it."""
    s3 = Objects(tmp_path_factory.mktemp("empty"))
    yield s3
    s3.close()


def test_what_was_put_comes_back(s3: Objects) -> None:
    put = s3.put(
        body=BODY,
        ContentType="text/plain",
        CacheControl="no-cache",
        ContentEncoding="gzip",
        ContentLanguage="de",
        ContentDisposition="attachment",
        Expires=LATER,
        WebsiteRedirectLocation="/other",
        StorageClass="STANDARD_IA",
        Metadata={"Name": "ü", "empty": ""},
        Tagging="a=1&b=%C3%BC+x",
    )
    assert put == {
        "ETag": ETAG,
        "ServerSideEncryption": "AES256",
        "ChecksumCRC64NVME": checksums.of_bytes("CRC64NVME", BODY),
        "ChecksumType": "FULL_OBJECT",
    }
    assert s3.last.additional_event_data == {"SSEApplied": "Default_SSE_S3", "bytesTransferredIn": 10}
    got = s3("GetObject", Key="key")
    assert got.pop("Body") == BODY
    assert got == {
        "AcceptRanges": "bytes",
        "CacheControl": "no-cache",
        "ContentDisposition": "attachment",
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
        "ContentLength": 10,
        "ContentType": "text/plain",
        "ETag": ETAG,
        "Expires": LATER,
        "LastModified": datetime(2024, 2, 29, 23, 50, tzinfo=UTC),
        "Metadata": {"name": "ü", "empty": ""},
        "ServerSideEncryption": "AES256",
        "StorageClass": "STANDARD_IA",
        "TagCount": 2,
        "WebsiteRedirectLocation": "/other",
    }
    assert s3.last.additional_event_data["bytesTransferredOut"] == 10
    assert s3("HeadObject", Key="key") == got
    assert s3("GetObjectTagging", Key="key")["TagSet"] == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "ü x"}]


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, MIB, MIB + 1, 3 * MIB + 5])
def test_bodies_of_all_sizes_as_bytes_and_as_streams(s3: Objects, size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    s3.put("whole", body)
    s3.put("streamed", streamed(body[: size // 3], body[size // 3 :]))
    assert s3.get("whole") == s3.get("streamed") == body
    first, second = s3("HeadObject", Key="whole"), s3("HeadObject", Key="streamed")
    assert first["ETag"] == second["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'


@pytest.mark.parametrize(
    "key",
    [
        "..", ".", "../../outside", "/leading", "//", "a//b", "a/", "a/../b", "\x01control\x7f", "line\nbreak", "tab\t",
        "ü/日本", "\U0001f600", "%2e%2e", "a\\b", "C:\\x", "CON", "~", "#1", "key#1", "?x=y", "x" * 1024, "ü" * 512,
        ".started", "s3",
    ],
)  # fmt: skip
def test_a_key_is_a_name_and_no_path(empty: Objects, key: str) -> None:
    s3 = empty
    s3.put(key, key.encode())
    assert s3.get(key) == key.encode()
    assert s3.keys() == [key]
    (file,) = s3.files()
    assert file.relative_to(s3.data / "objects").parts[0] == "s3"
    assert not set(key.encode()) & set(b"/\\") or key not in str(file)
    s3("DeleteObject", Key=key)
    assert s3.files() == []


def test_keys_that_differ_are_other_objects(s3: Objects) -> None:
    keys = ["a", "A", "a/", "a//", "/a", "ä", "a\u0308", "a ", " a"]
    for key in keys:
        s3.put(key, key.encode())
    assert [s3.get(key) for key in keys] == [key.encode() for key in keys]
    assert s3.keys() == sorted(keys, key=str.encode)


@pytest.mark.parametrize("operation", ["PutObject", "GetObject", "DeleteObject", "CreateMultipartUpload"])
def test_a_key_has_1024_bytes_at_most(s3: Objects, operation: str) -> None:
    error = s3.refused(operation, Key="ü" * 512 + "x")
    assert (error.code, error.members) == ("KeyTooLongError", {"Size": 1025, "MaxSizeAllowed": 1024})


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"Metadata": {"a": "x" * 2048}}, "MetadataTooLarge"),
    ({"Metadata": {f"k{n}": "ü" * 50 for n in range(21)}}, "MetadataTooLarge"),
    ({"Tagging": "&".join(f"k{n}=v" for n in range(11))}, "BadRequest"),
    ({"Tagging": "a=1&a=2"}, "InvalidArgument"),
    ({"Tagging": "%zz=%ff"}, "InvalidArgument"),
    ({"Tagging": "novalue"}, "InvalidArgument"),
    ({"Tagging": "aws:x=1"}, "InvalidTag"),
    ({"Tagging": f"{'k' * 129}=1"}, "InvalidTag"),
    ({"Tagging": f"k={'v' * 257}"}, "InvalidTag"),
    ({"Tagging": "k=%7B"}, "InvalidTag"),
    ({"StorageClass": "OUTPOSTS"}, "InvalidStorageClass"),
    ({"StorageClass": "COLD"}, "InvalidStorageClass"),
    ({"WebsiteRedirectLocation": "elsewhere"}, "InvalidRedirectLocation"),
    ({"WebsiteRedirectLocation": "/" + "x" * 2048}, "InvalidRedirectLocation"),
    ({"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": LATER}, "InvalidRequest"),
    ({"ObjectLockLegalHoldStatus": "ON"}, "InvalidRequest"),
    ({"WriteOffsetBytes": 5}, "NotImplemented"),
    ({"ACL": "public-read"}, "AccessControlListNotSupported"),
    ({"ContentMD5": "x"}, "InvalidDigest"),
    ({"ContentMD5": base64.b64encode(b"x").decode()}, "InvalidDigest"),
    ({"ContentMD5": base64.b64encode(bytes(16)).decode()}, "BadDigest"),
    ({"ChecksumCRC32": "AAAAAA=="}, "BadDigest"),
    ({"ChecksumCRC32": "AAAA"}, "InvalidRequest"),
    ({"ChecksumCRC32": "!"}, "InvalidRequest"),
    ({"ChecksumCRC32": "AAAAAA==", "ChecksumSHA1": "x"}, "InvalidRequest"),
    ({"ChecksumAlgorithm": "SHA256"}, "InvalidRequest"),
    ({"ChecksumAlgorithm": "SHA256", "ChecksumCRC32": "AAAAAA=="}, "InvalidRequest"),
    ({"IfNoneMatch": ETAG}, "NotImplemented"),
    ({"IfMatch": "*"}, "NotImplemented"),
    ({"IfMatch": ETAG}, "NoSuchKey"),
    ({"ExpectedBucketOwner": "999999999999"}, "AccessDenied"),
    ({"Bucket": "no-such-bucket"}, "NoSuchBucket"),
]


@pytest.mark.parametrize(("parameters", "code"), REFUSED)
def test_what_is_refused_leaves_nothing(empty: Objects, parameters: dict[str, Any], code: str) -> None:
    s3 = empty
    assert s3.code("PutObject", Key="key", **{"Body": BODY, **parameters}) == code
    assert s3.code("PutObject", Key="key", **{"Body": streamed(BODY[:4], BODY[4:]), **parameters}) == code
    assert not s3.there()
    assert s3.files() == []


def test_a_body_is_bounded_and_has_a_length(s3: Objects) -> None:
    huge = streamed(BODY, length=(5 << 30) + 1)
    assert s3.code("PutObject", Key="key", Body=huge) == "EntityTooLarge"
    unknown = streamed(BODY)
    unknown.length = None
    error = s3.refused("PutObject", Key="key", Body=unknown)
    assert (error.code, error.status) == ("MissingContentLength", 411)
    assert s3.code("PutObject", Key="key", Body=streamed(BODY, length=11)) == "IncompleteBody"
    assert s3.files() == []


def test_a_body_larger_than_announced_is_cut_at_the_limit(s3: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skytrail.services.s3.bodies.MOST_BYTES", 2 * MIB)
    body = streamed(*[bytes(MIB)] * 3, length=MIB)
    assert s3.code("PutObject", Key="key", Body=body) == "EntityTooLarge"
    assert s3.files() == []


# Conditions of reads

READS: list[tuple[dict[str, Any], int]] = [
    ({"IfMatch": ETAG}, 200),
    ({"IfMatch": "*"}, 200),
    ({"IfMatch": f'"other", {ETAG}'}, 200),
    ({"IfMatch": '"other"'}, 412),
    ({"IfMatch": ""}, 412),
    ({"IfNoneMatch": '"other"'}, 200),
    ({"IfNoneMatch": ETAG}, 304),
    ({"IfNoneMatch": ETAG.strip('"')}, 304),
    ({"IfNoneMatch": f"W/{ETAG}"}, 304),
    ({"IfNoneMatch": "*"}, 304),
    ({"IfModifiedSince": LONG_AGO}, 200),
    ({"IfModifiedSince": LATER}, 304),
    ({"IfUnmodifiedSince": LATER}, 200),
    ({"IfUnmodifiedSince": LONG_AGO}, 412),
    ({"IfMatch": ETAG, "IfUnmodifiedSince": LONG_AGO}, 200),
    ({"IfMatch": '"other"', "IfUnmodifiedSince": LATER}, 412),
    ({"IfNoneMatch": '"other"', "IfModifiedSince": LATER}, 200),
    ({"IfNoneMatch": ETAG, "IfModifiedSince": LONG_AGO}, 304),
    ({"IfMatch": '"other"', "IfNoneMatch": ETAG}, 412),
    ({"IfUnmodifiedSince": LONG_AGO, "IfNoneMatch": ETAG}, 412),
]


@pytest.mark.parametrize(("condition", "status"), READS)
def test_conditions_of_reads(standing: Objects, condition: dict[str, Any], status: int) -> None:
    s3 = standing
    for operation in ("GetObject", "HeadObject"):
        if status == 200:
            assert s3(operation, Key="key", **condition)["ETag"] == ETAG
            continue
        error = s3.refused(operation, Key="key", **condition)
        assert (error.code, error.status) == ("PreconditionFailed" if status == 412 else "NotModified", status)
        if status == 304:
            assert isinstance(error, ServiceError)
            assert error.headers == {"ETag": ETAG, "Last-Modified": "Thu, 29 Feb 2024 23:50:00 GMT"}


def test_conditions_know_whole_seconds(s3: Objects) -> None:
    s3.clock.set(1_709_250_600.9)
    s3.put(body=BODY)
    second = datetime(2024, 2, 29, 23, 50, tzinfo=UTC)
    assert s3("HeadObject", Key="key", IfUnmodifiedSince=second)["LastModified"] == second
    assert s3.code("GetObject", Key="key", IfModifiedSince=second) == "NotModified"
    assert s3.get(IfModifiedSince=second - timedelta(seconds=1)) == BODY


# Conditions of writes


def test_conditions_of_writes(s3: Objects) -> None:
    s3.put(body=BODY, IfNoneMatch="*")
    error = s3.refused("PutObject", Key="key", Body=b"x", IfNoneMatch="*")
    assert (error.code, error.status, error.members) == ("PreconditionFailed", 412, {"Condition": "If-None-Match"})
    assert s3.code("PutObject", Key="key", Body=b"x", IfMatch='"other"') == "PreconditionFailed"
    s3.put(body=b"new", IfMatch=ETAG)
    assert s3.get() == b"new"
    s3.versioning("Enabled")
    s3("DeleteObject", Key="key")
    assert s3.code("PutObject", Key="key", Body=b"x", IfMatch=ETAG) == "NoSuchKey"
    s3.put(body=b"again", IfNoneMatch="*")


def test_a_condition_that_no_longer_holds_when_the_body_has_come(s3: Objects) -> None:
    async def scenario() -> list[str]:
        codes = []
        for condition, meanwhile in (
            ({"IfNoneMatch": "*"}, ("PutObject", {"Body": b"first"})),
            ({"IfMatch": f'"{hashlib.md5(b"first").hexdigest()}"'}, ("PutObject", {"Body": b"second"})),
            ({"IfMatch": f'"{hashlib.md5(b"second").hexdigest()}"'}, ("DeleteObject", {})),
        ):
            operation, parameters = meanwhile

            async def interrupted(operation: str = operation, parameters: Any = parameters) -> Any:
                yield b"body"
                await s3.ask(operation, {"Key": "key", **parameters})

            body = streamed(length=4)
            body._pieces = interrupted()
            try:
                await s3.ask("PutObject", {"Key": "key", "Body": body, **condition})
            except Exception as error:
                codes.append(getattr(error, "code", repr(error)))
        return codes

    assert s3.run(scenario()) == ["PreconditionFailed", "PreconditionFailed", "ConditionalRequestConflict"]
    assert s3.files() == []


def test_conditions_of_deletes(s3: Objects) -> None:
    assert s3.code("DeleteObject", Key="key", IfMatch="*") == "NoSuchKey"
    s3.put(body=BODY)
    assert s3.code("DeleteObject", Key="key", IfMatch='"other"') == "PreconditionFailed"
    assert s3.code("DeleteObject", Key="key", IfMatchSize=3) == "NotImplemented"
    assert s3.code("DeleteObject", Key="key", BypassGovernanceRetention=True) == "InvalidArgument"
    assert s3("DeleteObject", Key="key", IfMatch=ETAG) == {}
    s3.versioning("Enabled")
    s3.put(body=BODY)
    s3("DeleteObject", Key="key", IfMatch="*")
    assert s3.code("DeleteObject", Key="key", IfMatch="*") == "PreconditionFailed"


# Ranges

RANGES: list[tuple[str, tuple[int, int] | None]] = [
    ("bytes=0-0", (0, 1)),
    ("bytes=2-5", (2, 6)),
    ("bytes=5-", (5, 10)),
    ("bytes=5-99999", (5, 10)),
    ("bytes=-3", (7, 10)),
    ("bytes=-100", (0, 10)),
    ("bytes=0-", (0, 10)),
    ("bytes=5-2", None),
    ("bytes=", None),
    ("bytes=-", None),
    ("bytes=a-b", None),
    ("bytes=0-1,3-4", None),
    ("items=0-1", None),
]


@pytest.mark.parametrize(("header", "expected"), RANGES)
def test_ranges(standing: Objects, header: str, expected: tuple[int, int] | None) -> None:
    """What cannot be read is no range: all of the object comes."""
    got = standing("GetObject", Key="key", Range=header, ChecksumMode="ENABLED")
    start, end = expected or (0, 10)
    assert got["Body"] == BODY[start:end]
    assert got["ContentLength"] == end - start
    assert got.get("ContentRange") == (f"bytes {start}-{end - 1}/10" if expected else None)
    assert ("ChecksumCRC64NVME" in got) is (end - start == 10)


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=9999999999999999999-"])
def test_ranges_that_are_not_there(standing: Objects, header: str) -> None:
    s3 = standing
    error = s3.refused("GetObject", Key="key", Range=header)
    assert (error.code, error.status) == ("InvalidRange", 416)
    assert error.members == {"RangeRequested": header, "ActualObjectSize": 10}
    assert s3.code("GetObject", Key="key", PartNumber=1, Range="bytes=0-1") == "InvalidRequest"
    assert s3.code("GetObject", Key="key", PartNumber=2) == "InvalidPartNumber"
    assert s3.code("GetObject", Key="key", PartNumber=0) == "InvalidArgument"
    assert s3("GetObject", Key="key", PartNumber=1)["ContentRange"] == "bytes 0-9/10"


def test_ranges_across_frames(s3: Objects) -> None:
    body = bytes(index * 7 % 251 for index in range(200_000))
    s3.put(body=body)
    for start, end in (
        (0, 65536),
        (65535, 65537),
        (65536, 131072),
        (131071, 199_999),
        (65530, 140_000),
        (199_999, 200_000),
    ):
        assert s3.get(Range=f"bytes={start}-{end - 1}") == body[start:end]
    s3.put("empty", b"")
    assert s3.code("GetObject", Key="empty", Range="bytes=0-") == "InvalidRange"


def test_headers_of_the_answer_may_be_asked_for(s3: Objects) -> None:
    s3.put(body=BODY, ContentType="text/plain")
    asked = {
        "ResponseContentType": "text/html",
        "ResponseCacheControl": "no-store",
        "ResponseContentDisposition": "inline",
        "ResponseContentEncoding": "br",
        "ResponseContentLanguage": "fr",
        "ResponseExpires": LATER,
    }
    got = s3("GetObject", Key="key", **asked)
    assert {f"Response{name}": got[name] for name in (each.removeprefix("Response") for each in asked)} == asked
    anonymous = {"authorization": ""}
    with pytest.raises(Exception, match="anonymous"):
        s3.run(_unsigned(s3, {"Key": "key", "ResponseContentType": "text/html"}, anonymous))


async def _unsigned(s3: Objects, parameters: dict[str, Any], headers: dict[str, str]) -> Any:
    return await s3.ask("GetObject", parameters, headers)


def test_what_is_archived_cannot_be_read(s3: Objects) -> None:
    s3.put(body=BODY, StorageClass="GLACIER")
    assert s3("HeadObject", Key="key")["StorageClass"] == "GLACIER"
    error = s3.refused("GetObject", Key="key")
    assert (error.code, error.status, error.members) == ("InvalidObjectState", 403, {"StorageClass": "GLACIER"})
    assert s3.code("CopyObject", Key="copy", CopySource="bucket/key") == "InvalidObjectState"
    assert s3.code("RestoreObject", Key="key") == "NotImplemented"


# Checksums


@pytest.mark.parametrize("algorithm", list(checksums._KINDS))
def test_checksums_in_headers_and_after_the_body(s3: Objects, algorithm: str) -> None:
    member, value = checksums.member(algorithm), checksums.of_bytes(algorithm, BODY)
    assert s3.put(body=BODY, ChecksumAlgorithm=algorithm, **{member: value})[member] == value
    assert s3("HeadObject", Key="key", ChecksumMode="ENABLED")[member] == value
    assert member not in s3("HeadObject", Key="key")

    async def trailing(claimed: str) -> dict[str, Any]:
        body = streamed(BODY[:5], BODY[5:])
        name = f"x-amz-checksum-{algorithm.lower()}"
        body.trailers = {name: claimed}
        return await s3.ask("PutObject", {"Key": "trailed", "Body": body}, {"x-amz-trailer": name})

    assert s3.run(trailing(value))[member] == value
    wrong = checksums.of_bytes(algorithm, b"other")
    for claimed, code in ((wrong, "BadDigest"), ("", "InvalidRequest")):
        with pytest.raises(Exception, match=code):
            s3.run(trailing(claimed))
    assert s3.get("trailed") == BODY
    assert len(s3.files()) == 2


def test_attributes(s3: Objects) -> None:
    s3.put(body=BODY, StorageClass="ONEZONE_IA")
    everything = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    assert s3("GetObjectAttributes", Key="key", ObjectAttributes=everything) == {
        "ETag": ETAG.strip('"'),
        "Checksum": {"ChecksumCRC64NVME": checksums.of_bytes("CRC64NVME", BODY), "ChecksumType": "FULL_OBJECT"},
        "StorageClass": "ONEZONE_IA",
        "ObjectSize": 10,
        "LastModified": datetime(2024, 2, 29, 23, 50, tzinfo=UTC),
    }
    assert s3("GetObjectAttributes", Key="key", ObjectAttributes=["ObjectSize"]).keys() == {
        "ObjectSize",
        "LastModified",
    }
    assert s3.code("GetObjectAttributes", Key="key", ObjectAttributes=["Size"]) == "InvalidArgument"
    assert s3.code("GetObjectAttributes", Key="none", ObjectAttributes=["ETag"]) == "NoSuchKey"


def test_tags(s3: Objects) -> None:
    s3.put()
    tags = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}]
    s3("PutObjectTagging", Key="key", Tagging={"TagSet": tags})
    assert s3("GetObjectTagging", Key="key") == {"TagSet": tags}
    assert s3("HeadObject", Key="key")["TagCount"] == 2
    assert s3.code("PutObjectTagging", Key="key", Tagging={"TagSet": [*tags, tags[0]]}) == "InvalidTag"
    eleven = [{"Key": str(n), "Value": ""} for n in range(11)]
    assert s3.code("PutObjectTagging", Key="key", Tagging={"TagSet": eleven}) == "BadRequest"
    s3("DeleteObjectTagging", Key="key")
    assert s3("GetObjectTagging", Key="key") == {"TagSet": []}
    assert "TagCount" not in s3("HeadObject", Key="key")
    assert s3.code("GetObjectTagging", Key="none") == "NoSuchKey"
    assert s3.code("PutObjectTagging", Key="none", Tagging={"TagSet": []}) == "NoSuchKey"
