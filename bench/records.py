"""Generated records: a busy account's year in miniature, with common and rare values for every look-up key."""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime
from typing import Any

import orjson

from .load import ACCOUNT

_EVENTS = [
    ("ec2.amazonaws.com", "DescribeInstances", True),
    ("s3.amazonaws.com", "GetBucketAcl", True),
    ("sts.amazonaws.com", "AssumeRole", True),
    ("kms.amazonaws.com", "Decrypt", True),
    ("iam.amazonaws.com", "GetRole", True),
    ("logs.amazonaws.com", "CreateLogStream", False),
    ("lambda.amazonaws.com", "UpdateFunctionConfiguration20150331v2", False),
    ("cloudtrail.amazonaws.com", "LookupEvents", True),
]
RARE_EVERY = 250_000


def event_id(number: int) -> str:
    return str(uuid.UUID(int=random.Random(number).getrandbits(128), version=4))


def keys(count: int) -> list[tuple[str, str, str]]:
    """What a benchmark of `count` records looks up: (key, a common or recent value, a rare or old one)."""
    return [
        ("EventId", event_id(count - 10), event_id(count // 3)),
        ("EventName", "DescribeInstances", "DeleteTrail"),
        ("ReadOnly", "true", "false"),
        ("Username", "user-1", "mallory"),
        ("ResourceType", "AWS::S3::Bucket", "AWS::CloudTrail::Trail"),
        ("ResourceName", "bucket-1", "the-trail"),
        ("EventSource", "ec2.amazonaws.com", "signin.amazonaws.com"),
        ("AccessKeyId", "AKIA0000000000000001", "AKIARARE000000000001"),
    ]


def record(number: int, count: int, newest: float, span: float) -> bytes:
    """Record `number` of `count`, spread evenly over the `span` of seconds that ends at `newest`."""
    choice = random.Random(number)
    rare = number % RARE_EVERY == RARE_EVERY // 2
    source, name, read_only = choice.choice(_EVENTS)
    user = choice.randrange(1, 400)
    if rare:
        source, name, read_only = "signin.amazonaws.com", "DeleteTrail", False
    key = "AKIARARE000000000001" if rare else f"AKIA{user:016d}"
    user_name = "mallory" if rare else f"user-{user}"
    bucket = "the-trail" if rare else f"bucket-{choice.randrange(1, 2000)}"
    time = datetime.fromtimestamp(newest - span * (count - number) / count, UTC)
    document: dict[str, Any] = {
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "IAMUser",
            "principalId": f"AIDA{user:017d}",
            "arn": f"arn:aws:iam::{ACCOUNT}:user/{user_name}",
            "accountId": ACCOUNT,
            "accessKeyId": key,
            "userName": user_name,
        },
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": source,
        "eventName": name,
        "awsRegion": "us-east-1",
        "sourceIPAddress": f"198.51.100.{choice.randrange(1, 255)}",
        "userAgent": "aws-cli/2.13.0 Python/3.11.4 Linux/5.10.0-1234-aws exe/x86_64.ubuntu.22 prompt/off command/any",
        "requestParameters": {"bucketName": bucket, "maxResults": 50, "filterSet": {"items": [{"name": "tag:x"}]}},
        "responseElements": None,
        "requestID": event_id(-number),
        "eventID": event_id(number),
        "readOnly": read_only,
        "resources": [
            {
                "accountId": ACCOUNT,
                "type": "AWS::CloudTrail::Trail" if rare else "AWS::S3::Bucket",
                "ARN": f"arn:aws:s3:::{bucket}",
            }
        ],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
    }
    if choice.random() < 0.05:
        document |= {"errorCode": "AccessDenied", "errorMessage": f"User {user_name} is not authorized"}
    return orjson.dumps(document)
