"""Each protocol of AWS's, as its real clients speak it: a well-formed answer, and a record of what was asked."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree

import boto3
import pytest
import trustme
from botocore.config import Config

from skytrail.testing import Server, Skytrail

from ..clients.callers import Credentials, javascript
from .kit import ONCE, answer, client, investigated
from .kit import skytrail as command

ACCOUNT = "123456789012"
REGION = "eu-central-1"
MISSING = (501, "NotImplemented")
NO_QUEUE = (400, "AWS.SimpleQueueService.NonExistentQueue")


def found(server: Server, request_id: str) -> dict[str, Any]:
    (record,) = investigated(server, "--where", f"requestID={request_id}")
    return record


def asked(call: Any, **parameters: Any) -> str:
    """Make a call of an operation that is not there yet; the request id that the client was told."""
    with pytest.raises(call.__self__.exceptions.ClientError) as raised:
        call(**parameters)
    response = raised.value.response
    assert (response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]) == MISSING, response
    assert response["Error"]["Message"].startswith("Skytrail does not implement ")
    request_id: str = response["ResponseMetadata"]["RequestId"]
    return request_id


def speaking(protocol: str, server: Server, service: str) -> Any:
    """A client of a service that has several protocols, made to speak one of them."""
    session = boto3.session.Session()
    model = session._session.get_component("data_loader").load_service_model(service, "service-2")
    model["metadata"] |= {"protocol": protocol, "protocols": [protocol]}
    made = session.client(
        service,
        endpoint_url=server.endpoint,
        region_name=REGION,
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key="any",
        config=ONCE,
    )
    spoken: list[str] = []
    made.meta.events.register("before-send", lambda request, **_: spoken.append(_protocol(request)))
    made.spoken = spoken
    return made


def _protocol(request: Any) -> str:
    kind = (
        request.headers["Content-Type"].decode()
        if isinstance(request.headers["Content-Type"], bytes)
        else (request.headers["Content-Type"])
    )
    return {
        "application/cbor": "smithy-rpc-v2-cbor",
        "application/x-amz-json-1.0": "json",
        "application/x-www-form-urlencoded; charset=utf-8": "query",
    }[kind]


# CloudWatch and SQS: several protocols, one record


@pytest.mark.parametrize("protocol", ["smithy-rpc-v2-cbor", "json", "query"])
def test_cloudwatch_is_recorded_alike_in_every_protocol(
    protocol: str, skytrail: Skytrail, skytrail_server: Server
) -> None:
    cloudwatch = speaking(protocol, skytrail_server, "cloudwatch")
    alarm = {
        "AlarmName": "Überlast",
        "EvaluationPeriods": 2,
        "ComparisonOperator": "GreaterThanThreshold",
        "Threshold": 1.5,
        "ActionsEnabled": False,
        "Dimensions": [{"Name": "Host", "Value": "a b"}],
    }
    request_id = asked(cloudwatch.put_metric_alarm, **alarm)
    assert cloudwatch.spoken == [protocol]
    record = found(skytrail_server, request_id)
    assert (record["eventSource"], record["eventName"]) == ("monitoring.amazonaws.com", "PutMetricAlarm")
    assert (record["recipientAccountId"], record["awsRegion"]) == (ACCOUNT, REGION)
    assert record["requestParameters"] == {
        "alarmName": "Überlast",
        "evaluationPeriods": 2,
        "comparisonOperator": "GreaterThanThreshold",
        "threshold": 1.5,
        "actionsEnabled": False,
        "dimensions": [{"name": "Host", "value": "a b"}],
    }
    assert record["resources"][0]["ARN"] == f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:Überlast"


@pytest.mark.parametrize("protocol", ["json", "query"])
def test_sqs_is_recorded_alike_in_every_protocol(protocol: str, skytrail: Skytrail, skytrail_server: Server) -> None:
    if protocol == "json":
        sqs = speaking(protocol, skytrail_server, "sqs")
        made = sqs.create_queue(QueueName="work", Attributes={"DelaySeconds": "5"}, tags={"team": "a"})
        request_id = made["ResponseMetadata"]["RequestId"]
        assert sqs.spoken == [protocol]
    else:
        request_id = asked_sqs_in_query(
            skytrail.endpoint,
            (200, None),
            **{"Action": "CreateQueue", "QueueName": "work", "Attribute.1.Name": "DelaySeconds"},
            **{"Attribute.1.Value": "5", "Tag.1.Key": "team", "Tag.1.Value": "a"},
        )
    record = found(skytrail_server, request_id)
    assert (record["eventSource"], record["eventName"]) == ("sqs.amazonaws.com", "CreateQueue")
    assert record["requestParameters"] == {
        "queueName": "work",
        "attributes": {"DelaySeconds": "5"},
        "tags": {"team": "a"},
    }


def test_a_queue_named_in_the_form_is_recorded(skytrail: Skytrail, skytrail_server: Server) -> None:
    """As SDKs from before SQS spoke JSON send it: to the queue's address, and with it."""
    queue = f"{skytrail.endpoint}/{ACCOUNT}/work"
    request_id = asked_sqs_in_query(queue, NO_QUEUE, Action="ReceiveMessage", MaxNumberOfMessages="3", QueueUrl=queue)
    record = found(skytrail_server, request_id)
    assert (record["eventName"], record["awsRegion"]) == ("ReceiveMessage", REGION)
    assert record["requestParameters"] == {"queueUrl": queue, "maxNumberOfMessages": 3}


