"""Event selectors: one core asks of each record which of ten trails, with twenty advanced selectors each, take it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import orjson

from .harness import Figure
from .load import ACCOUNT
from .records import record as management_record

TRAILS, SELECTORS, RECORDS = 10, 20, 20_000
REGION = "us-east-1"
_FUNCTIONS = [f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:job-{number}" for number in range(120)]
_QUEUES = [f"arn:aws:sqs:{REGION}:{ACCOUNT}:queue-{number}" for number in range(150)]
_TOPICS = [f"arn:aws:sns:{REGION}:{ACCOUNT}:topic-{number}" for number in range(40)]
_TABLES = [f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/table-{number}" for number in range(60)]
#: Of a hundred records: how many are of which data events. The others are of management.
_DATA: list[tuple[int, str, str, list[tuple[str, bool]], list[str]]] = [
    (30, "s3", "AWS::S3::Object", [("GetObject", True), ("HeadObject", True), ("PutObject", False)], []),
    (5, "s3", "AWS::S3::Object", [("ListObjects", True), ("DeleteObjects", False)], []),
    (10, "dynamodb", "AWS::DynamoDB::Table", [("GetItem", True), ("Query", True), ("UpdateItem", False)], _TABLES),
    (6, "lambda", "AWS::Lambda::Function", [("Invoke", False)], _FUNCTIONS),
    (8, "sqs", "AWS::SQS::Queue", [("ReceiveMessage", True), ("SendMessage", False)], _QUEUES),
    (3, "sns", "AWS::SNS::Topic", [("Publish", False)], _TOPICS),
]


def selectors(runs: int, seconds: float, source: Path | None) -> list[Figure]:
    """Matching the records of a busy account to the trails that take them; parsing them is not counted."""
    several = Figure(f"{TRAILS} trails of {SELECTORS} advanced selectors, one core", "records/s", "more", 200_000)
    one = Figure("one trail of all management events, one core", "records/s", "more")
    environment = {**os.environ, **({"PYTHONPATH": str(source)} if source else {})}
    for _ in range(runs):
        done = subprocess.run(
            [sys.executable, "-m", "bench.event_selectors", str(seconds)],
            stdout=subprocess.PIPE,
            env=environment,
            check=True,
        )
        rates: dict[str, float] = json.loads(done.stdout)
        several.runs.append(rates["several"])
        one.runs.append(rates["one"])
    return [several, one]


def trails(choice: random.Random) -> list[list[dict[str, Any]]]:
    """What an organization's teams select: a team's buckets, functions, queues and tables, and none of its noise."""
    return [_trail(choice, number) for number in range(TRAILS)]


def _trail(choice: random.Random, number: int) -> list[dict[str, Any]]:
    role = f"arn:aws:sts::{ACCOUNT}:assumed-role/team-{number}"
    scanner = f"arn:aws:sts::{ACCOUNT}:assumed-role/scanner"
    made = [
        _selector("Management", {"eventSource": {"NotEquals": ["kms.amazonaws.com", "rdsdata.amazonaws.com"]}}),
        _objects(NotStartsWith=[f"arn:aws:s3:::logs-{each}/" for each in range(10)], EndsWith=[".parquet", ".key"]),
        _selector("Data", _of("AWS::S3::Object") | {"userIdentity.arn": {"StartsWith": [role]}}),
        _selector("Data", _of("AWS::DynamoDB::Table") | {"userIdentity.arn": {"NotStartsWith": [scanner]}}),
    ]
    while len(made) < SELECTORS:
        buckets = [f"arn:aws:s3:::bucket-{choice.randrange(300)}/" for _ in range(8)]
        some = {"eventName": {"NotEquals": ["HeadObject", "GetObjectTagging"]}, "readOnly": {"Equals": ["false"]}}
        made += [
            _selector("Data", _of("AWS::S3::Object") | {"resources.ARN": {"StartsWith": buckets}} | some),
            _objects(StartsWith=[f"{bucket}in/{choice.randrange(20)}/" for bucket in buckets]),
            _selector("Data", _of("AWS::SQS::Queue") | {"resources.ARN": {"Equals": choice.sample(_QUEUES, 8)}}),
            _selector(
                "Data", _of("AWS::Lambda::Function") | {"resources.ARN": {"Equals": choice.sample(_FUNCTIONS, 6)}}
            ),
            _selector("Data", _of("AWS::SNS::Topic") | {"resources.ARN": {"NotEquals": choice.sample(_TOPICS, 4)}}),
            _selector(
                "Data",
                _of("AWS::DynamoDB::Table")
                | {
                    "resources.ARN": {"Equals": choice.sample(_TABLES, 4)},
                    "eventName": {"StartsWith": ["Put", "Update"]},
                },
            ),
        ]
    return made[:SELECTORS]


def _of(data_type: str) -> dict[str, Any]:
    return {"resources.type": {"Equals": [data_type]}}


def _objects(**arn: list[str]) -> dict[str, Any]:
    return _selector("Data", _of("AWS::S3::Object") | {"resources.ARN": arn})


def _selector(category: str, fields: dict[str, Any]) -> dict[str, Any]:
    given = {"eventCategory": {"Equals": [category]}, **fields}
    return {"FieldSelectors": [{"Field": name, **operators} for name, operators in given.items()]}


def mixed_records(choice: random.Random, count: int = RECORDS) -> list[bytes]:
    """Records as the journal has them: management events and data events of several services, by users and roles."""
    kinds = [kind for kind in _DATA for _ in range(kind[0])]
    made = []
    for number in range(count):
        document = orjson.loads(management_record(number, count, 1_760_000_000, 86400))
        place = choice.randrange(100)
        if place < len(kinds):
            _make_data(choice, document, kinds[place])
        if choice.random() < 0.6:
            role = choice.choice(["scanner", *(f"team-{team}" for team in range(20))])
            session = f"i-{choice.randrange(500):017x}"
            document["userIdentity"]["arn"] = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}"
        made.append(orjson.dumps(document))
    return made


def _make_data(choice: random.Random, document: dict[str, Any], kind: tuple[Any, ...]) -> None:
    _, service, data_type, names, arns = kind
    name, read_only = choice.choice(names)
    document |= {
        "eventSource": f"{service}.amazonaws.com",
        "eventName": name,
        "readOnly": read_only,
        "managementEvent": False,
        "eventCategory": "Data",
    }
    if arns:
        document["resources"] = [{"accountId": ACCOUNT, "type": data_type, "ARN": choice.choice(arns)}]
        return
    bucket = f"arn:aws:s3:::bucket-{int(300 * choice.random() ** 2)}"
    if name in ("ListObjects", "DeleteObjects"):
        first = {"type": data_type, "ARNPrefix": f"{bucket}/"}
    else:
        ending = choice.choice(["json", "parquet", "key", "gz"])
        key = f"in/{choice.randrange(40)}/{choice.getrandbits(64):016x}.{ending}"
        first = {"type": data_type, "ARN": f"{bucket}/{key}"}
    document["resources"] = [first, {"accountId": ACCOUNT, "type": "AWS::S3::Bucket", "ARN": bucket}]


def main() -> None:
    from skytrail.languages.event_selectors import Together, advanced, classic  # noqa: PLC0415 - of either revision

    choice = random.Random(1)
    given = mixed_records(choice)
    several = Together([advanced(each) for each in trails(choice)])
    one = Together([classic(None)])
    seconds = float(sys.argv[1])
    print(json.dumps({"several": _rate(several, given, seconds), "one": _rate(one, given, seconds / 4)}))


def _rate(together: Any, given: list[bytes], seconds: float, batch: int = 1000) -> float:
    """Of records that are parsed anew each time, as a feed has them."""
    done, spent, select = 0, 0.0, together.select
    while spent < seconds:
        for first in range(0, len(given), batch):
            records = [orjson.loads(each) for each in given[first : first + batch]]
            begun = time.perf_counter()
            for each in records:
                select(each)
            spent += time.perf_counter() - begun
            done += len(records)
    return done / spent


if __name__ == "__main__":
    main()
