"""Data events name what selectors choose them by: records as they are built, and the selectors of trails."""

from __future__ import annotations

from typing import Any

import pytest

from skytrail.audit import data_resources
from skytrail.audit.classify import classify
from skytrail.languages.event_selectors import Together, advanced, classic

from .calls import ACCOUNT, call, recorded, route

QUEUE = f"http://127.0.0.1:4566/{ACCOUNT}/orders"
TOPIC = f"arn:aws:sns:eu-west-1:{ACCOUNT}:news"
ENDPOINT = f"arn:aws:sns:eu-west-1:{ACCOUNT}:endpoint/GCM/app/1"
FUNCTION = f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:job"
TABLE = f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/t1"
STREAM = f"{TABLE}/stream/2026-01-01T00:00:00.000"

S3, LAMBDA, SQS = "AWS::S3::Object", "AWS::Lambda::Function", "AWS::SQS::Queue"
CASES: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("s3", "GetObject", {"Bucket": "b", "Key": "a/k"}, S3, "arn:aws:s3:::b/a/k"),
    ("s3", "PutObject", {"Bucket": "b", "Key": "a/k"}, S3, "arn:aws:s3:::b/a/k"),
    ("s3", "DeleteObjects", {"Bucket": "b", "Delete": {"Objects": [{"Key": "k"}]}}, S3, "arn:aws:s3:::b/"),
    ("s3", "ListObjectsV2", {"Bucket": "b", "Prefix": "a/"}, S3, "arn:aws:s3:::b/"),
    ("lambda", "Invoke", {"FunctionName": "job"}, LAMBDA, FUNCTION),
    ("lambda", "Invoke", {"FunctionName": "job", "Qualifier": "live"}, LAMBDA, FUNCTION),
    ("lambda", "Invoke", {"FunctionName": "job:live"}, LAMBDA, FUNCTION),
    ("lambda", "Invoke", {"FunctionName": f"{ACCOUNT}:function:job"}, LAMBDA, FUNCTION),
    ("lambda", "Invoke", {"FunctionName": f"{FUNCTION}:7"}, LAMBDA, FUNCTION),
    ("sqs", "SendMessage", {"QueueUrl": QUEUE, "MessageBody": "m"}, SQS, f"arn:aws:sqs:eu-west-1:{ACCOUNT}:orders"),
    ("sqs", "ReceiveMessage", {"QueueUrl": QUEUE}, SQS, f"arn:aws:sqs:eu-west-1:{ACCOUNT}:orders"),
    ("sns", "Publish", {"TopicArn": TOPIC, "Message": "m"}, "AWS::SNS::Topic", TOPIC),
    ("sns", "Publish", {"TargetArn": TOPIC, "Message": "m"}, "AWS::SNS::Topic", TOPIC),
    ("sns", "Publish", {"TargetArn": ENDPOINT, "Message": "m"}, "AWS::SNS::PlatformEndpoint", ENDPOINT),
    ("dynamodb", "GetItem", {"TableName": "t1"}, "AWS::DynamoDB::Table", TABLE),
    ("dynamodbstreams", "GetShardIterator", {"StreamArn": STREAM}, "AWS::DynamoDB::Stream", STREAM),
    ("dynamodbstreams", "GetShardIterator", {"StreamArn": STREAM}, "AWS::DynamoDB::Table", TABLE),
]


@pytest.mark.parametrize(("service", "operation", "given", "data_type", "arn"), CASES)
def test_a_selector_finds_the_event(
    service: str, operation: str, given: dict[str, Any], data_type: str, arn: str
) -> None:
    record = recorded(call(service, operation, given))
    named = {
        "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Data"]},
            {"Field": "resources.type", "Equals": [data_type]},
            {"Field": "resources.ARN", "Equals": [arn]},
        ]
    }
    assert list(Together([advanced([named])]).select(record)) == [0]
    known = classify(service, route(service, operation).operation).data_type
    assert data_type in {known, *data_resources.ALSO.get(known, ())}


def test_classic_selectors_find_them_too() -> None:
    named = [
        {"DataResources": [{"Type": S3, "Values": ["arn:aws:s3:::b/"]}, {"Type": LAMBDA, "Values": [FUNCTION]}]},
    ]
    trail = Together([classic(named)])
    for service, operation, given, data_type, _ in CASES:
        record = recorded(call(service, operation, given))
        assert list(trail.select(record)) == ([0] if data_type in (S3, LAMBDA) else [])


@pytest.mark.parametrize(
    ("service", "operation", "given", "data_type"),
    [
        ("sns", "Publish", {"PhoneNumber": "+491234567", "Message": "m"}, "AWS::SNS::Topic"),
        ("sns", "Publish", {"TopicArn": "arn:broken", "Message": "m"}, "AWS::SNS::Topic"),
        ("lambda", "Invoke", {"FunctionName": "no/function"}, LAMBDA),
        ("dynamodbstreams", "GetRecords", {"ShardIterator": "i"}, "AWS::DynamoDB::Stream"),
    ],
)
def test_the_type_is_there_where_no_arn_is_known(
    service: str, operation: str, given: dict[str, Any], data_type: str
) -> None:
    found = recorded(call(service, operation, given))["resources"]
    assert found[0] == {"accountId": ACCOUNT, "type": data_type}
