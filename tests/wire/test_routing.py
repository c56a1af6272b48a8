from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripts import service_index

from skytrail.wire import hosts, models, routing
from skytrail.wire.http import Request
from skytrail.wire.index import index

from .requests_made import SCOPE, request_for, smallest

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent.parent / "cases" / "routing.json").read_text())
#: Two operations of the model at one place: the newer one answers, or x-id decides.
TWINS = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
    "ListDirectoryBuckets": "ListBuckets",
}


def request_of(case: dict[str, Any]) -> Request:
    headers = {"host": "localhost:4566", **case.get("headers", {})}
    if "signed" in case:
        credential = f"AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/{case['signed']}/aws4_request"
        headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"
    if "form" in case:
        headers.setdefault("content-type", "application/x-www-form-urlencoded")
    return Request(case["method"], case["path"], case.get("query", ""), headers, case.get("form", "").encode())


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_case(case: dict[str, Any]) -> None:
    request = request_of(case)
    path = request.path
    for _ in range(2):  # the second time out of the caches
        if "error" in case:
            with pytest.raises(routing.UnknownCall) as caught:
                routing.identify(request)
            error = caught.value
            service = error.service.name if error.service else None
            assert [error.code, error.status, service, error.protocol] == case["error"]
            assert error.message == case.get("message", error.message)
        else:
            route = routing.identify(request)
            assert [route.service.name, route.operation.name, route.protocol] == case["is"]
            assert (route.path or path) == case.get("path_matched", path)
    assert request.path == path


@pytest.mark.parametrize("name", SCOPE)
def test_every_operation_in_scope_is_found_as_botocore_sends_it(name: str) -> None:
    service = models.service(name)
    for protocol in service.protocols:
        if name == "sqs" and protocol == "query":
            continue  # botocore has no Query serialization of it any more
        for operation_name in service.operation_names:
            operation = service.operation(operation_name)
            assert operation is not None
            params = smallest(operation.input_shape)
            route = routing.identify(request_for(operation, params, protocol, index().services[name].signing))
            assert route.service is service
            assert route.operation.name in (operation_name, TWINS.get(operation_name))
            assert route.protocol == protocol
            assert route.operation is service.operation(route.operation.name)


def test_action_is_found_in_a_compressed_form() -> None:
    case = {"method": "POST", "path": "/", "signed": "monitoring"}
    request = request_of(case)
    request.headers = {
        **request.headers,
        "content-type": "application/x-www-form-urlencoded",
        "content-encoding": "gzip",
    }
    request.body = gzip.compress(b"Action=PutMetricData&Version=2010-08-01&Namespace=" + b"x" * 100_000)
    assert routing.identify(request).operation.name == "PutMetricData"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("sns.us-east-1.amazonaws.com", ("sns", "us-east-1", None)),
        ("SNS.US-EAST-1.AMAZONAWS.COM:443", ("sns", "us-east-1", None)),
        ("logs-fips.us-gov-west-1.amazonaws.com", ("logs", "us-gov-west-1", None)),
        ("monitoring.cn-north-1.amazonaws.com.cn", ("monitoring", "cn-north-1", None)),
        ("api.ecr.eu-west-1.amazonaws.com", ("api.ecr", "eu-west-1", None)),
        ("logs.eu-west-1.api.aws", ("logs", "eu-west-1", None)),
        ("sqs.eu-west-1.localhost.localstack.cloud:4566", ("sqs", "eu-west-1", None)),
        ("sts.localhost", ("sts", None, None)),
        ("s3.amazonaws.com", ("s3", None, None)),
        ("b.s3.amazonaws.com", ("s3", None, "b")),
        ("b.c.s3.ap-northeast-1.amazonaws.com", ("s3", "ap-northeast-1", "b.c")),
        ("s3-eu-west-1.amazonaws.com", ("s3", "eu-west-1", None)),
        ("b.s3-accelerate.amazonaws.com", ("s3", None, "b")),
        ("000000000000.s3-control.us-east-1.amazonaws.com", ("000000000000.s3-control", "us-east-1", None)),
        ("localhost", (None, None, None)),
        ("localhost:4566", (None, None, None)),
        ("127.0.0.1:4566", (None, None, None)),
        ("[::1]:4566", (None, None, None)),
        ("[::1]", (None, None, None)),
        ("", (None, None, None)),
        ("audit.example.org", (None, None, None)),
    ],
)
def test_host(host: str, expected: tuple[str | None, str | None, str | None]) -> None:
    read = hosts.read(host)
    assert (read.endpoint, read.region, read.bucket) == expected


def test_region_comes_from_the_scope_then_from_the_host() -> None:
    case = {"method": "GET", "path": "/", "signed": "s3", "headers": {"host": "s3.eu-west-1.amazonaws.com"}}
    assert routing.region_of(request_of(case)) == "us-east-1"
    del case["signed"]
    assert routing.region_of(request_of(case)) == "eu-west-1"
    case["headers"] = {}
    assert routing.region_of(request_of(case)) is None


