"""AWS's own `aws cloudtrail validate-logs`, its code as it is, over a directory instead of S3."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from awscli.customizations.cloudtrail.validation import CloudTrailValidateLogs
from botocore.exceptions import ClientError

from .delivered import START, Chain, key_list, zulu


class Said(NamedTuple):
    kind: str
    object: str
    reason: str


class _Pages:
    def __init__(self, keys: list[str]) -> None:
        self._keys = keys

    def search(self, expression: str) -> Iterator[str]:
        assert expression == "Contents[*].Key"
        yield from self._keys


class _S3:
    """What the CLI asks S3 for, of a directory and the metadata that was delivered with it."""

    def __init__(self, root: Path, bucket: str, signatures: Mapping[str, str]) -> None:
        self._root, self._bucket, self._signatures = root, bucket, signatures

    def get_client(self, bucket: str) -> _S3:
        assert bucket == self._bucket
        return self

    def get_paginator(self, operation: str) -> SimpleNamespace:
        assert operation == "list_objects"
        return SimpleNamespace(paginate=self._list)

    def _list(self, *, Bucket: str, Marker: str, Prefix: str) -> _Pages:  # noqa: N803 - S3's own names
        assert Bucket == self._bucket
        keys = sorted(path.relative_to(self._root).as_posix() for path in self._root.rglob("*") if path.is_file())
        return _Pages([key for key in keys if key.startswith(Prefix) and key > Marker])

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        assert Bucket == self._bucket
        path = self._root / Key
        if not path.is_file():
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": "not there"}}, "GetObject")
        metadata = {}
        if Key in self._signatures:
            metadata = {"signature": self._signatures[Key], "signature-algorithm": "SHA256withRSA"}
        return {"Body": io.BytesIO(path.read_bytes()), "Metadata": metadata}


class _CloudTrail:
    def __init__(self, regions: tuple[str, ...]) -> None:
        self._regions = regions

    def list_public_keys(self, **_: Any) -> dict[str, Any]:
        return key_list(*self._regions)


_LINE = re.compile(r"(Digest|Log) file\t(s3://\S+)\tINVALID: (.*)")


def validate_logs(chain: Chain, *, hours: int) -> tuple[list[Said], str]:
    """What it finds wrong with a chain, and its summary."""
    command = CloudTrailValidateLogs(SimpleNamespace())
    command.trail_arn = f"arn:aws:cloudtrail:{chain.home_region}:{chain.account}:trail/{chain.trail}"
    command.s3_bucket, command.account_id = chain.bucket, chain.account
    command.s3_prefix = chain.digests[0].partition("/AWSLogs/")[0] if "/AWSLogs/" in chain.digests[0] else None
    command.start_time = START - timedelta(minutes=1)
    command.end_time = START + timedelta(hours=hours)
    command._source_region = chain.region
    command.s3_client_provider = _S3(chain.root, chain.bucket, chain.signatures)
    command.cloudtrail_client = _CloudTrail((chain.region,))
    command.organization_client = None
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        command._call()
    assert zulu(START)[:10] in out.getvalue()
    return [Said(*found) for found in _LINE.findall(errors.getvalue())], out.getvalue()
