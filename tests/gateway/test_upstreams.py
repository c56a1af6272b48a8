"""Upstreams: what goes out, what comes back, what goes wrong, and what the record says of it."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from skytrail.call import Source
from skytrail.errors import ServiceError
from skytrail.wire import chunked, sigv4
from skytrail.wire.http import Request, Response

from .upstreams_house import (
    ACCOUNT,
    Asked,
    House,
    closed_port,
    hangs,
    http,
    request,
    resets,
    says,
    streamed,
    upstream,
    whole,
)

TABLE = {"TableName": "t", "Key": {"k": {"S": "a"}}}
READ = ("dynamodb", "GetItem", TABLE)
WRITE = ("dynamodb", "DeleteTable", {"TableName": "t"})
CASES = Path(__file__).parents[1] / "cases" / "upstreams"
ERRORS = json.loads((CASES / "errors.json").read_text("utf-8"))
KEYS = "http://AKIDUPSTREAM:s%2Fcret@127.0.0.1"


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def error(body: bytes) -> dict[str, str]:
    told: dict[str, str] = json.loads(body)
    return {"code": told["__type"].rpartition("#")[2], "message": told["message"]}


# What goes out


def test_a_request_goes_on_as_it_came(house: House) -> None:
    async def main() -> None:
        async with upstream(says(http("200 OK", "{}"))) as there, house.open(f"dynamodb={there.url}/base/"):
            sent = request(*READ, connection="keep-alive, x-hop", x_hop="1", te="trailers", accept_encoding="gzip")
            sent.body = packed = gzip.compress(sent.body)
            sent.headers = {**sent.headers, "content-encoding": "gzip"}
            response, _ = await house.ask(sent)
            assert response.status == 200
            (asked,) = there.asked
            assert (asked.method, asked.target, asked.body) == ("POST", "/base/", packed)
            there.asked[0].headers.pop("content-length")
            expected = {
                name: value for name, value in sent.headers.items() if name not in ("connection", "x-hop", "te")
            }
            assert asked.headers == expected
            assert house.record["requestParameters"] == {"tableName": "t", "key": {"k": {"s": "a"}}}

    house.run(main())


@pytest.mark.parametrize(
    "target",
    ["/b/a/../%2e%2e/b%2F//c%20d?x-id=GetObject", "/b/%E4%BD%A0?versionId=a%2Bb+c", "/b/k?response-content-type=a%3Bb"],
)
@pytest.mark.parametrize("signed", [False, True])
def test_a_path_and_a_query_go_on_byte_for_byte(target: str, signed: bool, house: House) -> None:
    async def main() -> None:
        async with upstream(says(http("200 OK", "data"))) as there:
            url = f"{KEYS}:{there.port}" if signed else there.url
            async with house.open(f"s3={url}"):
                path, _, query = target.partition("?")
                made = request("s3", "GetObject", {"Bucket": "b", "Key": "k"})
                made.path, made.query = path, query
                response, body = await house.ask(made)
                assert (response.status, body, there.asked[0].target) == (200, b"data", target)
                if signed:
                    proved(there.asked[0], "s3")

    house.run(main())


def proved(asked: Asked, service: str) -> sigv4.Signature:
    """The upstream's own check of the signature."""
    signature = sigv4.read(asked.request, service)
    assert signature is not None
    assert signature.access_key == "AKIDUPSTREAM"
    sigv4.verify(signature, asked.request, "s/cret")
    return signature


def test_with_credentials_a_request_is_signed_anew(house: House) -> None:
    async def main() -> None:
        async with upstream(says(http("200 OK", "{}"))) as there, house.open(f"dynamodb={KEYS}:{there.port}"):
            await house.ask(request(*READ, x_amz_security_token="the client's own"))
            (asked,) = there.asked
            signature = proved(asked, "dynamodb")
            assert (signature.region, signature.service) == ("eu-west-1", "dynamodb")
            assert asked.headers["host"] == f"127.0.0.1:{there.port}"
            assert "x-amz-security-token" not in asked.headers

    house.run(main())


def test_credentials_of_the_settings_hold_for_all_targets(house: House) -> None:
    async def main() -> None:
        keys = {"access_key": "AKIDUPSTREAM", "secret_key": "s/cret", "session_token": "token"}
        async with upstream(says(http("200 OK", "{}"))) as there, house.open(f"*={there.url}", **keys):
            await house.ask(request(*READ))
            assert proved(there.asked[0], "dynamodb").session_token == "token"

    house.run(main())


