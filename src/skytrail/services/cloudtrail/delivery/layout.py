"""Names in the bucket."""

from __future__ import annotations

from datetime import UTC, datetime

from ..trails.model import Trail

_BASE62 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def account_folder(prefix: str, organization: str, account: str) -> str:
    """`prefix/AWSLogs/o-exampleorgid/123456789012/`, in so far as there is each of it."""
    return "/".join(part for part in (prefix, "AWSLogs", organization, account) if part) + "/"


def log_file(kind: str, account: str, region: str, when: float, random: bytes) -> str:
    """Within the account's folder; `random` has 16 bytes."""
    moment = datetime.fromtimestamp(when, UTC)
    unique = "".join(_BASE62[byte % 62] for byte in random)
    return f"{kind}/{region}/{moment:%Y/%m/%d}/{account}_{kind}_{region}_{moment:%Y%m%dT%H%MZ}_{unique}.json.gz"


def digest(trail: Trail, account: str, region: str, end: float) -> str:
    moment = datetime.fromtimestamp(end, UTC)
    return (
        f"CloudTrail-Digest/{region}/{moment:%Y/%m/%d}/"
        f"{account}_CloudTrail-Digest_{region}_{trail.name}_{trail.region}_{moment:%Y%m%dT%H%M%SZ}.json.gz"
    )


def merkle(region: str) -> str:
    return f"CloudTrail-Merkle/{region}/"
