"""What a look-up shows of a record does not change when the record moves from the journal to the columns."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from skytrail.services.cloudtrail.history.fresh import Shown, shown
from skytrail.settings import Settings
from skytrail.storage.columns import Columns

CASES = json.loads((Path(__file__).parent.parent / "cases" / "events_columns.json").read_text("utf-8"))
REAL = Path(os.environ.get("SKYTRAIL_TEST_RECORDS", Path(__file__).parents[3] / "shared" / "data"))

ODD: list[dict[str, Any]] = [
    {},
    {"userIdentity": None, "resources": None, "eventTime": None},
    {"userIdentity": {"type": "Root", "userName": "not-root"}, "readOnly": "True"},
    {"userIdentity": {"type": "AssumedRole", "principalId": "AROA:session:more"}},
    {"userIdentity": {"principalId": "AROA:"}},
    {
        "userIdentity": {
            "type": "AssumedRole",
            "arn": "arn:aws:sts::1:assumed-role/r/s",
            "sessionContext": {"sessionIssuer": {"arn": "arn:aws:iam::1:role/r", "userName": "r"}},
        }
    },
    {"userIdentity": {"sessionContext": {"sessionIssuer": {"userName": "issuer"}}}},
    {"insightDetails": {"eventName": "RunInstances", "eventSource": "ec2.amazonaws.com"}, "eventCategory": "Insight"},
    {"resources": [{"type": "T", "ARN": ""}, {"arn": "arn:aws:s3:::bucket/a/b"}, {"ARNPrefix": "arn:aws:s3:::p/"}]},
    {
        "resources": [
            {"ARN": "not an arn"},
            {"ARN": "arn:aws:logs:eu:1:log-group:name:*"},
            {"ARN": "arn:aws:sns:eu:1:topic"},
        ]
    },
    {"resources": [{"ARN": "arn:aws:iam::1:user/path/alice"}, {"type": "only a type"}]},
    {"eventTime": "2026-01-01T00:00:60Z"},
    {"eventTime": "2026-01-01"},
    {"eventTime": "yesterday"},
]


def real_records() -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in sorted(REAL.glob("records-*.jsonl.gz"))
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]


def by_the_columns(path: Path, records: list[bytes]) -> list[Shown]:
    fields = ["toUnixTimestamp(event_time)", *Shown._fields[1:]]

    async def carry_over() -> list[list[Any]]:
        columns = Columns(path, Settings().columns, "os")
        await columns.start()
        try:
            rows = b"".join(
                json.dumps({"position": position, "record": record.decode()}).encode() + b"\n"
                for position, record in enumerate(records)
            )
            await columns.insert("events", ("position", "record"), rows, data_format="JSONEachRow")
            return await columns.query(f"SELECT {', '.join(fields)} FROM events ORDER BY position")
        finally:
            await columns.stop()

    return [Shown(*row[:-2], *(frozenset(names) for names in row[-2:])) for row in asyncio.run(carry_over())]


@pytest.mark.parametrize("source", ["cases", "odd", "real"])
def test_a_record_shows_the_same_before_and_after(tmp_path: Path, source: str) -> None:
    if source == "real" and not REAL.is_dir():
        pytest.skip(f"no real records in {REAL}")
    documents = {"cases": [case["record"] for case in CASES], "odd": ODD, "real": real_records()}[source]
    records = [json.dumps(document).encode() for document in documents]
    for position, (record, later) in enumerate(zip(records, by_the_columns(tmp_path, records), strict=True)):
        assert shown(position, record) == later
