"""The AWS CLI itself, a process over our S3, agrees with the check of what `aws s3 sync` brings down from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from skytrail.testing import Server

from .conftest import Check
from .delivered import START, Chain, key_list, pack, zulu

BUCKET = "synced-logs"


class _ListPublicKeys(BaseHTTPRequestHandler):
    """The one call that the CLI makes to CloudTrail when it is told the bucket."""

    def do_POST(self) -> None:
        keys = [
            {"Value": key["Value"], "Fingerprint": key["Fingerprint"], "ValidityStartTime": 0, "ValidityEndTime": 2e9}
            for key in key_list("us-east-1")["PublicKeyList"]
        ]
        body = json.dumps({"PublicKeyList": keys}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture(scope="module")
def cloudtrail() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _ListPublicKeys) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def s3(server: Server) -> str:
    return server.endpoint


def aws(s3: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": s3,
        "AWS_CONFIG_FILE": os.devnull,
    }
    command = [sys.executable, "-m", "awscli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_both_say_the_same(s3: str, cloudtrail: str, tmp_path: Path, check: Check) -> None:
    chain = Chain(tmp_path / "delivered", "111122223333", "us-east-1", bucket=BUCKET)
    chain.deliver(4)
    client = boto3.client(
        "s3", endpoint_url=s3, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    client.create_bucket(Bucket=BUCKET)
    for path in chain.root.rglob("*.json.gz"):
        key = path.relative_to(chain.root).as_posix()
        signature = chain.signatures.get(key)
        metadata = {"signature": signature, "signature-algorithm": "SHA256withRSA"} if signature else {}
        client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes(), Metadata=metadata)

    def validated() -> subprocess.CompletedProcess[str]:
        since, until = zulu(START), zulu(START + timedelta(hours=4))
        trail = ("--trail-arn", "arn:aws:cloudtrail:us-east-1:111122223333:trail/audit", "--s3-bucket", BUCKET)
        command = ("cloudtrail", "validate-logs", *trail, "--start-time", since, "--end-time", until)
        return aws(s3, *command, "--endpoint-url", cloudtrail)

    result = validated()
    assert (result.returncode, result.stderr) == (0, "")
    assert "4/4 digest files valid" in result.stdout

    log = chain.logs[chain.digests[0]][0]
    client.put_object(Bucket=BUCKET, Key=log, Body=pack(b'{"Records":[]}'))
    result = validated()
    assert (result.returncode, result.stderr.strip()) == (
        1,
        f"Log file\ts3://{BUCKET}/{log}\tINVALID: hash value doesn't match",
    )

    synced = tmp_path / "synced"
    assert aws(s3, "s3", "sync", f"s3://{BUCKET}", str(synced), "--quiet").returncode == 0
    newest = chain.digests[-1]
    head = client.head_object(Bucket=BUCKET, Key=newest)
    (synced / f"{newest}.metadata.json").write_text(json.dumps({"Metadata": head["Metadata"]}))
    report = check(synced)
    assert [(finding.kind, finding.file) for finding in report.findings] == [("log-changed", log)]
    assert report.notes == []