def test_a_presigned_request_is_signed_by_its_header(house: House) -> None:
    async def main() -> None:
        async with upstream(says(http("200 OK", "data"))) as there, house.open(f"s3={KEYS}:{there.port}"):
            query = (
                "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20260101%2Feu-west-1%2Fs3%2Faws4_request"
                "&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=0"
                "&response-content-type=a&versionId=1"
            )
            await house.ask(Request("GET", "/b/k", query, {"host": "localhost:4566"}))
            assert there.asked[0].target == "/b/k?response-content-type=a&versionId=1"
            proved(there.asked[0], "s3")

    house.run(main())


def test_a_bucket_in_the_host_stands_in_the_path_where_it_is_signed_anew(house: House) -> None:
    async def main() -> None:
        async with upstream(says(http("200 OK", "data"))) as there, house.open(f"s3={KEYS}:{there.port}"):
            made = request("s3", "GetObject", {"Bucket": "b", "Key": "k"})
            made.path, made.headers = "/k", {**made.headers, "host": "b.s3.localhost:4566"}
            await house.ask(made)
            assert there.asked[0].target == "/b/k"
            proved(there.asked[0], "s3")
            assert house.record["requestParameters"]["bucketName"] == "b"

    house.run(main())


CHUNKED = b"5;\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n".replace(b";", b"")
TRAILER = {
    "x-amz-content-sha256": sigv4.STREAMING_UNSIGNED_TRAILER,
    "x-amz-decoded-content-length": "5",
    "x-amz-trailer": "x-amz-checksum-crc32",
    "content-encoding": "aws-chunked,br",
}


def put(body: bytes, headers: dict[str, str]) -> Request:
    made = request("s3", "PutObject", {"Bucket": "b", "Key": "k"})
    made.headers, made.body = {**made.headers, **headers}, body
    return made


@pytest.mark.parametrize("large", [False, True])
def test_chunks_go_on_as_they_came(large: bool, house: House) -> None:
    async def main() -> None:
        async with upstream(says(http("200 OK", "", 'etag: "x"'))) as there, house.open(f"s3={there.url}"):
            made = put(CHUNKED, TRAILER)
            await house.ask(streamed(made, CHUNKED[:7], CHUNKED[7:20], CHUNKED[20:]) if large else made)
            (asked,) = there.asked
            assert asked.body == CHUNKED
            assert {name: asked.headers[name] for name in TRAILER} == TRAILER

    house.run(main())


@pytest.mark.parametrize("large", [False, True])
def test_chunks_are_signed_anew_with_what_they_hold(large: bool, house: House) -> None:
    async def main() -> None:
        async with upstream(says(http("200 OK", "", 'etag: "x"'))) as there, house.open(f"s3={KEYS}:{there.port}"):
            made = put(CHUNKED, TRAILER)
            await house.ask(streamed(made, CHUNKED[:7], CHUNKED[7:20], CHUNKED[20:]) if large else made)
            (asked,) = there.asked
            if large:
                kind = asked.headers["x-amz-content-sha256"]
                data, trailers = chunked.decode(asked.body, kind, signing=None, decoded_length=5)
                assert (data, trailers) == (b"hello", {"x-amz-checksum-crc32": "NhCmhg=="})
                assert asked.headers["content-encoding"] == "aws-chunked,br"
            else:
                assert (asked.body, asked.headers["x-amz-checksum-crc32"]) == (b"hello", "NhCmhg==")
                assert "x-amz-trailer" not in asked.headers
                assert asked.headers["content-encoding"] == "br"
            signature = sigv4.read(asked.request, "s3")
            assert signature is not None
            sigv4.verify(signature, asked.request, "s/cret")

    house.run(main())


def test_a_large_body_that_was_changed_never_arrives_whole(house: House) -> None:
    async def main() -> None:
        bad = CHUNKED.replace(b"NhCmhg==", b"NhCmhg==\r\nx-amz-checksum-sha1:x")
        async with upstream(says(http("200 OK"))) as there, house.open(f"s3={there.url}"):
            made = streamed(put(b"", TRAILER), bad[:7], bad[7:20], bad[20:])
            response, body = await house.ask(made)
            assert (response.status, b"MalformedTrailerError" in body) == (400, True)
            assert there.asked == []
            assert house.record["errorCode"] == "MalformedTrailerError"

    house.run(main())


