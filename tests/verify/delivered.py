"""A directory as `aws s3 sync` makes it of a trail's bucket: log files, and hourly digests with a real RSA key."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import random
from collections.abc import Sequence
from copy import copy
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

START = datetime(2026, 1, 31, 20, 1, 31, tzinfo=UTC)
HOUR = timedelta(hours=1)
ACCOUNTS = ("111122223333", "444455556666")
REGIONS = ("eu-west-1", "us-east-1")
#: Folders of log files: one digest names files of both.
KINDS = ("CloudTrail", "CloudTrail", "CloudTrail-Insight")


class SigningKey:
    def __init__(self, private: RSAPrivateKey) -> None:
        self._private = private
        value = private.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
        self.value = base64.b64encode(value).decode()
        self.fingerprint = hashlib.md5(value, usedforsecurity=False).hexdigest()

    def sign(self, text: bytes) -> str:
        return self._private.sign(text, PKCS1v15(), hashes.SHA256()).hex()

    @property
    def listed(self) -> dict[str, Any]:
        """As the AWS CLI prints it."""
        validity = {"ValidityStartTime": "2026-01-01T00:00:00+00:00", "ValidityEndTime": "2027-01-01T00:00:00+00:00"}
        return {"Value": self.value, "Fingerprint": self.fingerprint, **validity}


@cache
def signing_key(name: str) -> SigningKey:
    """A new one for each name: a Region, or whoever forges."""
    return SigningKey(generate_private_key(65537, 2048))


def string_to_sign(digest: dict[str, Any], content: bytes) -> bytes:
    where = f"{digest['digestS3Bucket']}/{digest['digestS3Object']}"
    previous = digest["previousDigestSignature"] or "null"
    return f"{digest['digestEndTime']}\n{where}\n{hashlib.sha256(content).hexdigest()}\n{previous}".encode()


def zulu(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def compact(moment: datetime) -> str:
    return moment.strftime("%Y%m%dT%H%M%SZ")


def pack(content: bytes) -> bytes:
    return gzip.compress(content, 6, mtime=0)


class Chain:
    """A trail's files of one account in one Region."""

    def __init__(
        self,
        root: Path,
        account: str,
        region: str,
        *,
        trail: str = "audit",
        home_region: str = "us-east-1",
        bucket: str = "trail-logs",
        prefix: str = "",
        seed: int = 0,
    ) -> None:
        self.root = root
        self.account, self.region = account, region
        self.trail, self.home_region = trail, home_region
        self.bucket = bucket
        self._above = f"{prefix}AWSLogs/{account}"
        self._random = random.Random(f"{seed} {account} {region} {trail}")
        self._previous: tuple[str, str, str] | None = None
        #: Keys in the order of delivery; of log files, by the digest that names them.
        self.digests: list[str] = []
        self.logs: dict[str, list[str]] = {}
        self.signatures: dict[str, str] = {}

    def copy(self) -> Chain:
        """Of what is known about the files, so that it can be tampered with as they are."""
        other = copy(self)
        other.signatures = dict(self.signatures)
        return other

    def path(self, key: str) -> Path:
        return self.root / key

    def write(self, key: str, content: bytes) -> None:
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def deliver_log(self, at: datetime, *, records: int = 3, kind: str = "CloudTrail") -> dict[str, Any]:
        name = "".join(self._random.choices("ABCDEFGHabcdefgh0123456789", k=16))
        stamp = at.strftime("%Y%m%dT%H%MZ")
        key = f"{self._above}/{kind}/{self.region}/{at:%Y/%m/%d}/"
        key += f"{self.account}_{kind}_{self.region}_{stamp}_{name}.json.gz"
        events = [
            {"eventID": f"{self._random.getrandbits(128):032x}", "eventTime": zulu(at), "awsRegion": self.region}
            for _ in range(records)
        ]
        content = json.dumps({"Records": events}, separators=(",", ":")).encode()
        self.write(key, pack(content))
        return {
            "s3Bucket": self.bucket,
            "s3Object": key,
            "hashValue": hashlib.sha256(content).hexdigest(),
            "hashAlgorithm": "SHA-256",
            "newestEventTime": zulu(at),
            "oldestEventTime": zulu(at),
        }

    def digest_key(self, end: datetime) -> str:
        folder = f"{self._above}/CloudTrail-Digest/{self.region}/{end:%Y/%m/%d}"
        name = f"{self.account}_CloudTrail-Digest_{self.region}_{self.trail}_{self.home_region}_{compact(end)}"
        return f"{folder}/{name}.json.gz"

    def deliver_digest(self, start: datetime, end: datetime, logs: Sequence[dict[str, Any]]) -> str:
        key = self.digest_key(end)
        before = self._previous
        digest = {
            "awsAccountId": self.account,
            "digestStartTime": zulu(start),
            "digestEndTime": zulu(end),
            "digestS3Bucket": self.bucket,
            "digestS3Object": key,
            "digestPublicKeyFingerprint": signing_key(self.region).fingerprint,
            "digestSignatureAlgorithm": "SHA256withRSA",
            "newestEventTime": max((log["newestEventTime"] for log in logs), default=None),
            "oldestEventTime": min((log["oldestEventTime"] for log in logs), default=None),
            "previousDigestS3Bucket": self.bucket if before else None,
            "previousDigestS3Object": before[0] if before else None,
            "previousDigestHashValue": before[1] if before else None,
            "previousDigestHashAlgorithm": "SHA-256" if before else None,
            "previousDigestSignature": before[2] if before else None,
            "logFiles": list(logs),
        }
        self.put_digest(key, digest)
        self.digests.append(key)
        self.logs[key] = [log["s3Object"] for log in logs]
        return key

    def put_digest(self, key: str, digest: dict[str, Any], signer: SigningKey | None = None) -> None:
        """Write a digest, and sign it; what comes next names it as the one before."""
        content = json.dumps(digest, separators=(",", ":")).encode()
        signature = (signer or signing_key(self.region)).sign(string_to_sign(digest, content))
        self.write(key, pack(content))
        self.signatures[key] = signature
        self._previous = (key, hashlib.sha256(content).hexdigest(), signature)

    def read_digest(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(gzip.decompress(self.path(key).read_bytes()))
        return found

    def deliver(self, hours: int, *, start: datetime = START, most_logs: int = 2) -> None:
        """Hourly digests with some log files each, some of them Insights' own, some with none."""
        for hour in range(hours):
            begin = start + hour * HOUR
            count = self._random.randint(0, most_logs) if hour else most_logs
            moments = sorted(begin + timedelta(minutes=self._random.randint(2, 57)) for _ in range(count))
            logs = [self.deliver_log(moment, kind=self._random.choice(KINDS)) for moment in moments]
            self.deliver_digest(begin, begin + HOUR, logs)

    def stop(self) -> None:
        """What follows is a chain of its own."""
        self._previous = None

    def keep_newest_signature(self) -> None:
        newest = self.digests[-1]
        self.path(newest + ".signature").write_text(self.signatures[newest] + "\n", "ascii")


def deliver(
    root: Path,
    *,
    accounts: Sequence[str] = ACCOUNTS,
    regions: Sequence[str] = REGIONS,
    hours: int = 6,
    seed: int = 0,
    prefix: str = "",
) -> list[Chain]:
    chains = []
    for account in accounts:
        for region in regions:
            chain = Chain(root, account, region, seed=seed, prefix=prefix)
            chain.deliver(hours)
            chain.keep_newest_signature()
            chains.append(chain)
    return chains


def key_list(*names: str) -> dict[str, Any]:
    return {"PublicKeyList": [signing_key(name).listed for name in names]}


def write_keys(path: Path, *names: str) -> Path:
    path.write_text(json.dumps(key_list(*(names or REGIONS)), indent=4), "utf-8")
    return path
