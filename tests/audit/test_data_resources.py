"""Data events name what selectors choose them by: records as they are built, and the selectors of trails."""

from __future__ import annotations

from typing import Any

import pytest

from skytrail.audit import data_resources, partiql
from skytrail.audit.classify import classify
from skytrail.languages.event_selectors import Together, advanced, classic

from .calls import ACCOUNT, call, recorded, route

QUEUE = f"http://127.0.0.1:4566/{ACCOUNT}/orders"
TOPIC = f"arn:aws:sns:eu-west-1:{ACCOUNT}:news"
ENDPOINT = f"arn:aws:sns:eu-west-1:{ACCOUNT}:endpoint/GCM/app/1"
FUNCTION = f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:job"
TABLE = f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/t1"
CONSUMER = f"arn:aws:kinesis:eu-west-1:{ACCOUNT}:stream/s/consumer/c:1700000000"
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
    (
        "sqs",
        "SendMessage",
        {"QueueUrl": "http://127.0.0.1:4566/444455556666/orders", "MessageBody": "m"},
        SQS,
        "arn:aws:sqs:eu-west-1:444455556666:orders",
    ),
    (
        "sqs",
        "SendMessage",
        {"QueueUrl": "http://127.0.0.1:4566/queue/orders", "MessageBody": "m"},
        SQS,
        f"arn:aws:sqs:eu-west-1:{ACCOUNT}:orders",
    ),
    ("sns", "Publish", {"TopicArn": TOPIC, "Message": "m"}, "AWS::SNS::Topic", TOPIC),
    ("sns", "Publish", {"TargetArn": TOPIC, "Message": "m"}, "AWS::SNS::Topic", TOPIC),
    ("sns", "Publish", {"TargetArn": ENDPOINT, "Message": "m"}, "AWS::SNS::PlatformEndpoint", ENDPOINT),
    ("dynamodb", "GetItem", {"TableName": "t1"}, "AWS::DynamoDB::Table", TABLE),
    (
        "firehose",
        "PutRecord",
        {"DeliveryStreamName": "d", "Record": {}},
        "AWS::KinesisFirehose::DeliveryStream",
        f"arn:aws:firehose:eu-west-1:{ACCOUNT}:deliverystream/d",
    ),
    ("kinesis", "SubscribeToShard", {"ConsumerARN": CONSUMER}, "AWS::Kinesis::StreamConsumer", CONSUMER),
    (
        "timestream-write",
        "WriteRecords",
        {"DatabaseName": "d", "TableName": "t", "Records": []},
        "AWS::Timestream::Table",
        f"arn:aws:timestream:eu-west-1:{ACCOUNT}:database/d/table/t",
    ),
    (
        "cognito-identity",
        "GetId",
        {"IdentityPoolId": "eu-west-1:pool"},
        "AWS::Cognito::IdentityPool",
        f"arn:aws:cognito-identity:eu-west-1:{ACCOUNT}:identitypool/eu-west-1:pool",
    ),
    ("dynamodb", "Query", {"TableName": "t1", "IndexName": "i"}, "AWS::DynamoDB::Table", TABLE),
    ("dynamodb", "Query", {"TableName": TABLE}, "AWS::DynamoDB::Table", TABLE),
    ("dynamodb", "BatchGetItem", {"RequestItems": {"t0": {}, "t1": {}}}, "AWS::DynamoDB::Table", TABLE),
    ("dynamodb", "BatchGetItem", {"RequestItems": {TABLE: {}}}, "AWS::DynamoDB::Table", TABLE),
    ("dynamodb", "BatchWriteItem", {"RequestItems": {"t0": [], "t1": []}}, "AWS::DynamoDB::Table", TABLE),
    ("dynamodb", "TransactGetItems", {"TransactItems": [{"Get": {"TableName": "t1"}}]}, "AWS::DynamoDB::Table", TABLE),
    (
        "dynamodb",
        "TransactWriteItems",
        {"TransactItems": [{"Put": {"TableName": "t0"}}, {"ConditionCheck": {"TableName": "t1"}}]},
        "AWS::DynamoDB::Table",
        TABLE,
    ),
    ("dynamodb", "ExecuteStatement", {"Statement": "SELECT * FROM t1"}, "AWS::DynamoDB::Table", TABLE),
    (
        "dynamodb",
        "BatchExecuteStatement",
        {"Statements": [{"Statement": "SELECT a FROM t0"}, {"Statement": 'UPDATE "t1" SET a = 1'}]},
        "AWS::DynamoDB::Table",
        TABLE,
    ),
    (
        "dynamodb",
        "ExecuteTransaction",
        {"TransactStatements": [{"Statement": "INSERT INTO t1 VALUE {'a': 'b'}"}]},
        "AWS::DynamoDB::Table",
        TABLE,
    ),
    ("dynamodbstreams", "GetRecords", {"ShardIterator": f"{STREAM}|1|AAAA=="}, "AWS::DynamoDB::Stream", STREAM),
    ("dynamodbstreams", "GetRecords", {"ShardIterator": f"{STREAM}|1|AAAA=="}, "AWS::DynamoDB::Table", TABLE),
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


def test_a_batch_names_each_of_its_tables_once() -> None:
    """As the DynamoDB guide's records of transactions and statements have them."""
    steps = [{"Put": {"TableName": "t1"}}, {"Delete": {"TableName": "t1"}}, {"Update": {"TableName": "t2"}}]
    found = recorded(call("dynamodb", "TransactWriteItems", {"TransactItems": steps}))["resources"]
    table = {"accountId": ACCOUNT, "type": "AWS::DynamoDB::Table"}
    assert found == [{**table, "ARN": TABLE}, {**table, "ARN": TABLE.replace("t1", "t2")}]


@pytest.mark.parametrize(
    ("statement", "tables"),
    [
        ("SELECT * FROM Music WHERE Artist = 'from x'", ["Music"]),
        ('select "from" from "my.table"."an-index" where a = ?', ["my.table"]),
        ("INSERT INTO Music VALUE {'into': 'it''s from x'}", ["Music"]),
        ('  UPDATE "a""b" SET update = 1 RETURNING ALL OLD *', ['a"b']),
        ("DELETE\nFROM -- the table\n Music", ["Music"]),
        ("EXISTS(SELECT * FROM t1 WHERE a = 1)", ["t1"]),
        ("SELECT 'unclosed FROM t1", []),
        ('SELECT * FROM "unclosed', []),
        ("SELECT * FROM", []),
        ("", []),
    ],
)
def test_tables_of_statements(statement: str, tables: list[str]) -> None:
    assert list(partiql.tables(statement)) == tables


@pytest.mark.parametrize(
    ("service", "operation", "given", "data_type"),
    [
        ("dynamodb", "ExecuteStatement", {"Statement": "SELECT 1"}, "AWS::DynamoDB::Table"),
        ("dynamodb", "BatchGetItem", {"RequestItems": {"arn:aws:sqs:eu-west-1:1:q": {}}}, "AWS::DynamoDB::Table"),
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