def test_our_own_services_calls_are_written_and_signed(house: House) -> None:
    async def main() -> None:
        answer = http("200 OK", '{"QueueUrl": "http://q"}', "x-amzn-requestid: up-1")
        async with upstream(says(answer)) as there, house.open(f"sqs={KEYS}:{there.port}"):
            made = await house.internal.call(
                "sqs",
                "CreateQueue",
                {"QueueName": "q"},
                principal="sns.amazonaws.com",
                account=ACCOUNT,
                region="eu-west-1",
            )
            assert made == {"QueueUrl": "http://q"}
            (asked,) = there.asked
            assert json.loads(asked.body) == {"QueueName": "q"}
            assert asked.headers["x-amz-target"] == "AmazonSQS.CreateQueue"
            proved(asked, "sqs")
            record = house.record
            assert (record["eventName"], record["requestID"]) == ("CreateQueue", "up-1")
            assert record["userIdentity"] == {"type": "AWSService", "invokedBy": "sns.amazonaws.com"}

    house.run(main())


def test_our_own_services_meet_the_upstreams_errors_by_their_shapes(house: House) -> None:
    async def main() -> None:
        refused = http("400 Bad Request", '{"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no such"}')
        async with upstream(says(refused)) as there, house.open(f"sqs={there.url}"):
            with pytest.raises(ServiceError) as raised:
                await house.internal.call(
                    "sqs",
                    "SendMessage",
                    {"QueueUrl": "http://q", "MessageBody": "m"},
                    principal="sns.amazonaws.com",
                    account="123456789012",
                    region="eu-west-1",
                )
            assert (raised.value.code, raised.value.message) == ("QueueDoesNotExist", "no such")
            # Without credentials the account stands for a key, as emulators take it.
            assert "Credential=123456789012/" in there.asked[0].headers["authorization"]

    house.run(main())


@pytest.mark.parametrize("body", ["<ETag>", "stream"])
def test_our_own_services_put_and_get_objects(body: str, house: House) -> None:
    async def main() -> None:
        async def behave(asked: Asked, _: Any, writer: asyncio.StreamWriter) -> None:
            writer.write(http("200 OK", b"x" * 3_000_000 if asked.method == "GET" else b"", 'etag: "e"'))

        async with upstream(behave) as there, house.open(f"s3={there.url}"):
            as_s3: dict[str, Any] = {"principal": "cloudtrail.amazonaws.com", "account": ACCOUNT, "region": "eu-west-1"}
            data: Any = b"data"
            if body == "stream":
                data = streamed(put(b"", {}), b"da", b"ta").stream
            made = await house.internal.call("s3", "PutObject", {"Bucket": "b", "Key": "a/b c", "Body": data}, **as_s3)
            assert made["ETag"] == '"e"'
            (asked,) = there.asked
            assert (asked.method, asked.target, asked.body) == ("PUT", "/b/a/b%20c", b"data")
            assert house.record["additionalEventData"]["bytesTransferredIn"] == 4
            found = await house.internal.call("s3", "GetObject", {"Bucket": "b", "Key": "k"}, **as_s3)
            assert await whole(Response(200, [], found["Body"])) == b"x" * 3_000_000

    house.run(main())


# What comes back


def test_an_answer_comes_back_as_it_came(house: House) -> None:
    async def main() -> None:
        body = gzip.compress(b'{"Item": {"k": {"S": "a"}}}')
        answer = http(
            "200 OK",
            body,
            "content-encoding: gzip",
            "X-Amzn-RequestId: up-7",
            "x-own: a",
            "x-own: b",
            "set-cookie: c=1",
        )
        async with upstream(says(answer)) as there, house.open(f"dynamodb={there.url}"):
            response, got = await house.ask(request(*READ))
            assert (response.status, got) == (200, body)
            names = [name for name, _ in response.headers]
            assert names == ["content-length", "content-encoding", "X-Amzn-RequestId", "x-own", "x-own", "set-cookie"]
            record = house.record
            assert (record["requestID"], record["readOnly"]) == ("up-7", True)
            assert record["resources"][0]["ARN"] == f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/t"
            assert "errorCode" not in record

    house.run(main())