def test_a_queue_named_by_the_address_alone_is_recorded(skytrail: Skytrail, skytrail_server: Server) -> None:
    """As the examples in AWS's documentation are."""
    queue = f"{skytrail.endpoint}/{ACCOUNT}/work"
    request_id = asked_sqs_in_query(queue, NO_QUEUE, Action="ReceiveMessage", MaxNumberOfMessages="3")
    assert found(skytrail_server, request_id)["requestParameters"]["queueUrl"].endswith(f"/{ACCOUNT}/work")


def asked_sqs_in_query(url: str, answer: tuple[int, str | None], **form: str) -> str:
    """The request id of a call by hand, which is answered with this status and code."""
    scope = f"Credential={ACCOUNT}/20260101/{REGION}/sqs/aws4_request, SignedHeaders=host, Signature=0"
    headers = {"content-type": "application/x-www-form-urlencoded", "authorization": f"AWS4-HMAC-SHA256 {scope}"}
    status, answered, body = by_hand(url, "POST", urlencode({**form, "Version": "2012-11-05"}).encode(), headers)
    assert (status, ElementTree.fromstring(body).findtext(".//{*}Code")) == answer, body
    request_id: str = answered["x-amzn-requestid"]
    return request_id


# S3


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name under localhost is this machine, as browsers and most resolvers have it."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return resolve("127.0.0.1" if name and name.endswith(".localhost") else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.usefixtures("names")
@pytest.mark.parametrize("style", ["path", "virtual"])
def test_a_bucket_is_found_in_the_host_or_in_the_path(style: str, skytrail: Skytrail, skytrail_server: Server) -> None:
    place = Skytrail(f"http://s3.localhost:{skytrail_server.port}")
    s3 = place.client("s3", account=ACCOUNT, region=REGION, config=ONCE.merge(Config(s3={"addressing_style": style})))
    hosts: list[str] = []
    s3.meta.events.register("before-send", lambda request, **_: hosts.append(urlsplit(request.url).hostname or ""))
    here = {"CreateBucketConfiguration": {"LocationConstraint": REGION}}
    calls: list[tuple[Any, str, dict[str, Any]]] = [
        (s3.create_bucket, "CreateBucket", here),
        (s3.put_object, "PutObject", {"Key": "a/b c.txt", "Body": b"text"}),
        (s3.get_object, "GetObject", {"Key": "a/b c.txt"}),
        (s3.get_bucket_encryption, "GetBucketEncryption", {}),
        (s3.list_objects_v2, "ListObjects", {"Prefix": "a/"}),
    ]
    for call, name, parameters in calls:
        response = call(Bucket="my-bucket", **parameters)
        if name == "GetObject":
            assert response["Body"].read() == b"text"
        record = found(skytrail_server, response["ResponseMetadata"]["RequestId"])
        assert record["eventName"] == name
        assert record["requestParameters"]["bucketName"] == "my-bucket"
        assert record["requestParameters"].get("key") == parameters.get("Key")
        assert record["additionalEventData"]["AuthenticationMethod"] == "AuthHeader"
    assert set(hosts) == {"s3.localhost" if style == "path" else "my-bucket.s3.localhost"}


def test_a_head_request_is_answered_without_a_body(skytrail: Skytrail, skytrail_server: Server) -> None:
    s3 = client(skytrail_server, "s3")
    assert answer(s3.head_object, Bucket="my-bucket", Key="k") == (404, "404")
    assert answer(s3.head_bucket, Bucket="my-bucket") == (404, "404")
    assert [record["eventName"] for record in investigated(skytrail_server)] == ["HeadBucket", "HeadObject"]


