"""What AWS's wire looks like to the byte, and what is refused."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from botocore.handlers import parse_get_bucket_location
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.errors import ServiceError
from skytrail.wire import codecs, models
from skytrail.wire.codecs import cbor
from skytrail.wire.http import Request, Response
from skytrail.wire.routing import Route

from . import client

MOMENT = datetime(2025, 12, 17, 13, 23, 0, 123456, tzinfo=UTC)
WHOLE = MOMENT.replace(microsecond=0)


def route(service: str, operation: str, protocol: str | None = None, path: str = "") -> Route:
    found = models.service(service)
    model = found.operation(operation)
    assert model is not None
    return Route(found, model, protocol or found.protocols[0], path)


def form(text: str) -> Request:
    return Request("POST", "/", "", {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}, text.encode())


def document(body: bytes | str) -> Request:
    return Request("POST", "/", "", {}, body.encode() if isinstance(body, str) else body)


def refusal(of: Route, request: Request) -> ServiceError:
    with pytest.raises(ServiceError) as raised:
        codecs.parse(of, request)
    assert raised.value.status == 400
    return raised.value


def headers_of(response: Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers}


# JSON


def test_json_response() -> None:
    event = {"EventId": "e", "EventTime": MOMENT, "Username": None, "Resources": []}
    response = codecs.serialize(route("cloudtrail", "LookupEvents"), {"Events": [event], "NextToken": None}, "id-1")
    assert response == Response(
        200,
        [("x-amzn-RequestId", "id-1"), ("Content-Type", "application/x-amz-json-1.1")],
        b'{"Events":[{"EventId":"e","EventTime":1765977780.123,"Resources":[]}]}',
    )


@pytest.mark.parametrize("moment", [WHOLE, WHOLE.timestamp(), int(WHOLE.timestamp()), WHOLE.replace(tzinfo=None)])
def test_times_from_whatever_a_handler_has(moment: Any) -> None:
    response = codecs.serialize(route("cloudtrail", "LookupEvents"), {"Events": [{"EventTime": moment}]}, "id-1")
    assert response.body == b'{"Events":[{"EventTime":1765977780.0}]}'


def test_operations_without_output_have_no_body() -> None:
    assert codecs.serialize(route("logs", "CreateLogGroup"), {}, "id-1").body == b""
    assert codecs.serialize(route("cloudtrail", "StartLogging"), {}, "id-1").body == b"{}"
    as_cbor = codecs.serialize(route("cloudwatch", "PutMetricData"), {}, "id-1")
    assert as_cbor == Response(200, [("x-amzn-RequestId", "id-1"), ("smithy-protocol", "rpc-v2-cbor")], b"")


@pytest.mark.parametrize("name", ["cloudtrail", "logs", "s3", "iam", "cloudwatch", "lambda"])
def test_a_member_that_the_model_lacks_is_a_bug_not_a_silence(name: str) -> None:
    service = models.service(name)
    for operation_name in sorted(service.operation_names)[:20]:
        for protocol in service.protocols:
            with pytest.raises(ValueError, match=r"has no (member|output)"):
                codecs.serialize(route(name, operation_name, protocol), {"Nothing": 1}, "id-1")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"MaxResults": "5"}', "STRING_VALUE can not be converted to an Integer"),
        ('{"MaxResults": true}', "TRUE_VALUE can not be converted to an Integer"),
        ('{"MaxResults": 1.5}', "NUMBER_VALUE can not be converted to an Integer"),
        ('{"MaxResults": 2147483648}', "NUMBER_VALUE can not be converted to an Integer"),
        ('{"MaxResults": [1]}', "Start of list found where not expected"),
        ('{"NextToken": 5}', "NUMBER_VALUE can not be converted to a String"),
        ('{"NextToken": false}', "FALSE_VALUE can not be converted to a String"),
        ('{"NextToken": {}}', "Start of structure or map found where not expected."),
        ('{"StartTime": "yesterday"}', "STRING_VALUE can not be converted to milliseconds since epoch"),
        ('{"StartTime": 1e300}', "NUMBER_VALUE can not be converted to milliseconds since epoch"),
        ('{"LookupAttributes": {}}', "Start of structure or map found where not expected."),
        ('{"LookupAttributes": "x"}', "Expected list or null"),
        ('{"LookupAttributes": [null]}', "A list may not contain null"),
        ('{"LookupAttributes": ["x"]}', "Expected structure or null"),
        ('{"LookupAttributes": [[]]}', "Start of list found where not expected"),
        ("[]", "Start of list found where not expected"),
        ("null", "Expected structure or null"),
        ('"x"', "Expected structure or null"),
    ],
)
def test_json_of_the_wrong_type(body: str, message: str) -> None:
    error = refusal(route("cloudtrail", "LookupEvents"), document(body))
    assert (error.code, error.message) == ("SerializationException", message)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"a"}',
        b"{} {}",
        b"\x00",
        b'{"NextToken": "\x00"}',
        b'{"NextToken": "\xff"}',
        b'{"NextToken": "\\ud800"}',
        b'{"MaxResults": NaN}',
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b"\x1f\x8b\x08",
    ],
)
def test_broken_json(body: bytes) -> None:
    assert refusal(route("cloudtrail", "LookupEvents"), document(body)).code == "SerializationException"


def test_null_is_absent_and_the_unknown_is_ignored() -> None:
    body = '{"NextToken": null, "MaxResults": 5.0, "Whatever": [null, {"deep": 1}], "__type": "x"}'
    assert codecs.parse(route("cloudtrail", "LookupEvents"), document(body)) == {"MaxResults": 5}
    assert codecs.parse(route("cloudtrail", "LookupEvents"), document("")) == {}


def test_a_shape_that_holds_itself_is_bounded() -> None:
    put = route("dynamodb", "PutItem", "json")
    deep = b'{"Item": {"a": ' + b'{"L": [' * 400 + b'{"S": "x"}' + b"]}" * 400 + b"}}"
    error = refusal(put, document(deep))
    assert (error.code, error.message) == ("SerializationException", "The request nests too deeply")
    shallow = deep.replace(b'{"L": [' * 400, b'{"L": [' * 30).replace(b"]}" * 400, b"]}" * 30)
    assert codecs.parse(put, document(shallow))["Item"]["a"]["L"][0]["L"]


@pytest.mark.parametrize("value", [{}, {"nothing": 1}, {"stringValue": "a", "longValue": 1}])
def test_unions_have_one_member(value: dict[str, Any]) -> None:
    execute = route("rds-data", "ExecuteStatement")
    request = Request("POST", "/Execute", "", {}, orjson.dumps({"parameters": [{"value": value}]}))
    assert refusal(execute, request).message == "A union must have exactly one member"


def test_other_services_compile_too() -> None:
    """Any of botocore's services may be an upstream; this is a sample of them."""
    for name in models.service_names()[::40]:
        service = models.service(name)
        for protocol in service.protocols:
            for operation in service.operation_names:
                of = route(name, operation, protocol)
                with pytest.raises(ValueError, match=r"has no (member|output)"):
                    codecs.serialize(of, {"No such member": 1}, "id-1")