@pytest.mark.parametrize("encoding", ["gzip", "aws-chunked,gzip", "br", "gzip, br"])
def test_a_head_of_an_encoded_object_has_no_body(encoding: str, house: House) -> None:
    """A trail's files are such objects; clients ask for their heads before they fetch them."""

    async def main() -> None:
        answer = http("200 OK", "", f"content-encoding: {encoding}", 'etag: "a"', length=90)
        async with upstream(says(answer)) as there, house.open(f"s3={there.url}"):
            response, _ = await house.ask(request("s3", "HeadObject", {"Bucket": "b", "Key": "k.json.gz"}))
            assert response.status == 200
            assert ("content-encoding", encoding) in response.headers
            assert "errorCode" not in house.record

    house.run(main())


def test_a_page_is_told_only_by_this_house_what_it_may_read(house: House) -> None:
    async def main() -> None:
        answer = http("200 OK", "{}", "access-control-allow-origin: *")
        async with upstream(says(answer)) as there, house.open(f"dynamodb={there.url}"):
            response, _ = await house.ask(request(*READ, origin="http://localhost:1"))
            assert [name for name, _ in response.headers] == ["content-length"]

    house.run(main())


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: f"{case['operation']}-{case['recorded']}")
def test_an_upstreams_error_comes_back_as_it_came_and_is_recorded(case: dict[str, Any], house: House) -> None:
    async def main() -> None:
        body = case.get("body", "")
        answer = http(case["status"], body, *case.get("headers", ()), length=case.get("length"))
        async with upstream(says(answer)) as there, house.open(f"{case['service']}={there.url}"):
            asked = request(case["service"], case["operation"], case.get("parameters", {}))
            response, got = await house.ask(asked)
            assert (response.status, got) == (int(case["status"].split()[0]), body.encode())
            record = house.record
            assert (record["errorCode"], record["responseElements"]) == (case["recorded"], None)
            assert record.get("errorMessage") == case.get("message")
            assert len(there.asked) == 1

    house.run(main())


def test_no_secret_of_an_answer_or_an_error_is_recorded(house: House) -> None:
    async def main() -> None:
        secret = "correct horse battery"
        parameters = {"SecretId": "s", "SecretString": secret}
        refused = http(
            "400 Bad Request", json.dumps({"__type": "InvalidRequestException", "message": f"bad {secret}!"})
        )
        async with upstream(says(refused)) as there, house.open(f"secretsmanager={there.url}"):
            _, body = await house.ask(request("secretsmanager", "PutSecretValue", parameters))
            assert secret.encode() in body
            record = house.record
            assert record["errorMessage"] == "bad HIDDEN_DUE_TO_SECURITY_REASONS!"
            assert secret not in json.dumps(record)

    house.run(main())


# What goes wrong


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (http("200 OK", "<html><body>Welcome</body></html>"), "not JSON"),
        (http("200 OK", '{"Item": {"k": {"S": "a"'), "not JSON"),
        (http("200 OK", "17"), "not a JSON object"),
        (http("200 OK", ""), "not JSON"),
        (http("200 OK", b"\x1f\x8bnope", "content-encoding: gzip"), "gzip"),
        (http("200 OK", '{"Item": {}}', length=100), "ended too early"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{}", "ended too early"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "not HTTP"),
        (b"", "closed the connection"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "closed the connection"),
    ],
)
def test_rubbish_is_a_clear_error_and_recorded(answer: bytes, reason: str, house: House) -> None:
    async def main() -> None:
        async with upstream(says(answer)) as there, house.open(f"dynamodb={there.url}"):
            response, body = await house.ask(request(*WRITE))
            told = error(body)
            assert (response.status, told["code"]) == (502, "BadGateway")
            assert reason in told["message"], told
            assert told["message"].endswith("Whether the call was carried out is not known.")
            assert str(there.url) in told["message"]
            record = house.record
            assert (record["errorCode"], record["errorMessage"]) == ("BadGateway", told["message"])
            assert record["requestParameters"] == {"tableName": "t"}
            assert len(there.asked) == 1, "a write is sent once"
            assert house.intents == 0

    house.run(main())


@pytest.mark.parametrize(
    ("service", "operation", "body"),
    [
        ("ec2", "DescribeVpcs", "<!DOCTYPE html><html><body/></html>"),
        ("ec2", "DescribeVpcs", ""),
        ("rds", "DescribeDBInstances", "<DescribeDBInstancesResponse><x>"),
        ("route53", "ListHostedZones", "<html/>"),
        ("batch", "DescribeJobQueues", "[1"),
    ],
)
def test_rubbish_in_other_protocols(service: str, operation: str, body: str, house: House) -> None:
    async def main() -> None:
        async with upstream(says(http("200 OK", body))) as there, house.open(f"*={there.url}"):
            response, _ = await house.ask(request(service, operation, {}))
            assert response.status == 502
            assert house.record["errorCode"].endswith("BadGateway")

    house.run(main())


