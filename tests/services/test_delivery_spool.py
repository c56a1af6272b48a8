"""A file's chunks, put one after the other, are one gzip member; the name and the order of deliveries."""

from __future__ import annotations

import gzip
import re
import zlib
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.services.cloudtrail.delivery import layout, spool
from skytrail.services.cloudtrail.delivery.selection import Selection, of_deliveries
from skytrail.services.cloudtrail.delivery.sorting import event_time
from skytrail.services.cloudtrail.trails.model import Trail
from skytrail.settings import Organization

texts = st.dictionaries(st.text(max_size=8), st.text() | st.integers(0, 9), max_size=4).map(orjson.dumps)


@given(st.lists(st.lists(texts, min_size=1, max_size=5), min_size=1, max_size=6))
def test_chunks_make_one_member(chunks: list[list[bytes]]) -> None:
    deflated = [spool.deflated(b",".join(chunk)) for chunk in chunks]
    text = b'{"Records":[' + b",".join(b",".join(chunk) for chunk in chunks) + b"]}"
    file = spool.HEAD + spool.BETWEEN.join(deflated) + spool.tail(zlib.crc32(text), len(text))
    assert len(file) == spool.file_size(len(chunks), sum(map(len, deflated)))
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
    assert inflater.decompress(file) == text
    assert inflater.eof
    assert inflater.unused_data == b""
    assert gzip.decompress(file) == text
    assert [spool.inflated(one) for one in deflated] == [b",".join(chunk) for chunk in chunks]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-03-01T12:00:30Z", datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC).timestamp()),
        ("1970-01-01T00:00:00Z", 0),
        ("yesterday", 0),
        (None, 0),
        (17, 0),
    ],
)
def test_event_times(text: object, seconds: float) -> None:
    assert event_time({"eventTime": text}) == seconds


def test_names() -> None:
    trail = Trail("audit", "111111111111", "us-east-1", "1", "b", prefix="a/b", organization="o-abcdefghij")
    when = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC).timestamp()
    assert layout.account_folder("a/b", "o-abcdefghij", "222222222222") == "a/b/AWSLogs/o-abcdefghij/222222222222/"
    assert re.fullmatch(
        "CloudTrail/eu-west-1/2026/03/01/222222222222_CloudTrail_eu-west-1_20260301T2359Z_[A-Za-z0-9]{16}.json.gz",
        layout.log_file("CloudTrail", "222222222222", "eu-west-1", when, bytes(range(240, 256))),
    )
    assert layout.digest(trail, "222222222222", "eu-west-1", when) == (
        "CloudTrail-Digest/eu-west-1/2026/03/01/"
        "222222222222_CloudTrail-Digest_eu-west-1_audit_us-east-1_20260301T235959Z.json.gz"
    )


_BY_DELIVERY = {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}


@pytest.mark.parametrize(
    ("trail", "record", "account", "region", "taken"),
    [
        ({}, {}, "111111111111", "us-east-1", True),
        ({}, {}, "222222222222", "us-east-1", False),
        ({}, {}, "111111111111", "eu-west-1", False),
        ({"multi_region": True}, {}, "111111111111", "eu-west-1", True),
        ({"logging": False}, {}, "111111111111", "us-east-1", False),
        ({"organization": "o-abcdefghij"}, {}, "222222222222", "us-east-1", True),
        ({"organization": "o-abcdefghij"}, {}, "333333333333", "us-east-1", False),
        ({"global_events": False}, {"eventSource": "iam.amazonaws.com"}, "111111111111", "us-east-1", False),
        ({"global_events": False}, {"eventSource": "sqs.amazonaws.com"}, "111111111111", "us-east-1", True),
        (
            {"recursive": False},
            {"eventSource": "s3.amazonaws.com", "eventName": "PutObject", "userIdentity": _BY_DELIVERY},
            "111111111111",
            "us-east-1",
            False,
        ),
        (
            {"recursive": False},
            {"eventSource": "s3.amazonaws.com", "eventName": "GetBucketAcl", "userIdentity": _BY_DELIVERY},
            "111111111111",
            "us-east-1",
            True,
        ),
        (
            {"recursive": False},
            {"eventSource": "s3.amazonaws.com", "eventName": "PutObject", "userIdentity": {"type": "Root"}},
            "111111111111",
            "us-east-1",
            True,
        ),
    ],
)
def test_whose_records_a_trail_takes(
    trail: dict[str, object], record: dict[str, object], account: str, region: str, taken: bool
) -> None:
    fields = {"account": "111111111111", "region": "us-east-1", "id": "1", "bucket": "b", "logging": True, **trail}
    organization = Organization("o-abcdefghij", "111111111111", ("222222222222",))
    selection = Selection([Trail("audit", **fields)], organization)  # type: ignore[arg-type]
    record = {"eventCategory": "Management", "managementEvent": True, "readOnly": False, **record}
    assert bool(list(selection.of(record, account, region, "Management"))) is taken


def test_deliveries_are_known_by_who_invoked_them() -> None:
    assert of_deliveries({"userIdentity": _BY_DELIVERY})
    assert not of_deliveries({"userIdentity": {"type": "AWSService", "invokedBy": "sns.amazonaws.com"}})
    assert not of_deliveries({})
