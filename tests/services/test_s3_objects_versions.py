"""Versions of objects, and their deletion, one by one and many at a time."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skytrail.errors import ServiceError

from .s3_objects_house import Objects, streamed


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[Objects]:
    s3 = Objects(tmp_path)
    yield s3
    s3.close()


def versions(s3: Objects) -> list[tuple[str, str, bool]]:
    listed = s3("ListObjectVersions")
    kinds = (("object", listed.get("Versions", [])), ("marker", listed.get("DeleteMarkers", [])))
    return [(kind, entry["VersionId"], entry["IsLatest"]) for kind, entries in kinds for entry in entries]


def test_without_versions_a_put_takes_the_place_of_what_was_there(s3: Objects) -> None:
    assert "VersionId" not in s3.put(body=b"1")
    assert "VersionId" not in s3.put(body=b"2")
    assert versions(s3) == [("object", "null", True)]
    assert len(s3.files()) == 1
    assert s3.get(VersionId="null") == b"2"
    assert s3("DeleteObject", Key="key") == {}
    assert s3("DeleteObject", Key="key") == {}
    assert versions(s3) == []
    assert s3.files() == []
    s3.put()
    assert s3("DeleteObject", Key="key", VersionId="null") == {"VersionId": "null"}
    assert not s3.there()


def test_with_versions_everything_stays(s3: Objects) -> None:
    s3.put(body=b"0")
    s3.versioning("Enabled")
    first, second = (s3.put(body=body)["VersionId"] for body in (b"1", b"2"))
    assert first != second
    assert len(first) == 32
    assert versions(s3) == [("object", second, True), ("object", first, False), ("object", "null", False)]
    assert [s3.get(VersionId=each) for each in (second, first, "null")] == [b"2", b"1", b"0"]
    assert s3("HeadObject", Key="key")["VersionId"] == second

    deleted = s3("DeleteObject", Key="key")
    marker = deleted.pop("VersionId")
    assert deleted == {"DeleteMarker": True}
    assert s3.keys() == []
    assert versions(s3)[-1] == ("marker", marker, True)
    error = s3.refused("GetObject", Key="key")
    assert isinstance(error, ServiceError)
    assert (error.code, error.headers) == (
        "NoSuchKey",
        {"x-amz-delete-marker": "true", "x-amz-version-id": marker},
    )
    error = s3.refused("HeadObject", Key="key", VersionId=marker)
    assert isinstance(error, ServiceError)
    assert (error.code, error.status) == ("MethodNotAllowed", 405)
    assert error.headers["x-amz-delete-marker"] == "true"
    assert error.headers["Allow"] == "DELETE"
    assert s3.get(VersionId=second) == b"2"

    # Without its marker the key is seen again; without its newest version, the one before.
    assert s3("DeleteObject", Key="key", VersionId=marker) == {"VersionId": marker, "DeleteMarker": True}
    assert s3.get() == b"2"
    assert s3("DeleteObject", Key="key", VersionId=second) == {"VersionId": second}
    assert s3.get() == b"1"
    s3("DeleteObject", Key="key", VersionId="null")
    assert versions(s3) == [("object", first, True)]
    assert len(s3.files()) == 1


def test_suspended_versions(s3: Objects) -> None:
    s3.versioning("Enabled")
    kept = s3.put(body=b"kept")["VersionId"]
    s3.versioning("Suspended")
    assert s3.put(body=b"1")["VersionId"] == "null"
    assert s3.put(body=b"2")["VersionId"] == "null"
    assert versions(s3) == [("object", "null", True), ("object", kept, False)]
    assert s3("DeleteObject", Key="key") == {"DeleteMarker": True, "VersionId": "null"}
    assert versions(s3) == [("object", kept, False), ("marker", "null", True)]
    assert s3("DeleteObject", Key="key")["VersionId"] == "null"
    s3.put(body=b"3")
    assert versions(s3) == [("object", "null", True), ("object", kept, False)]
    s3.versioning("Enabled")
    newest = s3.put(body=b"4")["VersionId"]
    assert [each[1] for each in versions(s3)] == [newest, "null", kept]
    s3.versioning("Suspended")
    s3.put(body=b"5")
    assert [each[1] for each in versions(s3)] == ["null", newest, kept]
    assert s3.get() == b"5"
    assert len(s3.files()) == 3


def test_versions_that_are_not_there(s3: Objects) -> None:
    s3.versioning("Enabled")
    version = s3.put()["VersionId"]
    other = "A" * 32
    assert s3.code("GetObject", Key="key", VersionId=other) == "NoSuchVersion"
    assert s3.code("GetObject", Key="other", VersionId=version) == "NoSuchVersion"
    assert s3("DeleteObject", Key="key", VersionId=other) == {"VersionId": other}
    for wrong in ("x", "..", "", "null2", "A" * 33):
        for operation in ("GetObject", "DeleteObject", "GetObjectTagging"):
            assert s3.code(operation, Key="key", VersionId=wrong) == "InvalidArgument"
    assert s3.there()


def test_tags_belong_to_a_version(s3: Objects) -> None:
    s3.versioning("Enabled")
    first, second = s3.put(Tagging="n=1")["VersionId"], s3.put(Tagging="n=2")["VersionId"]
    tagged = s3("PutObjectTagging", Key="key", VersionId=first, Tagging={"TagSet": [{"Key": "n", "Value": "3"}]})
    assert tagged == {"VersionId": first}
    assert s3("GetObjectTagging", Key="key")["TagSet"][0]["Value"] == "2"
    assert s3("GetObjectTagging", Key="key", VersionId=first)["TagSet"][0]["Value"] == "3"
    assert s3("DeleteObjectTagging", Key="key") == {"VersionId": second}
    assert s3("GetObjectTagging", Key="key", VersionId=first)["TagSet"] != []


# Many at a time


def delete(s3: Objects, *entries: dict[str, Any], **more: Any) -> dict[str, Any]:
    return s3("DeleteObjects", Delete={"Objects": list(entries), **more})


def test_many_are_deleted_each_with_its_own_outcome(s3: Objects) -> None:
    for key in ("a", "b", "c"):
        s3.put(key)
    answer = delete(
        s3,
        {"Key": "a"},
        {"Key": "none"},
        {"Key": "b", "ETag": '"other"'},
        {"Key": "c", "VersionId": "wrong"},
        {"Key": "x" * 1025},
        {"Key": "c", "Size": 4},
    )
    assert answer["Deleted"] == [{"Key": "a"}, {"Key": "none"}]
    assert [(error["Key"][:1], error["Code"]) for error in answer["Errors"]] == [
        ("b", "PreconditionFailed"),
        ("c", "InvalidArgument"),
        ("x", "KeyTooLongError"),
        ("c", "NotImplemented"),
    ]
    assert s3.keys() == ["b", "c"]
    assert delete(s3, {"Key": "b"}, {"Key": "none"}, Quiet=True) == {"Deleted": [], "Errors": []}
    assert len(s3.files()) == 1


def test_many_are_deleted_with_versions(s3: Objects) -> None:
    s3.versioning("Enabled")
    first, second = (s3.put()["VersionId"] for _ in range(2))
    (made,) = delete(s3, {"Key": "key"})["Deleted"]
    marker = made.pop("DeleteMarkerVersionId")
    assert made == {"Key": "key", "DeleteMarker": True}
    assert delete(s3, {"Key": "key", "VersionId": marker}, {"Key": "key", "VersionId": first})["Deleted"] == [
        {"Key": "key", "VersionId": marker, "DeleteMarker": True, "DeleteMarkerVersionId": marker},
        {"Key": "key", "VersionId": first},
    ]
    assert versions(s3) == [("object", second, True)]


@pytest.mark.parametrize("count", [0, 1001])
def test_a_delete_names_1_to_1000_keys(s3: Objects, count: int) -> None:
    assert s3.code("DeleteObjects", Delete={"Objects": [{"Key": str(n)} for n in range(count)]}) == "MalformedXML"


def test_a_thousand_are_deleted(s3: Objects) -> None:
    s3.put("7")
    assert len(delete(s3, *({"Key": str(n)} for n in range(1000)))["Deleted"]) == 1000
    assert s3.keys() == []


def test_a_document_comes_with_its_digest(s3: Objects) -> None:
    s3.put()
    body = b"<Delete><Object><Key>key</Key></Object></Delete>"
    url = "http://s3.localhost:4566/bucket?delete="
    scope = "Credential=123456789012/20240229/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    signed = {"authorization": f"AWS4-HMAC-SHA256 {scope}"}
    right = base64.b64encode(hashlib.md5(body).digest()).decode()
    wrong = base64.b64encode(bytes(16)).decode()
    for digest, status, code in (
        ({}, 400, b"InvalidRequest"),
        ({"content-md5": wrong}, 400, b"BadDigest"),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, 400, b"BadDigest"),
        ({"content-md5": right}, 200, b"<Deleted>"),
    ):
        answered, _, content = s3.raw("POST", url, {**signed, **digest}, body)
        assert (answered, code in content) == (status, True), content
    assert not s3.there()


def test_nothing_is_done_in_a_bucket_that_was_made_anew_meanwhile(s3: Objects) -> None:
    async def scenario() -> str:
        async def interrupted() -> Any:
            yield b"body"
            await s3.ask("DeleteBucket", {})
            await s3.ask("CreateBucket", {})

        body = streamed(length=4)
        body._pieces = interrupted()
        try:
            await s3.ask("PutObject", {"Key": "key", "Body": body})
        except ServiceError as error:
            return error.code
        return ""

    assert s3.run(scenario()) == "NoSuchBucket"
    assert s3.keys() == []
    assert s3.files() == []