def test_an_upstream_that_hangs_is_a_timeout(house: House) -> None:
    async def main() -> None:
        async with upstream(hangs) as there, house.open(f"dynamodb={there.url}", seconds=1.5):
            for asked, suffix in ((READ, "1.5 seconds."), (WRITE, "is not known.")):
                response, body = await house.ask(request(*asked))
                told = error(body)
                assert (response.status, told["code"]) == (504, "GatewayTimeout")
                assert told["message"].endswith(suffix)
                assert house.records()[-1]["errorCode"] == "GatewayTimeout"
            assert len(there.asked) == 2

    house.run(main())


def test_an_upstream_that_hangs_in_its_answer_is_a_timeout(house: House) -> None:
    async def main() -> None:
        half = says(http("200 OK", '{"Item"', length=50), then_close=False)

        async def behave(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await half(asked, reader, writer)
            await hangs(asked, reader, writer)

        async with upstream(behave) as there, house.open(f"dynamodb={there.url}", seconds=1.5):
            response, _ = await house.ask(request(*READ))
            assert (response.status, house.record["errorCode"]) == (504, "GatewayTimeout")

    house.run(main())


def test_a_reset_is_tried_again_only_where_it_is_a_read(house: House) -> None:
    async def main() -> None:
        async with upstream(resets) as there, house.open(f"dynamodb={there.url}"):
            for asked, times in ((READ, 2), (WRITE, 1)):
                there.asked.clear()
                response, body = await house.ask(request(*asked))
                assert (response.status, error(body)["code"]) == (502, "BadGateway")
                assert len(there.asked) == times

    house.run(main())


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_what_http_calls_idempotent_is_sent_once_too(method: str, house: House) -> None:
    async def main() -> None:
        async with upstream(resets) as there, house.open(f"s3={there.url}"):
            operation = "PutObject" if method == "PUT" else "DeleteObject"
            response, _ = await house.ask(request("s3", operation, {"Bucket": "b", "Key": "k"}))
            assert (response.status, len(there.asked)) == (502, 1)

    house.run(main())


def test_an_upstream_that_is_not_there(house: House) -> None:
    async def main() -> None:
        port = await closed_port()
        async with house.open(f"dynamodb=http://127.0.0.1:{port}", "s3=http://nowhere.invalid:1"):
            response, body = await house.ask(request(*WRITE))
            assert (response.status, error(body)["code"]) == (502, "BadGateway")
            assert (
                error(body)["message"] == f"The upstream http://127.0.0.1:{port} cannot be reached: Connection refused."
            )
            response, body = await house.ask(request("s3", "ListBuckets", {}))
            assert response.status == 502
            assert b"http://nowhere.invalid:1 cannot be reached" in body

    house.run(main())


def test_more_calls_than_there_is_room_for_are_turned_away(house: House) -> None:
    async def main() -> None:
        large, object_ = http("200 OK", b"x" * 3_000_000), {"Bucket": "b", "Key": "k"}
        bounds: dict[str, Any] = {"seconds": 0.2, "connections": 1}
        async with upstream(says(large)) as there, house.open(f"*={there.url}", f"s3={there.url}", **bounds):
            held = await house.pipeline.answer(request("s3", "GetObject", object_), Source("192.0.2.7"))
            response, body = await house.ask(request(*READ))
            assert (response.status, error(body)["code"]) == (503, "SlowDown")
            assert len(there.asked) == 1
            await whole(held)

    house.run(main())


def test_an_idle_connection_serves_again(house: House) -> None:
    async def main() -> None:
        opened: list[int] = []

        async def behave(_: Asked, __: Any, writer: asyncio.StreamWriter) -> None:
            opened.append(writer.get_extra_info("peername")[1])
            writer.write(http("200 OK", "{}"))

        async with upstream(behave) as there, house.open(f"dynamodb={there.url}"):
            for _ in range(3):
                await house.ask(request(*READ))
            assert len(opened) == 3
            assert len(set(opened)) == 1

    house.run(main())