# CBOR


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"\xa1",
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x81" * 100_000,
        b"\xbf\x61a\xff",
        b"\xa1\x01\x01",
        b"\xc2\x41\x01",
        b"\xc1\x61a",
        b"\xf0",
        b"\x1c",
        b"\x61\xff",
        b"\x7f\x41a\xff",
        b"\xa0\xa0",
        b"{}",
        b"\xa1\x69Namespace\x01",
    ],
)
def test_broken_cbor(body: bytes) -> None:
    assert refusal(route("cloudwatch", "PutMetricData"), document(body)).code == "SerializationException"


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        ("9f0102ff", [1, 2]),
        ("bf6161f5ff", {"a": True}),
        ("7f61616162ff", "ab"),
        ("5f41614162ff", b"ab"),
        ("f93e00", 1.5),
        ("fa3fc00000", 1.5),
        ("fb3ff8000000000000", 1.5),
        ("3bffffffffffffffff", -(2**64)),
        ("1bffffffffffffffff", 2**64 - 1),
        ("f6", None),
        ("f7", None),
        ("c11a514b67b0", datetime(2013, 3, 21, 20, 4, tzinfo=UTC)),
        ("c1fb41d452d9ec200000", datetime(2013, 3, 21, 20, 4, 0, 500000, tzinfo=UTC)),
    ],
)
def test_cbor_items(encoded: str, value: Any) -> None:
    assert cbor.decode(bytes.fromhex(encoded)) == value


