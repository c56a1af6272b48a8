"""Transfers of S3 as clients make them: the AWS CLI, boto3's transfer manager, obstore, the AWS SDK for JavaScript,
presigned URLs, and clients that break off."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import obstore
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from obstore.store import S3Store

from skytrail.testing import Server

from .callers import BIN, Credentials, environment, javascript

ACCOUNT, REGION, MIB = "123456789012", "eu-central-1", 1 << 20
#: No two pieces of it are the same, so that none can take another's place.
LARGE = b"".join(hashlib.sha256(str(n).encode()).digest() for n in range(20 * MIB // 32))
NAMES = ["a.txt", "b/c.txt", "b/ü ~+%.txt", "b/d/e", "..x/y", "-z", "empty"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture(scope="module")
def enforced() -> Iterator[tuple[Server, Credentials]]:
    with Server(arguments=["--mode", "enforced"]) as server:
        done = subprocess.run(
            [sys.executable, "-m", "skytrail", "keys", "create", "--data", str(server.data), "--account", ACCOUNT,
             "--output", "json"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        key = json.loads(done.stdout)["AccessKey"]
        yield server, Credentials(key["AccessKeyId"], key["SecretAccessKey"])


def client(server: Server, credentials: Credentials | None = None, style: str = "path", **more: Any) -> Any:
    credentials = credentials or Credentials(ACCOUNT)
    endpoint = server.endpoint if style == "path" else server.endpoint.replace("127.0.0.1", "s3.localhost")
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        config=Config(
            **{
                "retries": {"total_max_attempts": 1},
                "read_timeout": 30,
                "proxies": {},
                "s3": {"addressing_style": style},
                **more,
            }
        ),
    )


def bucket(server: Server, name: str, credentials: Credentials | None = None) -> str:
    client(server, credentials).create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return name


def keys(s3: Any, name: str) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=name).get("Contents", [])]


def bodies(server: Server) -> list[Path]:
    return [path for path in (Path(server.data) / "objects").rglob("*") if path.is_file()]


def until(holds: Callable[[], bool]) -> None:
    for _ in range(500):
        if holds():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it never came to be so")


# The AWS CLI


def aws(server: Server, *arguments: str, credentials: Credentials | None = None) -> str:
    done = subprocess.run(
        [BIN / "aws", "s3", "--cli-read-timeout", "15", *arguments],
        env=environment(server.endpoint, credentials or Credentials(ACCOUNT), REGION),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_cli_copies_and_syncs(server: Server, tmp_path: Path) -> None:
    name, source, target = "cli-sync", tmp_path / "source", tmp_path / "target"
    aws(server, "mb", f"s3://{name}")
    for each in NAMES:
        file = source / each
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"" if each == "empty" else each.encode())
    (source / "large").write_bytes(LARGE)
    for file in source.rglob("*"):
        os.utime(file, (1_700_000_000, 1_700_000_000))  # S3's times have whole seconds: none may seem newer
    assert aws(server, "sync", str(source), f"s3://{name}/in").count("upload:") == len(NAMES) + 1
    assert aws(server, "sync", str(source), f"s3://{name}/in") == "", "nothing has changed"
    s3 = client(server)
    assert keys(s3, name) == sorted((f"in/{each}" for each in [*NAMES, "large"]), key=str.encode)
    assert s3.head_object(Bucket=name, Key="in/large")["ETag"].endswith('-3"')
    aws(server, "sync", f"s3://{name}/in", str(target))
    assert {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()} == {
        str(path.relative_to(source)): path.read_bytes() for path in source.rglob("*") if path.is_file()
    }
    aws(server, "cp", f"s3://{name}/in/large", f"s3://{name}/copied")
    (source / "b" / "c.txt").unlink()
    assert "delete:" in aws(server, "sync", "--delete", str(source), f"s3://{name}/in")
    assert "in/b/c.txt" not in keys(s3, name)
    aws(server, "cp", f"s3://{name}/copied", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == LARGE
    aws(server, "rb", "--force", f"s3://{name}")
    with pytest.raises(ClientError, match="404"):
        s3.head_bucket(Bucket=name)


# boto3's transfer manager


def test_boto3s_transfer_manager(server: Server) -> None:
    s3, name = client(server), bucket(server, "boto3-transfer")
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)
    s3.upload_fileobj(io.BytesIO(LARGE), name, "large", Config=config, ExtraArgs={"Metadata": {"a": "b"}})
    head = s3.head_object(Bucket=name, Key="large", ChecksumMode="ENABLED")
    assert (head["ContentLength"], head["Metadata"], head["ChecksumType"]) == (len(LARGE), {"a": "b"}, "COMPOSITE")
    into = io.BytesIO()
    s3.download_fileobj(name, "large", into, Config=config)
    assert into.getvalue() == LARGE
    s3.copy({"Bucket": name, "Key": "large"}, name, "copied", Config=config)
    got = s3.get_object(Bucket=name, Key="copied")["Body"].read()
    assert got == LARGE
    part = s3.get_object(Bucket=name, Key="large", PartNumber=2, ChecksumMode="ENABLED")
    assert part["Body"].read() == LARGE[5 * MIB : 10 * MIB]
    assert s3.list_multipart_uploads(Bucket=name).get("Uploads", []) == []


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
@pytest.mark.parametrize("size", [10, 2 * MIB])
def test_checksums_over_the_wire(server: Server, algorithm: str, size: int) -> None:
    """boto3 checks what it gets, too."""
    s3, name = client(server), f"checksums-{algorithm.lower()}-{size}"
    bucket(server, name)
    put = s3.put_object(Bucket=name, Key="k", Body=io.BytesIO(LARGE[:size]), ChecksumAlgorithm=algorithm)
    got = s3.get_object(Bucket=name, Key="k", ChecksumMode="ENABLED")
    assert got[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]
    assert got["Body"].read() == LARGE[:size]


# obstore


def test_obstore(server: Server) -> None:
    name = bucket(server, "obstore")
    store = S3Store(
        name,
        endpoint=server.endpoint,
        region=REGION,
        access_key_id=ACCOUNT,
        secret_access_key="any",
        client_options={"allow_http": True},
    )
    for key, body in (("small", b"0123456789"), ("large", LARGE), ("a/b c+ü", b"x")):
        obstore.put(store, key, body)
    assert bytes(obstore.get(store, "small").bytes()) == b"0123456789"
    assert bytes(obstore.get(store, "large").bytes()) == LARGE
    assert (
        bytes(obstore.get_range(store, "large", start=5 * MIB - 3, end=5 * MIB + 3)) == LARGE[5 * MIB - 3 : 5 * MIB + 3]
    )
    assert [bytes(each) for each in obstore.get_ranges(store, "small", starts=[0, 8], ends=[2, 10])] == [b"01", b"89"]
    assert sorted(each["path"] for page in obstore.list(store) for each in page) == ["a/b c+ü", "large", "small"]
    assert list(obstore.list_with_delimiter(store)["common_prefixes"]) == ["a"]
    assert obstore.head(store, "large")["size"] == len(LARGE)
    with pytest.raises(obstore.exceptions.AlreadyExistsError):
        obstore.put(store, "small", b"other", mode="create")
    obstore.copy(store, "large", "copy")
    obstore.rename(store, "copy", "moved")
    assert obstore.head(store, "moved")["size"] == len(LARGE)
    obstore.delete(store, ["large", "moved"])
    with pytest.raises(FileNotFoundError):
        obstore.get(store, "large")


# JavaScript


def test_javascript(server: Server) -> None:
    name = bucket(server, "javascript")
    body = {"base64": base64.b64encode(LARGE[: 6 * MIB]).decode()}
    key: dict[str, Any] = {"Bucket": name, "Key": "ü/x"}
    credentials = Credentials(ACCOUNT)
    begin: list[dict[str, Any]] = [
        {"operation": "PutObject", "input": {**key, "Body": body, "Metadata": {"a": "b"}}},
        {"operation": "GetObject", "input": {**key, "Range": "bytes=5-9"}},
        {"operation": "GetObject", "input": {**key, "ChecksumMode": "ENABLED"}},
        {"operation": "HeadObject", "input": {**key, "Key": "none"}},
        {"operation": "ListObjectsV2", "input": {"Bucket": name}},
        {"operation": "CreateMultipartUpload", "input": key},
    ]
    options = {"service": "s3", "options": {"forcePathStyle": True}}
    made = javascript(server.endpoint, credentials, [{**options, **call} for call in begin], REGION)
    assert [result["error"] for result in made] == [None, None, None, "NotFound", None, None]
    assert base64.b64decode(made[1]["output"]["Body"]["base64"]) == LARGE[5:10]
    assert made[2]["output"]["Body"] == body
    assert made[2]["output"]["Metadata"] == {"a": "b"}
    assert [entry["Key"] for entry in made[4]["output"]["Contents"]] == ["ü/x"]
    upload = {**key, "UploadId": made[5]["output"]["UploadId"]}
    (part,) = javascript(
        server.endpoint,
        credentials,
        [{**options, "operation": "UploadPart", "input": {**upload, "PartNumber": 1, "Body": body}}],
        REGION,
    )
    assert part["error"] is None, part
    named = {"PartNumber": 1, **{k: v for k, v in part["output"].items() if k == "ETag" or k.startswith("Checksum")}}
    end: list[dict[str, Any]] = [
        {"operation": "CompleteMultipartUpload", "input": {**upload, "MultipartUpload": {"Parts": [named]}}},
        {"operation": "GetObject", "input": key},
        {"operation": "CopyObject", "input": {**key, "Key": "copy", "CopySource": f"{name}/%C3%BC/x"}},
        {"operation": "DeleteObjects", "input": {"Bucket": name, "Delete": {"Objects": [{"Key": "copy"}]}}},
        {"operation": "DeleteObject", "input": key},
        {"operation": "ListObjectsV2", "input": {"Bucket": name}},
    ]
    done = javascript(server.endpoint, credentials, [{**options, **call} for call in end], REGION)
    assert [result["error"] for result in done] == [None] * 6
    assert done[1]["output"]["Body"] == body
    assert done[5]["output"]["KeyCount"] == 0


# Presigned URLs


def fetch(
    url: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=30)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body, {"host": parts.netloc, **(headers or {})})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize("style", ["path", "virtual"])
def test_presigned_urls(enforced: tuple[Server, Credentials], style: str) -> None:
    server, credentials = enforced
    name = bucket(server, f"presigned-{style}", credentials)
    s3 = client(server, credentials, style, signature_version="s3v4")
    parameters = {"Bucket": name, "Key": "a b/ü"}
    put = s3.generate_presigned_url("put_object", parameters, ExpiresIn=60)
    assert fetch(put, "PUT", LARGE[: 3 * MIB])[0] == 200
    assert fetch(put.replace("a%20b", "other"), "PUT", b"x")[0] == 403
    asked = {**parameters, "ResponseContentType": "text/html"}
    status, headers, got = fetch(s3.generate_presigned_url("get_object", asked, ExpiresIn=60))
    assert (status, headers["content-type"], got) == (200, "text/html", LARGE[: 3 * MIB])
    assert fetch(s3.generate_presigned_url("get_object", parameters), headers={"range": "bytes=0-4"})[2] == LARGE[:5]
    assert fetch(s3.generate_presigned_url("head_object", parameters), "HEAD")[0] == 200
    assert fetch(f"{server.endpoint}/{name}/a%20b/%C3%BC")[0] == 403
    limited = s3.generate_presigned_post(name, "posted")
    assert limited["fields"]["key"] == "posted"


def test_signed_bodies_of_all_kinds(enforced: tuple[Server, Credentials], tmp_path: Path) -> None:
    server, credentials = enforced
    name = bucket(server, "signed-bodies", credentials)
    kinds: list[dict[str, Any]] = [
        {"request_checksum_calculation": "when_required"},
        {"request_checksum_calculation": "when_supported"},
        {"s3": {"payload_signing_enabled": True, "addressing_style": "path"}},
    ]
    for number, options in enumerate(kinds):
        s3 = client(server, credentials, **options)
        for size in (0, 100, 3 * MIB):
            s3.put_object(Bucket=name, Key=f"{number}", Body=io.BytesIO(LARGE[:size]))
            assert s3.get_object(Bucket=name, Key=f"{number}")["Body"].read() == LARGE[:size]
    file = tmp_path / "large"
    file.write_bytes(LARGE)
    aws(server, "cp", str(file), f"s3://{name}/cli", credentials=credentials)
    aws(server, "cp", f"s3://{name}/cli", str(tmp_path / "back"), credentials=credentials)
    assert (tmp_path / "back").read_bytes() == LARGE


# Bare HTTP


def scope(key: str) -> str:
    return f"AWS4-HMAC-SHA256 Credential={key}/20260101/{REGION}/s3/aws4_request, SignedHeaders=host, Signature=0"


def test_statuses_and_headers(server: Server) -> None:
    s3, name = client(server), bucket(server, "statuses")
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=name, Key="k", Body=b"0123456789")
    url, signed = f"{server.endpoint}/{name}/k", {"authorization": scope(ACCOUNT)}
    status, headers, got = fetch(url, headers=signed)
    assert (status, got, headers["content-length"], headers["accept-ranges"]) == (200, b"0123456789", "10", "bytes")
    etag = headers["etag"]
    status, headers, got = fetch(url, headers={**signed, "range": "bytes=2-4"})
    assert (status, got, headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    status, headers, got = fetch(url, headers={**signed, "if-none-match": etag})
    assert (status, got, headers["etag"]) == (304, b"", etag)
    status, headers, got = fetch(url, "HEAD", headers={**signed, "if-match": '"x"'})
    assert (status, got) == (412, b"")
    status, headers, got = fetch(url, headers={**signed, "range": "bytes=10-"})
    assert (status, b"<Code>InvalidRange</Code>" in got) == (416, True)
    assert b"<ActualObjectSize>10</ActualObjectSize>" in got
    marker = s3.delete_object(Bucket=name, Key="k")["VersionId"]
    status, headers, got = fetch(url, headers=signed)
    assert (status, headers["x-amz-delete-marker"], headers["x-amz-version-id"]) == (404, "true", marker)
    status, headers, got = fetch(f"{url}?versionId={marker}", "HEAD", headers=signed)
    assert (status, headers["x-amz-delete-marker"], headers["allow"]) == (405, "true", "DELETE")


@pytest.mark.parametrize("path", ["..", "%2e%2e/%2e%2e/etc/passwd", "/x", "a//b/", "%00", "x" * 1025])
def test_paths_are_keys_and_never_files(server: Server, path: str) -> None:
    name = f"paths-{hashlib.md5(path.encode()).hexdigest()}"
    bucket(server, name)
    url, signed = f"{server.endpoint}/{name}/{path}", {"authorization": scope(ACCOUNT)}
    status, _, answered = fetch(url, "PUT", b"body", signed)
    if "%00" in path or len(path) > 1024:
        assert status == 400, answered
    else:
        assert status == 200, answered
        assert fetch(url, headers=signed)[2] == b"body"
    root = Path(server.data).parent
    assert not (root / "etc").exists()
    assert {file.parent.parent.parent.name for file in bodies(server)} <= {"s3"}


def test_a_client_that_breaks_off_leaves_nothing(server: Server) -> None:
    s3, name = client(server), bucket(server, "broken-off")
    before = set(bodies(server))
    upload = s3.create_multipart_upload(Bucket=name, Key="k")["UploadId"]
    parts = urlsplit(server.endpoint)
    for query in ("", f"?partNumber=1&uploadId={upload}"):
        with socket.create_connection((str(parts.hostname), int(parts.port or 0))) as connection:
            head = (
                f"PUT /{name}/k{query} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: {scope(ACCOUNT)}\r\n"
                f"x-amz-content-sha256: UNSIGNED-PAYLOAD\r\ncontent-length: {10 * MIB}\r\n\r\n"
            )
            connection.sendall(head.encode() + LARGE[: 4 * MIB])
    until(lambda: set(bodies(server)) == before)
    assert keys(s3, name) == []
    assert s3.list_parts(Bucket=name, Key="k", UploadId=upload).get("Parts", []) == []


def test_what_was_answered_survives_the_server(tmp_path: Path) -> None:
    """kill -9 while objects are put, overwritten and deleted: what was answered is so, and no body is left over."""
    server = Server(data=tmp_path / "data").start()
    known: dict[str, bytes | None] = {}
    answered: list[str] = []
    try:
        name = bucket(server, "torture")
        for round_ in range(2):
            threads = [
                threading.Thread(target=_load, args=(server, name, n, round_, known, answered)) for n in range(3)
            ]
            for thread in threads:
                thread.start()
            until(lambda round_=round_: len(answered) >= 60 * (round_ + 1))  # type: ignore[misc]
            server.kill()
            for thread in threads:
                thread.join()
            server.start()
        s3 = client(server)
        listed = keys(s3, name)
        wrong = {
            key: body
            for key, body in known.items()
            if (s3.get_object(Bucket=name, Key=key)["Body"].read() if key in listed else None) != body
        }
        until(lambda: len(bodies(server)) == len(listed))
    finally:
        server.kill()
    assert len(known) > 10
    assert wrong == {}


def _load(
    server: Server, name: str, thread: int, round_: int, known: dict[str, bytes | None], answered: list[str]
) -> None:
    s3 = client(server)
    for number in range(10_000):
        key = f"{thread}/{number % 7}"
        body = f"{round_}/{thread}/{number}".encode() * (1 if number % 3 else 20_000)
        try:
            known.pop(key, None)
            if number % 5 == 4:
                s3.delete_object(Bucket=name, Key=key)
                known[key] = None
            else:
                s3.put_object(Bucket=name, Key=key, Body=body)
                known[key] = body
            answered.append(key)
        except (ClientError, BotoCoreError, urllib.error.URLError):
            return
