"""What objects are encrypted with: S3's keys, KMS's, the customer's."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from skytrail.call import Source
from skytrail.errors import ServiceError
from skytrail.gateway.internal import InternalClient
from skytrail.services.engines import Engines
from skytrail.services.s3 import encryption
from skytrail.settings import Server, Settings

from .s3_buckets_house import REGION
from .s3_objects_house import MIB, Objects, streamed

BODY = b"0123456789"


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[Objects]:
    s3 = Objects(tmp_path)
    yield s3
    s3.close()


def kms_key(s3: Objects) -> str:
    arn: str = kms(s3, "CreateKey")["KeyMetadata"]["Arn"]
    return arn


def kms(s3: Objects, operation: str, **parameters: Any) -> dict[str, Any]:
    s3("ListObjectsV2")
    internal = s3.engines.internal
    assert isinstance(internal, InternalClient)
    return s3.run(
        InternalClient.forward(internal, s3.last, "kms", operation, parameters, by="s3.amazonaws.com", region=REGION)
    )


class Watched:
    """The internal client, with what was asked of it."""

    def __init__(self, engines: Engines) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._internal = engines.internal
        self._forward = engines.internal.forward

    async def forward(self, call: Any, service: str, operation: str, parameters: Any, **more: Any) -> dict[str, Any]:
        assert (service, more) == ("kms", {"by": "s3.amazonaws.com", "region": REGION})
        self.asked.append((operation, dict(parameters)))
        return await self._forward(call, service, operation, parameters, **more)


@pytest.fixture
def watched(s3: Objects, monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched = Watched(s3.engines)
    monkeypatch.setattr(s3.engines.internal, "forward", watched.forward)
    return watched


# KMS


def test_a_key_of_kms(s3: Objects, watched: Watched) -> None:
    key = kms_key(s3)
    put = s3.put(body=BODY, ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    assert (put["ServerSideEncryption"], put["SSEKMSKeyId"]) == ("aws:kms", key)
    assert "BucketKeyEnabled" not in put
    assert put["ETag"] != f'"{hashlib.md5(BODY).hexdigest()}"'
    assert s3.last.additional_event_data["SSEApplied"] == "SSE_KMS"
    context = {"aws:s3:arn": "arn:aws:s3:::bucket/key"}
    assert watched.asked == [("GenerateDataKey", {"KeyId": key, "KeySpec": "AES_256", "EncryptionContext": context})]
    watched.asked.clear()
    head = s3("HeadObject", Key="key")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"], head["ETag"]) == ("aws:kms", key, put["ETag"])
    assert watched.asked == [], "to look at an object needs no key"
    assert s3.get() == BODY
    ((operation, parameters),) = watched.asked
    assert (operation, parameters["EncryptionContext"], parameters["KeyId"]) == ("Decrypt", context, key)


def test_bucket_keys_and_contexts(s3: Objects, watched: Watched) -> None:
    given = base64.b64encode(json.dumps({"team": "a"}).encode()).decode()
    put = s3.put(body=BODY, ServerSideEncryption="aws:kms", BucketKeyEnabled=True, SSEKMSEncryptionContext=given)
    assert (put["BucketKeyEnabled"], put["SSEKMSEncryptionContext"]) == (True, given)
    assert ":key/" in put["SSEKMSKeyId"]
    context = {"team": "a", "aws:s3:arn": "arn:aws:s3:::bucket"}
    assert watched.asked[0][1] == {"KeyId": "alias/aws/s3", "KeySpec": "AES_256", "EncryptionContext": context}
    assert s3.get() == BODY
    assert s3("HeadObject", Key="key")["BucketKeyEnabled"] is True
    for wrong in ("!", base64.b64encode(b"[]").decode(), base64.b64encode(b'{"a": 1}').decode(),
                  base64.b64encode(b'{"aws:s3:arn": "x"}').decode()):  # fmt: skip
        more = {"ServerSideEncryption": "aws:kms", "SSEKMSEncryptionContext": wrong}
        assert s3.code("PutObject", Key="key", Body=b"", **more) == "InvalidArgument"


def test_the_buckets_own_encryption(s3: Objects, watched: Watched) -> None:
    key = kms_key(s3)
    rule = {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key},
        "BucketKeyEnabled": True,
    }
    s3("PutBucketEncryption", ServerSideEncryptionConfiguration={"Rules": [rule]})
    put = s3.put(body=BODY)
    assert (put["SSEKMSKeyId"], put["BucketKeyEnabled"]) == (key, True)
    assert s3.last.additional_event_data["SSEApplied"] == "Default_SSE_KMS"
    assert s3.put("plain", BODY, ServerSideEncryption="AES256")["ServerSideEncryption"] == "AES256"
    upload = s3("CreateMultipartUpload", Key="parts")
    assert (upload["SSEKMSKeyId"], upload["BucketKeyEnabled"]) == (key, True)
    s3("CopyObject", Key="copy", CopySource="bucket/plain")
    assert s3("HeadObject", Key="copy")["SSEKMSKeyId"] == key
    assert s3.get("copy") == BODY


def test_a_key_that_cannot_be_used(s3: Objects) -> None:
    key = kms_key(s3)
    s3.put(body=BODY, ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    kms(s3, "DisableKey", KeyId=key)
    assert s3.code("GetObject", Key="key") == "KMS.DisabledException"
    error = s3.refused("PutObject", Key="new", Body=BODY, ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    assert (error.code, error.status) == ("KMS.DisabledException", 400)
    missing = key.rpartition("/")[0] + "/00000000-0000-4000-8000-000000000000"
    more = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": missing}
    assert s3.code("PutObject", Key="new", Body=BODY, **more) == "KMS.NotFoundException"
    assert len(s3.files()) == 1
    kms(s3, "EnableKey", KeyId=key)
    assert s3.get() == BODY


def test_parts_under_a_key_of_kms(s3: Objects, watched: Watched) -> None:
    upload = s3.upload(ServerSideEncryption="aws:kms")
    body = bytes(range(256)) * (5 * MIB // 256)
    parts = [s3.part(upload, 1, streamed(body)), s3.part(upload, 2, BODY)]
    done = s3.complete(upload, parts)
    assert [operation for operation, _ in watched.asked] == ["GenerateDataKey", "Decrypt", "Decrypt"]
    assert done["ServerSideEncryption"] == "aws:kms"
    assert done["ETag"].endswith('-2"')
    assert s3.get() == body + BODY
    assert s3.get(Range=f"bytes={5 * MIB - 1}-{5 * MIB}") == body[-1:] + BODY[:1]


# The customer's key


def customer(key: bytes = bytes(32), of: str = "") -> dict[str, str]:
    return {
        f"{of}SSECustomerAlgorithm": "AES256",
        f"{of}SSECustomerKey": base64.b64encode(key).decode(),
        f"{of}SSECustomerKeyMD5": base64.b64encode(hashlib.md5(key).digest()).decode(),
    }


def test_the_customers_key_is_needed_each_time(s3: Objects) -> None:
    key, other = customer(), customer(bytes([1]) * 32)
    put = s3.put(body=BODY, **key)
    shown = {name: key[name] for name in ("SSECustomerAlgorithm", "SSECustomerKeyMD5")}
    assert shown.items() <= put.items()
    assert "ServerSideEncryption" not in put
    assert put["ETag"] != f'"{hashlib.md5(BODY).hexdigest()}"'
    got = s3("GetObject", Key="key", **key)
    assert (got["Body"], shown.items() <= got.items()) == (BODY, True)
    for operation in ("GetObject", "HeadObject"):
        assert s3.code(operation, Key="key") == "InvalidRequest"
        error = s3.refused(operation, Key="key", **other)
        assert (error.code, error.status) == ("AccessDenied", 403)
    s3.put("plain", BODY)
    assert s3.code("GetObject", Key="plain", **key) == "InvalidRequest"
    assert s3.code("GetObjectAttributes", Key="key", ObjectAttributes=["ETag"]) == "InvalidRequest"
    # The key itself is nowhere.
    s3.store._writing.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw = bytes(range(100, 132))
    s3.put("look", BODY, **customer(raw))
    s3.store._writing.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = (s3.data / "skytrail.db").read_bytes()
    assert raw not in content
    assert base64.b64encode(raw) not in content


def test_copies_between_keys(s3: Objects) -> None:
    first, second = customer(), customer(bytes([1]) * 32)
    s3.put("from", BODY, **first)
    assert s3.code("CopyObject", Key="to", CopySource="bucket/from") == "InvalidRequest"
    s3("CopyObject", Key="to", CopySource="bucket/from", **customer(of="CopySource"), **second)
    assert s3.get("to", **second) == BODY
    s3("CopyObject", Key="plain", CopySource="bucket/from", **customer(of="CopySource"))
    assert s3.get("plain") == BODY
    s3("CopyObject", Key="kms", CopySource="bucket/plain", ServerSideEncryption="aws:kms")
    assert s3.get("kms") == BODY
    s3("CopyObject", Key="kms", CopySource="bucket/kms", ServerSideEncryption="AES256")
    assert s3("HeadObject", Key="kms")["ETag"] == f'"{hashlib.md5(BODY).hexdigest()}"'


def test_parts_under_the_customers_key(s3: Objects) -> None:
    key = customer()
    upload = s3.upload(**key)
    sent = {"Key": "key", "UploadId": upload, "PartNumber": 1}
    assert s3.code("UploadPart", Body=BODY, **sent) == "InvalidRequest"
    assert s3.code("UploadPart", Body=BODY, **sent, **customer(bytes([1]) * 32)) == "AccessDenied"
    part = s3.part(upload, 1, BODY, **key)
    named = {"MultipartUpload": {"Parts": [part]}}
    other = customer(bytes([1]) * 32)
    assert s3.code("CompleteMultipartUpload", Key="key", UploadId=upload, **named, **other) == "AccessDenied"
    s3.complete(upload, [part])
    assert s3.get(**key) == BODY
    chosen = s3.upload(ChecksumAlgorithm="CRC64NVME", **key)
    named = {"MultipartUpload": {"Parts": [s3.part(chosen, 1, BODY, **key)]}}
    assert s3.code("CompleteMultipartUpload", Key="key", UploadId=chosen, **named) == "InvalidRequest"
    s3("CompleteMultipartUpload", Key="key", UploadId=chosen, **named, **key)
    s3.put("plain", BODY)
    plain = s3.upload()
    assert s3.code("UploadPart", Key="key", UploadId=plain, PartNumber=1, Body=BODY, **key) == "InvalidRequest"


WRONG: list[tuple[dict[str, str], str]] = [
    ({"SSECustomerAlgorithm": "AES128"}, "InvalidEncryptionAlgorithmError"),
    ({"SSECustomerKey": ""}, "InvalidArgument"),
    ({"SSECustomerKey": "!"}, "InvalidArgument"),
    ({"SSECustomerKey": base64.b64encode(bytes(16)).decode()}, "InvalidArgument"),
    ({"SSECustomerKeyMD5": "x"}, "InvalidArgument"),
    ({"ServerSideEncryption": "AES256"}, "InvalidArgument"),
]


@pytest.mark.parametrize(("change", "code"), WRONG)
def test_customers_keys_that_are_none(s3: Objects, change: dict[str, str], code: str) -> None:
    assert s3.code("PutObject", Key="key", Body=BODY, **{**customer(), **change}) == code
    for left_out in customer():
        given = {name: value for name, value in customer().items() if name != left_out}
        assert s3.code("PutObject", Key="key", Body=BODY, **given) == "InvalidArgument"
    assert s3.files() == []


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"ServerSideEncryption": "aws:kms:dsse"}, "NotImplemented"),
        ({"ServerSideEncryption": "aws:fsx"}, "InvalidArgument"),
        ({"ServerSideEncryption": "AES256", "SSEKMSKeyId": "x"}, "InvalidArgument"),
        ({"SSEKMSKeyId": "x"}, "InvalidArgument"),
    ],
)
def test_encryption_that_there_is_not(s3: Objects, parameters: dict[str, str], code: str) -> None:
    assert s3.code("PutObject", Key="key", Body=BODY, **parameters) == code
    assert s3.code("CreateMultipartUpload", Key="key", **parameters) == code


def test_the_customers_key_travels_over_tls_where_permissions_are_enforced(s3: Objects) -> None:
    s3.put()
    call, settings = s3.last, Settings(server=Server(mode="enforced"))
    enforced = replace(s3.engines, settings=settings)
    assert encryption.customer_key(call, customer(), enforced) == bytes(32)
    call.source = Source("192.0.2.17")
    assert encryption.customer_key(call, customer(), s3.engines) == bytes(32)
    with pytest.raises(ServiceError, match="secure connection"):
        encryption.customer_key(call, customer(), enforced)