@pytest.mark.parametrize(("operation", "method"), [("get_object", "GET"), ("put_object", "PUT")])
def test_a_presigned_url_of_an_object_works_for_anyone_who_has_it(
    operation: str, method: str, skytrail: Skytrail, skytrail_server: Server
) -> None:
    s3 = client(skytrail_server, "s3", account=ACCOUNT, region=REGION)
    s3.create_bucket(Bucket="my-bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="my-bucket", Key="a/b c.txt", Body=b"as it was")
    url = s3.generate_presigned_url(operation, Params={"Bucket": "my-bucket", "Key": "a/b c.txt"})
    assert "X-Amz-Signature" in url
    status, headers, body = by_hand(url, method, b"text" if method == "PUT" else None)
    assert (status, body) == (200, b"as it was" if method == "GET" else b"")
    standing = s3.get_object(Bucket="my-bucket", Key="a/b c.txt")["Body"].read()
    assert standing == (b"text" if method == "PUT" else b"as it was")
    record = found(skytrail_server, headers["x-amz-request-id"])
    assert record["eventName"] == {"GET": "GetObject", "PUT": "PutObject"}[method]
    assert (record["recipientAccountId"], record["awsRegion"]) == (ACCOUNT, REGION)
    assert record["additionalEventData"]["AuthenticationMethod"] == "QueryString"
    assert record["requestParameters"]["key"] == "a/b c.txt"
    assert "Signature" not in json.dumps(record["requestParameters"])


def test_open_mode_takes_a_presigned_url_of_the_old_kind(skytrail: Skytrail, skytrail_server: Server) -> None:
    s3 = client(skytrail_server, "s3", account=ACCOUNT)
    s3.create_bucket(Bucket="my-bucket")
    s3.put_object(Bucket="my-bucket", Key="k", Body=b"text")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "my-bucket", "Key": "k"})
    assert "AWSAccessKeyId" in url
    status, headers, body = by_hand(url)
    assert (status, body) == (200, b"text")
    record = found(skytrail_server, headers["x-amz-request-id"])
    assert record["recipientAccountId"] == ACCOUNT
    assert record["additionalEventData"]["SignatureVersion"] == "SigV2"


# STS


def test_a_presigned_identity_url_tells_who_signed_it(skytrail: Skytrail, skytrail_server: Server) -> None:
    """As EKS and Vault use it: the bearer of the URL proves who he is."""
    sts = client(skytrail_server, "sts", account=ACCOUNT, region=REGION)
    status, headers, body = by_hand(sts.generate_presigned_url("get_caller_identity", HttpMethod="GET"))
    assert status == 200
    document = ElementTree.fromstring(body)
    assert document.findtext(".//{*}Arn") == f"arn:aws:iam::{ACCOUNT}:root"
    record = found(skytrail_server, headers["x-amzn-requestid"])
    assert (record["eventName"], record["awsRegion"]) == ("GetCallerIdentity", REGION)
    assert record["requestParameters"] is None
    assert (
        by_hand(sts.generate_presigned_url("get_caller_identity", HttpMethod="GET"), accept="application/json")[0]
        == 200
    )


# Data events


def test_data_events_stay_out_of_the_history_and_are_found_by_the_investigator(
    skytrail: Skytrail, skytrail_server: Server
) -> None:
    def of(service: str) -> Any:
        return client(skytrail_server, service, account=ACCOUNT)

    with pytest.raises(of("sqs").exceptions.ClientError, match="queue does not exist"):
        of("sqs").send_message(QueueUrl=f"{skytrail.endpoint}/{ACCOUNT}/work", MessageBody="secret text")
    with pytest.raises(of("s3").exceptions.NoSuchBucket):
        of("s3").get_object(Bucket="my-bucket", Key="k")
    asked(of("dynamodb").put_item, TableName="people", Item={"name": {"S": "secret text"}})
    asked(of("cloudwatch").put_metric_data, Namespace="shop", MetricData=[{"MetricName": "orders", "Value": 1}])
    of("sqs").list_queues()
    names = ["PutMetricData", "PutItem", "GetObject", "SendMessage"]

    events = of("cloudtrail").lookup_events()["Events"]
    assert [event["EventName"] for event in events] == ["ListQueues"]
    for name in names:
        attributes = [{"AttributeKey": "EventName", "AttributeValue": name}]
        assert of("cloudtrail").lookup_events(LookupAttributes=attributes)["Events"] == []

    found = investigated(skytrail_server, "--category", "data")
    assert [record["eventName"] for record in found] == names
    assert {record["managementEvent"] for record in found} == {False}
    assert [record["resources"][0]["type"] for record in found] == [
        "AWS::CloudWatch::Metric",
        "AWS::DynamoDB::Table",
        "AWS::S3::Object",
        "AWS::SQS::Queue",
    ]
    assert "secret text" not in json.dumps(found)


# Another SDK