@pytest.mark.parametrize(
    ("authorization", "query", "expected"),
    [
        (
            "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/logs/aws4_request,SignedHeaders=host,Signature=0",
            "",
            routing.Scope("AKIA", "20260101", "eu-west-1", "logs"),
        ),
        (
            "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=0, Credential=a/b/20260101/eu-west-1/logs/aws4_request",
            "",
            routing.Scope("a/b", "20260101", "eu-west-1", "logs"),
        ),
        (
            "AWS4-ECDSA-P256-SHA256 Credential=AKIA/20260101/s3/aws4_request, SignedHeaders=host, Signature=0",
            "",
            routing.Scope("AKIA", "20260101", None, "s3"),
        ),
        (
            "",
            "a=1&X-Amz-Credential=AKIA%2F20260101%2Feu-west-1%2Fs3%2Faws4_request&b=2",
            routing.Scope("AKIA", "20260101", "eu-west-1", "s3"),
        ),
        ("", "NotX-Amz-Credential=AKIA%2F20260101%2Feu-west-1%2Fs3%2Faws4_request", None),
        ("AWS AKIA:signature", "", routing.Scope("AKIA", "", None, "s3")),
        ("Bearer Credential=a/b/c/d/e", "", None),
        ("AWS4-HMAC-SHA256 Credential=AKIA", "", None),
        ("", "", None),
    ],
)
def test_scope(authorization: str, query: str, expected: routing.Scope | None) -> None:
    headers = {"authorization": authorization} if authorization else {}
    assert routing.scope_of(Request("GET", "/", query, headers)) == expected


TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "X"]),
    path=TEXT.map("/".__add__) | st.sampled_from(["", "/", "//", "*", "/service/x/operation/", "http://x/y"]),
    query=TEXT,
    headers=st.dictionaries(
        st.sampled_from(["host", "authorization", "x-amz-target", "smithy-protocol", "content-type", "x-amz-date"]),
        TEXT
        | st.sampled_from(
            [
                "rpc-v2-cbor",
                "application/x-www-form-urlencoded",
                "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request",
                "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/lambda/aws4_request",
                "b.s3.amazonaws.com",
            ]
        ),
    ),
    body=st.binary(max_size=40) | TEXT.map(lambda text: b"Action=" + text.encode()),
)
def test_whatever_comes_is_a_route_or_an_unknown_call(
    method: str, path: str, query: str, headers: dict[str, str], body: bytes
) -> None:
    with suppress(routing.UnknownCall):
        route = routing.identify(Request(method, path, query, headers, body))
        assert route.operation.name in route.service.operation_names


def test_the_caches_hold_only_what_the_models_know() -> None:
    for number in range(100):
        for headers in ({"x-amz-target": f"Logs_20140328.Nope{number}"}, {"smithy-protocol": "rpc-v2-cbor"}):
            path = f"/{number}/service/GraniteServiceVersion20100801/operation/ListMetrics"
            try:
                routing.identify(Request("POST", path, "", headers))
            except routing.UnknownCall:
                assert "x-amz-target" in headers
    assert not [target for target in routing._TARGETS if "Nope" in target]
    assert all(path.startswith("/service/") for path in routing._CBOR_PATHS)


def test_the_index_is_botocores() -> None:
    assert service_index.DESTINATION.read_bytes() == service_index.render(), "run scripts/service_index.py"


def test_the_first_call_loads_one_model() -> None:
    program = (
        "import sys; from skytrail.wire import routing, models; from skytrail.wire.http import Request;"
        "routing.identify(Request('POST', '/', '', {'x-amz-target': 'Logs_20140328.PutLogEvents'}));"
        "print(models.service.cache_info().currsize)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


@pytest.mark.parametrize(
    "path", ["/2015-03-31/functions/..", "/2015-03-31/./functions/a", "/a/../2015-03-31/functions/a"]
)
def test_a_path_that_is_signed_as_another_is_none(path: str) -> None:
    with pytest.raises(routing.UnknownCall) as caught:
        routing.identify(request_of({"method": "GET", "path": path, "signed": "lambda"}))
    assert (caught.value.code, caught.value.status) == ("UnknownOperationException", 404)
    # An object's key may be anything, and is signed as it is sent.
    key = routing.identify(request_of({"method": "GET", "path": f"/bucket{path}", "signed": "s3"}))
    assert key.operation.name == "GetObject"


def test_a_host_that_no_dns_has_costs_nothing() -> None:
    started = time.process_time()
    for number in range(100):
        request = Request("GET", "/", "", {"host": f"{number}" + ".a" * 30_000 + ".localhost"})
        with pytest.raises(routing.UnknownCall):
            routing.identify(request)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("GET", "/public/a/b.html", "GetObject"),
        ("HEAD", "/public/a", "HeadObject"),
        ("GET", "/public/2015-03-31/a", "GetObject"),
        ("GET", "/favicon.ico", None),
        ("GET", "/public/", None),
        ("GET", "/2015-03-31/functions", None),
        ("GET", "/v2/apis", None),
        ("PUT", "/public/a", None),
        ("GET", "/Public/a", None),
    ],
)
def test_an_object_needs_no_more_than_its_address(method: str, path: str, operation: str | None) -> None:
    request = Request(method, path, "", {"host": "127.0.0.1:4566", "user-agent": "curl/8.5.0", "accept": "*/*"})
    if operation is None:
        with pytest.raises(routing.UnknownCall):
            routing.identify(request)
    else:
        route = routing.identify(request)
        assert (route.service.name, route.operation.name) == ("s3", operation)