def test_cbor_times_are_tagged_doubles() -> None:
    result = {"Id": "a", "Timestamps": [MOMENT], "Values": [1]}
    response = codecs.serialize(route("cloudwatch", "GetMetricData"), {"MetricDataResults": [result]}, "id-1")
    assert headers_of(response) == {
        "x-amzn-requestid": "id-1",
        "content-type": "application/cbor",
        "smithy-protocol": "rpc-v2-cbor",
    }
    assert isinstance(response.body, bytes)
    assert b"\xc1\xfb" + struct.pack(">d", 1765977780.123) in response.body
    assert b"\x66Values\x81\xfb\x3f\xf0" in response.body


# Query


def test_query_response() -> None:
    user = {"UserName": "a&b", "CreateDate": MOMENT, "Path": "/", "UserId": "u", "Arn": "arn"}
    response = codecs.serialize(route("iam", "GetUser"), {"User": user}, "id-1")
    assert response == Response(
        200,
        [("x-amzn-RequestId", "id-1"), ("Content-Type", "text/xml")],
        b'<GetUserResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><GetUserResult><User><Path>/</Path>'
        b"<UserName>a&amp;b</UserName><UserId>u</UserId><Arn>arn</Arn><CreateDate>2025-12-17T13:23:00Z</CreateDate>"
        b"</User></GetUserResult><ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></GetUserResponse>",
    )


def test_query_response_without_a_result() -> None:
    assert codecs.serialize(route("iam", "DeleteUser"), {}, "id-1").body == (
        b'<DeleteUserResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">'
        b"<ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></DeleteUserResponse>"
    )


def test_ec2_response() -> None:
    response = codecs.serialize(route("ec2", "DescribeKeyPairs"), {"KeyPairs": [{"CreateTime": MOMENT}]}, "id-1")
    assert response.body == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b'<DescribeKeyPairsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>id-1</requestId>'
        b"<keySet><item><createTime>2025-12-17T13:23:00.000Z</createTime></item></keySet></DescribeKeyPairsResponse>"
    )


def test_old_clients_of_sqs() -> None:
    sent = (
        "Action=SendMessage&Version=2012-11-05&QueueUrl=q&MessageBody=hello+world&MessageAttribute.1.Name=n"
        "&MessageAttribute.1.Value.StringValue=v&MessageAttribute.1.Value.DataType=String"
    )
    assert codecs.parse(route("sqs", "SendMessage", "query"), form(sent)) == {
        "QueueUrl": "q",
        "MessageBody": "hello world",
        "MessageAttributes": {"n": {"StringValue": "v", "DataType": "String"}},
    }
    created = codecs.parse(
        route("sqs", "CreateQueue", "query"), form("QueueName=q&Attribute.1.Name=DelaySeconds&Attribute.1.Value=5")
    )
    assert created == {"QueueName": "q", "Attributes": {"DelaySeconds": "5"}}
    message = {"MessageId": "m", "Body": "<b>", "Attributes": {"SentTimestamp": "1"}}
    response = codecs.serialize(route("sqs", "ReceiveMessage", "query"), {"Messages": [message]}, "id-1")
    assert response.body == (
        b'<ReceiveMessageResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/"><ReceiveMessageResult><Message>'
        b"<MessageId>m</MessageId><Body>&lt;b&gt;</Body><Attribute><Name>SentTimestamp</Name><Value>1</Value>"
        b"</Attribute></Message></ReceiveMessageResult><ResponseMetadata><RequestId>id-1</RequestId>"
        b"</ResponseMetadata></ReceiveMessageResponse>"
    )


def test_query_parameters_may_stand_in_the_url() -> None:
    request = Request("GET", "/", "Action=GetUser&UserName=a%20b&X-Amz-Signature=0", {})
    assert codecs.parse(route("iam", "GetUser"), request) == {"UserName": "a b"}