def test_javascripts_calls_are_answered_and_recorded_alike(skytrail: Skytrail, skytrail_server: Server) -> None:
    queue = f"{skytrail.endpoint}/{ACCOUNT}/work"
    calls: list[dict[str, Any]] = [
        {"service": "cloudwatch", "operation": "DeleteAlarms", "input": {"AlarmNames": ["a", "b"]}},
        {"service": "sqs", "operation": "PurgeQueue", "input": {"QueueUrl": queue}},
        {"service": "s3", "operation": "ListBuckets", "input": {}},
        {"service": "s3", "operation": "PutObject", "input": {"Bucket": "my-bucket", "Key": "k", "Body": "text"}},
        {"service": "s3", "operation": "GetBucketAcl", "input": {"Bucket": "other-bucket"}},
        {"service": "sts", "operation": "GetCallerIdentity", "input": {}},
    ]
    results = javascript(skytrail.endpoint, Credentials(ACCOUNT), calls, REGION)
    assert [result["error"] for result in results] == [
        "NotImplemented", "QueueDoesNotExist", None, "NoSuchBucket", "NoSuchBucket", None,
    ]  # fmt: skip
    assert results[5]["output"]["Account"] == ACCOUNT
    recorded = {record["requestID"]: record for record in investigated(skytrail_server)}
    made = [recorded[result["requestId"]] for result in results]
    assert [record["eventName"] for record in made] == [call["operation"] for call in calls]
    assert made[0]["requestParameters"] == {"alarmNames": ["a", "b"]}
    assert made[1]["requestParameters"] == {"queueUrl": queue}
    assert (made[3]["requestParameters"]["bucketName"], made[3]["requestParameters"]["key"]) == ("my-bucket", "k")
    assert {record["awsRegion"] for record in made} == {REGION}


# Enforced mode: bodies in chunks


@pytest.fixture(scope="module")
def enforced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("enforced")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    pem = str(folder / "server.pem")
    arguments = ["--mode", "enforced", "--tls-certificate", pem, "--tls-key", pem]
    with Server(
        arguments=arguments, data=folder / "data", environment={"SKYTRAIL_SERVER_DRAIN_SECONDS": "0.1"}
    ) as server:
        yield server


@pytest.fixture(scope="module")
def key(enforced: Server) -> dict[str, str]:
    done = command("keys", "create", "--data", str(enforced.data), "--account", ACCOUNT, "--output", "json")
    made: dict[str, str] = json.loads(done.stdout)["AccessKey"]
    return made


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256"])
def test_an_upload_in_chunks_with_a_trailer_is_stored_where_its_signature_holds(
    right: bool, algorithm: str, enforced: Server, key: dict[str, str]
) -> None:
    def signing(secret: str) -> Any:
        pem = str(enforced.data.parent / "authority.pem")
        return client(enforced, "s3", region=REGION, access_key=key["AccessKeyId"], secret_key=secret, verify=pem)

    owner = signing(key["SecretAccessKey"])
    bucket = f"bucket-{algorithm}-{right}".lower()
    owner.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3 = owner if right else signing("wrong")
    sent: list[Any] = []
    s3.meta.events.register("before-send", lambda request, **_: sent.append(request))
    # Beyond a megabyte the body is read as it comes.
    for size in (100_000, 3_000_000):
        status, code = answer(s3.put_object, Bucket=bucket, Key="k", Body=b"x" * size, ChecksumAlgorithm=algorithm)
        assert (status, code) == ((200, "") if right else (403, "SignatureDoesNotMatch"))
        assert sent[-1].headers["X-Amz-Content-SHA256"] == b"STREAMING-UNSIGNED-PAYLOAD-TRAILER"
        if right:
            assert owner.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x" * size
    assert owner.list_objects_v2(Bucket=bucket)["KeyCount"] == int(right)


def test_a_presigned_url_that_was_changed_opens_nothing(enforced: Server, key: dict[str, str]) -> None:
    verify = str(enforced.data.parent / "authority.pem")
    sts = client(enforced, "sts", access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"], verify=verify)
    url = sts.generate_presigned_url("get_caller_identity", HttpMethod="GET")
    assert by_hand(url, authority=verify)[0] == 200
    status, _, body = by_hand(url.replace("X-Amz-Expires=3600", "X-Amz-Expires=36000"), authority=verify)
    assert status == 403
    assert ElementTree.fromstring(body).findtext(".//{*}Code") == "SignatureDoesNotMatch"


def by_hand(
    url: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    *,
    accept: str = "*/*",
    authority: str | None = None,
) -> tuple[int, Any, bytes]:
    """A plain HTTP request, as from a browser or curl: status, headers, body."""
    import ssl

    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if authority:
        context = ssl.create_default_context(cafile=authority)
        connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    try:
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path
        connection.request(method, target, body, {"accept": accept, **(headers or {})})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()
