"""Uploads in parts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from skytrail.identity.principals import Identity
from skytrail.services.s3 import checksums

from .s3_buckets_house import ACCOUNT
from .s3_objects_house import MIB, Objects, streamed

ONE, TWO, TAIL = b"1" * 5 * MIB, b"2" * (5 * MIB + 3), b"tail"


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[Objects]:
    s3 = Objects(tmp_path)
    yield s3
    s3.close()


def md5(body: bytes) -> bytes:
    return hashlib.md5(body).digest()


def test_parts_become_an_object(s3: Objects) -> None:
    upload = s3.upload(ContentType="text/plain", Metadata={"a": "b"}, Tagging="t=1", StorageClass="STANDARD_IA")
    assert not s3.there()
    tail = s3.part(upload, 9, TAIL)
    parts = [s3.part(upload, 1, ONE), s3.part(upload, 2, streamed(TWO[:MIB], TWO[MIB:])), tail]
    files = s3.files()
    assert len(files) == 3
    s3.clock.set(s3.clock.time() + 60)
    done = s3.complete(upload, parts)
    whole = ONE + TWO + TAIL
    expected = hashlib.md5(md5(ONE) + md5(TWO) + md5(TAIL)).hexdigest()
    assert done == {
        "Bucket": "bucket",
        "Key": "key",
        "Location": "https://localhost:4566/bucket/key",
        "ETag": f'"{expected}-3"',
        "ServerSideEncryption": "AES256",
        "ChecksumCRC64NVME": checksums.of_bytes("CRC64NVME", whole),
        "ChecksumType": "FULL_OBJECT",
    }
    assert s3.files() == files, "the parts' bodies are the object's"
    got = s3("GetObject", Key="key")
    assert got["Body"] == whole
    assert (got["ContentType"], got["Metadata"], got["TagCount"]) == ("text/plain", {"a": "b"}, 1)
    assert got["StorageClass"] == "STANDARD_IA"
    assert got["LastModified"] == datetime(2024, 2, 29, 23, 50, tzinfo=UTC)
    assert s3.code("ListParts", Key="key", UploadId=upload) == "NoSuchUpload"
    assert s3.rows("s3_uploads") == s3.rows("s3_parts") == 0
    s3("DeleteObject", Key="key")
    assert s3.files() == []


def test_ranges_and_parts_of_the_object(s3: Objects) -> None:
    upload = s3.upload(ChecksumAlgorithm="SHA256")
    parts = [
        s3.part(upload, number, body, ChecksumSHA256=checksums.of_bytes("SHA256", body))
        for number, body in ((1, ONE), (2, TWO), (3, TAIL))
    ]
    done = s3.complete(upload, parts)
    whole = ONE + TWO + TAIL
    composite = checksums.of_bytes("SHA256", b"".join(hashlib.sha256(body).digest() for body in (ONE, TWO, TAIL)))
    assert (done["ChecksumSHA256"], done["ChecksumType"]) == (f"{composite}-3", "COMPOSITE")
    for start, end in ((0, 1), (5 * MIB - 2, 5 * MIB + 2), (MIB, 10 * MIB + 5), (len(whole) - 6, len(whole))):
        assert s3.get(Range=f"bytes={start}-{end - 1}") == whole[start:end]
    second = s3("GetObject", Key="key", PartNumber=2, ChecksumMode="ENABLED")
    assert second["Body"] == TWO
    assert second["PartsCount"] == 3
    assert second["ContentRange"] == f"bytes {len(ONE)}-{len(ONE) + len(TWO) - 1}/{len(whole)}"
    assert second["ChecksumSHA256"] == checksums.of_bytes("SHA256", TWO)
    assert s3.code("GetObject", Key="key", PartNumber=4) == "InvalidPartNumber"
    listed = s3("GetObjectAttributes", Key="key", ObjectAttributes=["ObjectParts", "Checksum"], MaxParts=2)
    assert listed["Checksum"] == {"ChecksumSHA256": f"{composite}-3", "ChecksumType": "COMPOSITE"}
    shown = listed["ObjectParts"]
    assert (shown["TotalPartsCount"], shown["IsTruncated"], shown["NextPartNumberMarker"]) == (3, True, 2)
    assert shown["Parts"][1] == {"PartNumber": 2, "Size": len(TWO), "ChecksumSHA256": second["ChecksumSHA256"]}
    rest = s3("GetObjectAttributes", Key="key", ObjectAttributes=["ObjectParts"], PartNumberMarker=2)["ObjectParts"]
    assert [part["PartNumber"] for part in rest["Parts"]] == [3]


def test_a_completion_that_is_asked_for_again_is_answered_again(s3: Objects) -> None:
    upload = s3.upload()
    part = s3.part(upload, 1, TAIL)
    done = s3.complete(upload, [part])
    assert s3.complete(upload, [part]) == done
    s3.put(body=b"newer")
    assert s3.complete(upload, [part]) == done
    assert s3.get() == b"newer"
    assert s3.uncompleted(upload, [{**part, "ETag": "x"}]) == "NoSuchUpload"
    assert s3.code("AbortMultipartUpload", Key="key", UploadId=upload) == "NoSuchUpload"
    s3.clock.set(s3.clock.time() + 2 * 86400)
    other = s3.upload()
    s3.complete(other, [s3.part(other, 1, TAIL)])
    with pytest.raises(Exception, match="NoSuchUpload"):
        s3.complete(upload, [part])


def test_an_abort_leaves_nothing(s3: Objects) -> None:
    upload = s3.upload()
    s3.part(upload, 1, ONE)
    s3("AbortMultipartUpload", Key="key", UploadId=upload)
    assert s3.files() == []
    assert s3.code("UploadPart", Key="key", UploadId=upload, PartNumber=1, Body=b"") == "NoSuchUpload"
    assert s3("ListMultipartUploads")["Uploads"] == []
    assert s3.files() == []


def test_an_upload_that_ends_while_a_part_comes(s3: Objects) -> None:
    upload = s3.upload()

    async def scenario() -> str:
        async def interrupted() -> Any:
            yield b"body"
            await s3.ask("AbortMultipartUpload", {"Key": "key", "UploadId": upload})

        body = streamed(length=4)
        body._pieces = interrupted()
        try:
            await s3.ask("UploadPart", {"Key": "key", "UploadId": upload, "PartNumber": 1, "Body": body})
        except Exception as error:
            return str(getattr(error, "code", error))
        return ""

    assert s3.run(scenario()) == "NoSuchUpload"
    assert s3.files() == []


def test_a_part_takes_the_place_of_one_with_its_number(s3: Objects) -> None:
    upload = s3.upload()
    old = s3.part(upload, 1, b"old")
    new = s3.part(upload, 1, b"new")
    assert len(s3.files()) == 1
    unused = s3.part(upload, 2, b"unused")
    assert unused["PartNumber"] == 2
    error = s3.refused("CompleteMultipartUpload", Key="key", UploadId=upload, MultipartUpload={"Parts": [old]})
    assert (error.code, error.status, error.members["PartNumber"]) == ("InvalidPart", 400, 1)
    s3.complete(upload, [new])
    assert s3.get() == b"new"
    assert len(s3.files()) == 1


def test_what_a_completion_needs(s3: Objects) -> None:
    upload = s3.upload()
    one, two = s3.part(upload, 1, b"small"), s3.part(upload, 2, TAIL)

    def code(parts: Any, **more: Any) -> str:
        return s3.uncompleted(upload, parts, **more)

    assert code([]) == "MalformedXML"
    assert code([{"PartNumber": 1}]) == "MalformedXML"
    assert code([{"PartNumber": n, "ETag": "x"} for n in range(1, 10_002)]) == "MalformedXML"
    assert code([two, one]) == "InvalidPartOrder"
    assert code([one, one]) == "InvalidPartOrder"
    assert code([one, two]) == "EntityTooSmall"
    assert code([{"PartNumber": 3, "ETag": one["ETag"]}]) == "InvalidPart"
    assert code([two], MpuObjectSize=5) == "InvalidRequest"
    assert code([two], ChecksumCRC64NVME=checksums.of_bytes("CRC64NVME", b"x")) == "BadDigest"
    assert code([two], ChecksumType="COMPOSITE") == "InvalidRequest"
    assert code([two], IfNoneMatch=one["ETag"]) == "NotImplemented"
    assert s3.code("CompleteMultipartUpload", Key="key", UploadId=upload) == "MalformedXML"
    assert s3.uncompleted(upload, [two], "other") == "NoSuchUpload"
    s3.put()
    assert code([two], IfNoneMatch="*") == "PreconditionFailed"
    assert code([two], IfMatch='"x"') == "PreconditionFailed"
    assert s3.get() == b"body"
    etag = s3("HeadObject", Key="key")["ETag"]
    right = checksums.of_bytes("CRC64NVME", TAIL)
    s3.complete(upload, [two], IfMatch=etag, MpuObjectSize=4, ChecksumCRC64NVME=right, ChecksumType="FULL_OBJECT")
    assert s3.get() == TAIL


@pytest.mark.parametrize(
    ("number", "code"), [(0, "InvalidArgument"), (10_001, "InvalidArgument"), (-1, "InvalidArgument")]
)
def test_parts_have_numbers(s3: Objects, number: int, code: str) -> None:
    upload = s3.upload()
    assert s3.code("UploadPart", Key="key", UploadId=upload, PartNumber=number, Body=b"x") == code
    s3.complete(upload, [s3.part(upload, 10_000, b"x")])
    assert s3.get() == b"x"


@pytest.mark.parametrize("upload", ["", "x", "../..", "0" * 96, "ü"])
def test_uploads_that_are_not_there(s3: Objects, upload: str) -> None:
    for operation, more in (
        ("UploadPart", {"PartNumber": 1, "Body": b"x"}),
        ("ListParts", {}),
        ("AbortMultipartUpload", {}),
        ("CompleteMultipartUpload", {"MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": "x"}]}}),
    ):
        error = s3.refused(operation, Key="key", UploadId=upload, **more)
        assert (error.code, error.status) == ("NoSuchUpload", 404)
    assert s3.files() == []


# Checksums

TYPES: list[tuple[dict[str, str], str]] = [
    ({}, ""),
    ({"ChecksumAlgorithm": "CRC32"}, "COMPOSITE"),
    ({"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}, "FULL_OBJECT"),
    ({"ChecksumAlgorithm": "CRC64NVME"}, "FULL_OBJECT"),
    ({"ChecksumAlgorithm": "SHA1", "ChecksumType": "COMPOSITE"}, "COMPOSITE"),
]


@pytest.mark.parametrize(("choice", "kind"), TYPES)
def test_types_of_checksums(s3: Objects, choice: dict[str, str], kind: str) -> None:
    made = s3("CreateMultipartUpload", Key="key", **choice)
    assert made.get("ChecksumType", "") == kind
    upload, algorithm = made["UploadId"], choice.get("ChecksumAlgorithm", "CRC64NVME")
    member = checksums.member(algorithm)
    parts = [
        s3.part(upload, number, body, **{member: checksums.of_bytes(algorithm, body)})
        for number, body in ((1, ONE), (2, TAIL))
    ]
    listed = s3("ListParts", Key="key", UploadId=upload)
    assert listed.get("ChecksumAlgorithm") == choice.get("ChecksumAlgorithm")
    assert (member in listed["Parts"][0]) is bool(choice)
    done = s3.complete(upload, parts)
    values = [checksums.of_bytes(algorithm, body) for body in (ONE, TAIL)]
    expected = (
        f"{checksums.of_bytes(algorithm, b''.join(map(base64.b64decode, values)))}-2"
        if kind == "COMPOSITE"
        else checksums.of_bytes(algorithm, ONE + TAIL)
    )
    assert done[member] == expected
    assert s3("HeadObject", Key="key", ChecksumMode="ENABLED")[member] == expected


@pytest.mark.parametrize(
    "choice",
    [
        {"ChecksumType": "COMPOSITE"},
        {"ChecksumAlgorithm": "SHA256", "ChecksumType": "FULL_OBJECT"},
        {"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "COMPOSITE"},
    ],
)
def test_choices_that_there_are_not(s3: Objects, choice: dict[str, str]) -> None:
    assert s3.code("CreateMultipartUpload", Key="key", **choice) == "InvalidRequest"


def test_parts_come_with_the_checksums_that_the_upload_has_chosen(s3: Objects) -> None:
    crc, sha = checksums.of_bytes("CRC32", TAIL), checksums.of_bytes("SHA256", TAIL)
    upload = s3.upload(ChecksumAlgorithm="CRC32")

    def refused(upload: str, **more: Any) -> str:
        error = s3.refused("UploadPart", Key="key", UploadId=upload, PartNumber=1, Body=TAIL, **more)
        assert error.code == "InvalidRequest"
        return error.message or ""

    assert "expected checksum Type: crc32, actual checksum Type: sha256" in refused(upload, ChecksumSHA256=sha)
    assert "expected checksum Type: crc32, actual checksum Type: null" in refused(upload)
    part = s3.part(upload, 1, TAIL, ChecksumCRC32=crc)
    bare = {name: part[name] for name in ("PartNumber", "ETag")}
    error = s3.refused("CompleteMultipartUpload", Key="key", UploadId=upload, MultipartUpload={"Parts": [bare]})
    assert "It was missing for part 1 in the request" in (error.message or "")
    wrong = {**part, "ChecksumCRC32": checksums.of_bytes("CRC32", b"x")}
    assert s3.uncompleted(upload, [wrong]) == "InvalidPart"
    s3.complete(upload, [part], ChecksumCRC32=f"{checksums.of_bytes('CRC32', base64.b64decode(crc))}-1")
    plain = s3.upload()
    assert s3.part(plain, 1, TAIL, ChecksumCRC32=crc)["ChecksumCRC32"] == crc
    assert s3.code("UploadPart", Key="key", UploadId=plain, PartNumber=1, Body=b"x", ChecksumCRC32=crc) == "BadDigest"
    done = s3.complete(plain, [s3.part(plain, 1, TAIL, ChecksumSHA256=sha)])
    assert done["ChecksumCRC64NVME"] == checksums.of_bytes("CRC64NVME", TAIL)
    whole = s3.upload(ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    s3.complete(whole, [{k: v for k, v in s3.part(whole, 1, TAIL).items() if k in ("PartNumber", "ETag")}])
    assert s3("HeadObject", Key="key", ChecksumMode="ENABLED")["ChecksumCRC32"] == crc


# Lists


def test_parts_are_listed_in_pages(s3: Objects) -> None:
    upload = s3.upload()
    for number in (5, 1, 3):
        s3.part(upload, number, bytes(number))
    page = s3("ListParts", Key="key", UploadId=upload, MaxParts=2)
    assert [(part["PartNumber"], part["Size"]) for part in page["Parts"]] == [(1, 1), (3, 3)]
    assert (page["IsTruncated"], page["NextPartNumberMarker"], page["MaxParts"]) == (True, 3, 2)
    rest = s3("ListParts", Key="key", UploadId=upload, PartNumberMarker=3)
    assert [part["PartNumber"] for part in rest["Parts"]] == [5]
    assert (rest["IsTruncated"], rest["MaxParts"]) == (False, 1000)
    assert s3.code("ListParts", Key="key", UploadId=upload, MaxParts=-1) == "InvalidArgument"


def test_uploads_are_listed_in_pages(s3: Objects) -> None:
    uploads: list[tuple[str, str]] = []
    for key in ("b", "a/1", "a/2", "b", "c/x/1", "a.", "ü"):
        s3.clock.set(s3.clock.time() + 1)
        uploads.append((key, s3.upload(key)))
    ordered = sorted(uploads, key=lambda each: (each[0].encode(), each[1]))

    def listed(**more: Any) -> tuple[list[tuple[str, str]], list[str]]:
        found: list[tuple[str, str]] = []
        common: list[str] = []
        marker: dict[str, Any] = {}
        while True:
            page = s3("ListMultipartUploads", **more, **marker)
            found += [(entry["Key"], entry["UploadId"]) for entry in page["Uploads"]]
            common += [entry["Prefix"] for entry in page["CommonPrefixes"]]
            if not page["IsTruncated"]:
                return found, common
            marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    for most in (1, 2, 3, 1000):
        assert listed(MaxUploads=most) == (ordered, [])
        assert listed(MaxUploads=most, Prefix="a") == ([each for each in ordered if each[0][0] == "a"], [])
        outside = [each for each in ordered if "/" not in each[0]]
        assert listed(MaxUploads=most, Delimiter="/") == (outside, ["a/", "c/"])
        assert listed(MaxUploads=most, Delimiter="/", Prefix="c/") == ([], ["c/x/"])
    assert listed(KeyMarker="b")[0] == [each for each in ordered if each[0] > "b"]
    assert listed(MaxUploads=0) == ([], [])
    assert s3("ListMultipartUploads", EncodingType="url", Prefix="ü")["Uploads"][0]["Key"] == "%C3%BC"
    assert s3.code("ListMultipartUploads", EncodingType="x") == "InvalidArgument"
    assert s3.code("ListMultipartUploads", MaxUploads=-1) == "InvalidArgument"


def test_uploads_are_told_apart_by_bucket_and_account(s3: Objects) -> None:
    upload = s3.upload()
    s3("CreateBucket", Bucket="other")
    assert s3.code("ListParts", Bucket="other", Key="key", UploadId=upload) == "NoSuchUpload"
    assert s3("ListMultipartUploads", Bucket="other")["Uploads"] == []
    (entry,) = s3("ListMultipartUploads")["Uploads"]
    assert entry["Owner"] == entry["Initiator"]
    alice = Identity("IAMUser", ACCOUNT, arn=f"arn:aws:iam::{ACCOUNT}:user/alice", user_name="alice")
    s3.run(s3.ask("CreateMultipartUpload", {"Key": "theirs"}, identity=alice))
    theirs = s3("ListMultipartUploads")["Uploads"][1]
    assert theirs["Initiator"] == {"ID": alice.arn}
    assert theirs["Owner"] == entry["Owner"], "the bucket's owner owns what is in it"