def test_lists_in_forms_may_be_sparse() -> None:
    parsed = codecs.parse(
        route("cloudwatch", "DescribeAlarms", "query"),
        form("AlarmNames.member.900000000=c&AlarmNames.member.2=a&AlarmNames.member.10=b"),
    )
    assert parsed == {"AlarmNames": ["a", "b", "c"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MaxRecords=x", "STRING_VALUE can not be converted to an Integer"),
        ("MaxRecords=", "STRING_VALUE can not be converted to an Integer"),
        ("MaxRecords=1_0", "STRING_VALUE can not be converted to an Integer"),
        ("MaxRecords=%D9%A1", "STRING_VALUE can not be converted to an Integer"),
        ("MaxRecords=99999999999", "STRING_VALUE can not be converted to an Integer"),
        ("MaxRecords.member.1=5", "Start of structure or map found where not expected."),
        ("AlarmNames.1=a", "Unexpected list element termination"),
        ("AlarmNames.member.x=a", "Unexpected list element termination"),
        ("AlarmNames.member.1000000000000=a", "Unexpected list element termination"),
        ("AlarmNames.member.1.x=a", "Start of structure or map found where not expected."),
        ("NextToken=%FF", "The parameters are not UTF-8"),
        ("NextToken=%00", "The parameters contain a NUL character"),
        (".".join("a" * 200) + "=1", "A parameter's name has too many parts"),
        ("&".join(["a=1"] * 100_001), "The request has too many parameters"),
    ],
)
def test_broken_forms(text: str, message: str) -> None:
    error = refusal(route("cloudwatch", "DescribeAlarms", "query"), form(text))
    assert (error.code, error.message) == ("MalformedInput", message)


# S3


def test_s3_list() -> None:
    output = {
        "Name": "b",
        "Contents": [{"Key": "a\x01\r", "LastModified": MOMENT, "ETag": '"e"'}],
        "IsTruncated": False,
    }
    response = codecs.serialize(route("s3", "ListObjectsV2"), output, "ABC")
    assert response.body == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        b"<IsTruncated>false</IsTruncated><Contents><Key>a&#x1;&#xD;</Key>"
        b"<LastModified>2025-12-17T13:23:00.000Z</LastModified><ETag>&quot;e&quot;</ETag></Contents>"
        b"<Name>b</Name></ListBucketResult>"
    )
    headers = headers_of(response)
    assert headers["x-amz-request-id"] == "ABC"
    assert len(headers["x-amz-id-2"]) == 76
    assert headers["content-type"] == "application/xml"


def test_s3_every_answer_has_its_root() -> None:
    service = models.service("s3")
    roots = set()
    for name in service.operation_names:
        operation = service.operation(name)
        assert operation is not None
        shape = operation.output_shape
        if shape is not None and any("location" not in member.serialization for member in shape.members.values()):
            payload = shape.serialization.get("payload")
            if payload is None or shape.members[payload].type_name == "structure":
                output: dict[str, Any] = {} if payload is None else {payload: {}}
                if not operation.has_event_stream_output:
                    body = codecs.serialize(route("s3", name), output, "ABC").body
                    assert isinstance(body, bytes)
                    roots.add(body.split(b"\n", 1)[1][1:].split(b" ", 1)[0].decode())
    assert {root for root in roots if root.endswith("Output")} <= {
        "ListBucketIntelligentTieringConfigurationsOutput",
        "ListObjectAnnotationsOutput",
        "PutObjectAnnotationOutput",
    }
    assert {"ListAllMyBucketsResult", "CopyObjectResult", "Tagging", "Retention", "LegalHold"} <= roots


@pytest.mark.parametrize(
    ("location", "body"), [("eu-west-1", ">eu-west-1</LocationConstraint>"), (None, "/>"), ("", "/>")]
)
def test_s3_location(location: str | None, body: str) -> None:
    response = codecs.serialize(route("s3", "GetBucketLocation"), {"LocationConstraint": location}, "ABC")
    start = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    )
    assert response.body == (start + body).encode()

    class Raw:
        raw = True
        content = response.body

    parsed: dict[str, Any] = {}
    parse_get_bucket_location(parsed, Raw())
    assert parsed["LocationConstraint"] == (location or None)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/b/k", "k"),
        ("/b/a/b//c/", "a/b//c/"),
        ("/b//k", "/k"),
        ("/b/a%2Fb", "a/b"),
        ("/b/../k", "../k"),
        ("/b/%C3%A4+b", "ä+b"),
        ("/b/%25", "%"),
        ("/b/a%zz", "a%zz"),
    ],
)
def test_s3_keys(path: str, key: str) -> None:
    assert codecs.parse(route("s3", "GetObject"), Request("GET", path, "", {})) == {"Bucket": "b", "Key": key}
    moved = route("s3", "GetObject", path=path)
    assert codecs.parse(moved, Request("GET", path.removeprefix("/b"), "", {}))["Key"] == key


def test_s3_metadata_goes_by_prefix() -> None:
    headers = {"x-amz-meta-name": "caf\u00c3\u00a9", "x-amz-meta-latin": "\u00e9", "x-amz-acl": "private"}
    parsed = codecs.parse(route("s3", "PutObject"), Request("PUT", "/b/k", "", headers, b"x"))
    assert parsed["Metadata"] == {"name": "café", "latin": "é"}
    assert (parsed["ACL"], parsed["Body"]) == ("private", b"x")
    output = {"Metadata": {"name": "café", "plain": "a b"}, "Body": b"x", "LastModified": MOMENT, "ContentLength": 1}
    response = codecs.serialize(route("s3", "GetObject"), output, "ABC")
    headers = headers_of(response)
    assert headers["x-amz-meta-name"] == "=?UTF-8?B?Y2Fmw6k=?="
    assert headers["x-amz-meta-plain"] == "a b"
    assert headers["last-modified"] == "Wed, 17 Dec 2025 13:23:00 GMT"
    assert headers["content-type"] == "binary/octet-stream"


def test_no_value_can_start_another_header() -> None:
    output = {"Metadata": {"a": "x\r\nSet-Cookie: y"}, "CacheControl": "a\nb"}
    response = codecs.serialize(route("s3", "HeadObject"), output, "ABC")
    assert not any("\r" in value or "\n" in value for _, value in response.headers)
    assert response.body == b""


def test_s3_bodies() -> None:
    assert codecs.serialize(route("s3", "DeleteObject"), {}, "ABC") == Response(
        204, codecs.serialize(route("s3", "DeleteBucket"), {}, "ABC").headers
    )
    policy = codecs.serialize(route("s3", "GetBucketPolicy"), {"Policy": "{}"}, "ABC")
    assert (policy.body, headers_of(policy)["content-type"]) == (b"{}", "application/json")
    grant = {"Grantee": {"Type": "CanonicalUser", "ID": "i"}, "Permission": "READ"}
    acl = codecs.serialize(route("s3", "GetBucketAcl"), {"Grants": [grant]}, "ABC")
    assert isinstance(acl.body, bytes)
    assert b'<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">' in acl.body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<",
        b"<a>",
        b"<Wrong/>",
        b"<Delete>\x00</Delete>",
        b"<Delete>\xff</Delete>",
        b'<!DOCTYPE Delete [<!ENTITY a "b">]><Delete><Object><Key>&a;</Key></Object></Delete>',
        b'<!DOCTYPE Delete SYSTEM "file:///etc/passwd"><Delete/>',
        b"<Delete>&nothing;</Delete>",
        b"<Delete>" + b"<a>" * 1000,
        b"<Delete><Quiet>perhaps</Quiet></Delete>",
        b"<Delete><Object><Key><a/></Key></Object></Delete>",
        b"<Delete/><Delete/>",
    ],
)
def test_broken_xml(body: bytes) -> None:
    delete = route("s3", "DeleteObjects")
    request = Request("POST", "/b", "delete", {}, body)
    if not body:
        assert codecs.parse(delete, request) == {"Bucket": "b"}
        return
    error = refusal(delete, request)
    assert error.code == "MalformedXML"
    assert error.message is not None
    assert error.message.startswith("The XML you provided was not well-formed or did not validate")


def test_xml_with_carriage_returns_as_references() -> None:
    body = b'<?xml version="1.0"?><d:Delete xmlns:d="x"><d:Object><d:Key>a&#xD;\r\nb</d:Key></d:Object></d:Delete>'
    parsed = codecs.parse(route("s3", "DeleteObjects"), Request("POST", "/b", "delete", {}, body))
    assert parsed["Delete"] == {"Objects": [{"Key": "a\r\nb"}]}


@pytest.mark.parametrize(
    ("path", "query"), [("/b", "max-keys=x"), ("/b", "max-keys="), ("/b", "prefix=%FF"), ("/b%00", ""), ("/%FF", "")]
)
def test_broken_uris(path: str, query: str) -> None:
    assert refusal(route("s3", "ListObjectsV2"), Request("GET", path, query, {})).code == "InvalidArgument"


# REST-JSON


def test_rest_json() -> None:
    invoke = route("lambda", "Invoke")
    request = Request(
        "POST", "/2015-03-31/functions/a%3Ab/invocations", "Qualifier=1", {"x-amz-log-type": "Tail"}, b"\xff"
    )
    assert codecs.parse(invoke, request) == {
        "FunctionName": "a:b",
        "Qualifier": "1",
        "LogType": "Tail",
        "Payload": b"\xff",
    }
    response = codecs.serialize(invoke, {"StatusCode": 202, "Payload": b"x", "FunctionError": "Unhandled"}, "id-1")
    assert (response.status, response.body) == (202, b"x")
    assert headers_of(response)["x-amz-function-error"] == "Unhandled"
    untag = Request("DELETE", "/tags/arn", "TagKeys=a&TagKeys=b%20c", {})
    assert codecs.parse(route("scheduler", "UntagResource"), untag) == {"ResourceArn": "arn", "TagKeys": ["a", "b c"]}
    empty = codecs.serialize(route("scheduler", "TagResource"), {}, "id-1")
    assert (empty.body, headers_of(empty)["content-type"]) == (b"{}", "application/json")


def test_broken_rest_json() -> None:
    error = refusal(route("scheduler", "CreateSchedule"), Request("POST", "/schedules/a", "", {}, b"{"))
    assert error.code == "SerializationException"


# Event streams


def events_of(name: str, operation: str, output: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    of = route(name, operation)
    response = codecs.serialize(of, output, "id-1")
    assert headers_of(response)["content-type"] == "application/vnd.amazon.eventstream"
    parsed = client.parse(of.operation, response, of.protocol)
    stream = next(
        member for member, shape in of.operation.output_shape.members.items() if shape.serialization.get("eventstream")
    )
    return parsed, list(parsed[stream])


async def each(*events: Any) -> AsyncIterator[Any]:
    for event in events:
        if isinstance(event, Exception):
            raise event
        yield event


def test_events_in_json() -> None:
    start = {"requestId": "r", "sessionId": "s", "logGroupIdentifiers": ["g"]}
    update = {"sessionMetadata": {"sampled": False}, "sessionResults": [{"message": "äö", "timestamp": 5}]}
    _, events = events_of(
        "logs", "StartLiveTail", {"responseStream": each({"sessionStart": start}, {"sessionUpdate": update})}
    )
    assert events == [{"sessionStart": start}, {"sessionUpdate": update}]


def test_events_in_rest_xml() -> None:
    records, stats = {"Payload": b"\x00\xff"}, {"Details": {"BytesScanned": 5}}
    _, events = events_of(
        "s3", "SelectObjectContent", {"Payload": each({"Records": records}, {"Stats": stats}, {"End": {}})}
    )
    assert events == [{"Records": records}, {"Stats": stats}, {"End": {}}]


def test_events_in_rest_json() -> None:
    chunk, complete = {"Payload": b"x"}, {"ErrorCode": "e"}
    parsed, events = events_of(
        "lambda",
        "InvokeWithResponseStream",
        {"StatusCode": 200, "EventStream": each({"PayloadChunk": chunk}, {"InvokeComplete": complete})},
    )
    assert parsed["StatusCode"] == 200
    assert events == [{"PayloadChunk": chunk}, {"InvokeComplete": complete}]


def test_a_stream_that_ends_in_an_error() -> None:
    error = ServiceError("SessionTimeoutException", "Session timed out.")
    response = codecs.serialize(route("logs", "StartLiveTail"), {"responseStream": each(error)}, "id-1")
    assert isinstance(response.body, AsyncIterator)

    async def collect(body: AsyncIterator[bytes]) -> list[bytes]:
        return [message async for message in body]

    messages = asyncio.run(collect(response.body))
    assert len(messages) == 2
    assert b"SessionTimeoutException" in messages[1]
    assert orjson.dumps({"message": "Session timed out."}) in messages[1]


# Noise

CALLS = [
    ("cloudtrail", "LookupEvents", "json", b'{"LookupAttributes":[{"AttributeKey":"EventName"}],"StartTime":1.5}'),
    ("cloudwatch", "PutMetricData", "smithy-rpc-v2-cbor", b"\xa2\x69Namespace\x61a\x6aMetricData\x81\xa1\x65Value\x01"),
    ("cloudwatch", "PutMetricData", "query", b"MetricData.member.1.Values.member.1=5&MetricData.member.1.Timestamp=5"),
    ("ec2", "DescribeInstances", "ec2", b"Filter.1.Name=a&Filter.1.Value.1=b&MaxResults=5&DryRun=true"),
    ("scheduler", "CreateSchedule", "rest-json", b'{"Target":{"Arn":"a"},"StartDate":5,"Description":"\\u00e9"}'),
    ("s3", "DeleteObjects", "rest-xml", b"<Delete><Object><Key>a</Key></Object><Quiet>true</Quiet></Delete>"),
]


@pytest.mark.parametrize(("name", "operation", "protocol", "body"), CALLS)
def test_noise_is_read_or_refused_never_a_fault(name: str, operation: str, protocol: str, body: bytes) -> None:
    of = route(name, operation, protocol)
    path = of.operation.http["requestUri"].replace("{Bucket}", "b").replace("{Name}", "n").partition("?")[0]

    @settings(max_examples=400, deadline=None, derandomize=True, database=None)
    @given(st.integers(0, len(body)), st.integers(0, len(body)), st.binary(max_size=6), st.booleans())
    def check(start: int, end: int, noise: bytes, repeat: bool) -> None:
        made = body[:start] + noise + body[end:] * (3 if repeat else 1)
        headers = {"content-type": "application/x-www-form-urlencoded"}
        status, parsed = 200, {}
        try:
            parsed = codecs.parse(of, Request("POST", path, "", headers, made))
        except ServiceError as error:
            status = error.status or 0
        assert status in (200, 400)
        assert isinstance(parsed, dict)

    check()


# Documents that are small to send and large to hold


@pytest.mark.parametrize(
    ("name", "operation", "protocol", "request_", "message"),
    [
        (
            *("cloudwatch", "PutMetricData", "smithy-rpc-v2-cbor"),
            document(b"\x9f" + b"\x80" * 1_000_001 + b"\xff"),
            "The CBOR has more than 1000000 items",
        ),
        (
            *("cloudwatch", "PutMetricData", "smithy-rpc-v2-cbor"),
            document(b"\x9b\0\0\0\0\0\x0f\xff\xff" + b"\0" * 64),
            "The CBOR has more than 1000000 items",
        ),
        (
            *("cloudwatch", "PutMetricData", "smithy-rpc-v2-cbor"),
            document(b"\x7f" + b"\x60" * 1_000_001 + b"\xff"),
            "The CBOR has more than 1000000 items",
        ),
        (
            *("cloudwatch", "DescribeAlarms", "query"),
            form("&".join(f"{number}{'.a' * 63}=" for number in range(8000))),
            "The request's parameters have too many parts",
        ),
        (
            *("s3", "DeleteObjects", "rest-xml"),
            Request("POST", "/b", "delete", {}, b"<Delete>" + b"<a/>" * 250_000 + b"</Delete>"),
            "The XML has more than 250000 elements",
        ),
        (
            *("s3", "DeleteObjects", "rest-xml"),
            Request("POST", "/b", "delete", {}, b"<Delete>" + b" " * (8 << 20) + b"</Delete>"),
            "The XML is longer than 8388608 bytes",
        ),
    ],
    ids=["list", "length", "string", "form", "elements", "length of XML"],
)
def test_bombs(name: str, operation: str, protocol: str, request_: Request, message: str) -> None:
    assert str(refusal(route(name, operation, protocol), request_).message).endswith(message)


@pytest.mark.parametrize("header", [" " * 30_000 + "x" + " " * 30_000 + '"', '"' + "\\a" * 30_000, '"a' * 20_000])
def test_a_list_in_a_header_is_read_in_one_go(header: str) -> None:
    started = time.process_time()
    request = Request("GET", "/b/k", "attributes", {"x-amz-object-attributes": header})
    codecs.parse(route("s3", "GetObjectAttributes"), request)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("header", "items"),
    [
        ("ETag, ObjectSize ,Checksum", ["ETag", "ObjectSize", "Checksum"]),
        ('"a, b" , "c\\"d",e', ["a, b", 'c"d', "e"]),
        ('"a"b, c', ['"a"b', "c"]),
    ],
)
def test_lists_in_headers(header: str, items: list[str]) -> None:
    request = Request("GET", "/b/k", "attributes", {"x-amz-object-attributes": header})
    assert codecs.parse(route("s3", "GetObjectAttributes"), request)["ObjectAttributes"] == items
