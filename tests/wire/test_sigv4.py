"""Signatures: AWS's published vectors, botocore as the oracle, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skytrail.errors import ServiceError
from skytrail.wire import sigv4
from skytrail.wire.canonical import canonical_path
from skytrail.wire.http import Request

from .signing import ACCESS_KEY, SECRET, signed

WHEN = datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC)
VECTORS = json.loads((Path(__file__).parent.parent / "cases" / "sigv4.json").read_text())
MALFORMED = json.loads((Path(__file__).parent.parent / "cases" / "sigv4_malformed.json").read_text())

generated = settings(deadline=None, derandomize=True, max_examples=150, suppress_health_check=[HealthCheck.too_slow])


def read(request: Request, service: str = "") -> sigv4.Signature:
    signature = sigv4.read(request, service)
    assert signature is not None
    return signature


def check(request: Request, service: str = "", secret: str = SECRET) -> None:
    sigv4.verify(read(request, service), request, secret)


def refused(request: Request, service: str = "", secret: str = SECRET) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        check(request, service, secret)
    return caught.value


@pytest.mark.parametrize("case", VECTORS, ids=[case["name"] for case in VECTORS])
def test_aws_published_vectors(case: dict[str, Any]) -> None:
    scope = f"{case['date'][:8]}/{case['region']}/{case['service']}/aws4_request"
    headers = {
        **case["headers"],
        "authorization": f"AWS4-HMAC-SHA256 Credential={case['access_key']}/{scope}, "
        f"SignedHeaders={';'.join(case['signed'])}, Signature={case['signature']}",
    }
    request = Request(case["method"], case["path"], case["query"], headers, case["body"].encode())
    check(request, case["service"], case["secret"])
    assert refused(request, case["service"], "another secret").code == "SignatureDoesNotMatch"


def test_the_presigned_example_of_s3() -> None:
    query = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    request = Request("GET", "/test.txt", query, {"host": "examplebucket.s3.amazonaws.com"})
    check(request, "s3")
    signature = read(request, "s3")
    assert (signature.presigned, signature.expires, signature.timestamp) == (True, 86400, 1369353600.0)
    assert (signature.access_key, signature.region, signature.service) == (ACCESS_KEY, "us-east-1", "s3")


# Against botocore

names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=8)
paths = st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8), max_size=4).map(
    lambda parts: "/" + "/".join(quote(part, safe="~") for part in parts)
)
header_values = st.text("abc XYZ\t019,;:/", max_size=20).map(str.strip)
headers = st.dictionaries(st.sampled_from(["x-amz-target", "x-amz-meta-a", "Content-Type", "X-Custom"]), header_values)
parameters = st.dictionaries(
    names, st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=8), max_size=4
)
hosts = st.sampled_from(["http://localhost:4566", "http://127.0.0.1", "https://monitoring.eu-west-1.amazonaws.com"])


@generated
@given(
    st.sampled_from(["cloudtrail", "s3", "logs"]),
    hosts,
    paths,
    parameters,
    headers,
    st.binary(max_size=50),
    st.booleans(),
)
def test_what_botocore_signs_is_accepted(
    service: str, host: str, path: str, query: dict[str, str], extra: dict[str, str], body: bytes, with_token: bool
) -> None:
    request = signed(
        WHEN,
        service=service,
        url=host + path,
        params=query,
        headers=extra,
        body=body,
        token="session/token+==" if with_token else None,
    )
    check(request, service)
    signature = read(request, service)
    assert signature.timestamp == WHEN.timestamp()
    assert (signature.region, signature.service, signature.presigned) == ("eu-west-1", service, False)
    assert signature.session_token == ("session/token+==" if with_token else None)
    assert refused(request, service, SECRET + "x").code == "SignatureDoesNotMatch"


@generated
@given(st.sampled_from(["sts", "s3"]), paths, parameters, st.integers(1, 604800), st.booleans())
def test_what_botocore_presigns_is_accepted(
    service: str, path: str, query: dict[str, str], expires: int, with_token: bool
) -> None:
    token = "session/token+==" if with_token else None
    request = signed(
        WHEN,
        service=service,
        method="GET",
        url=f"http://localhost:4566{path}",
        params=query,
        expires=expires,
        token=token,
    )
    check(request, service)
    signature = read(request, service)
    assert (signature.expires, signature.presigned, signature.session_token) == (expires, True, token)


changes: list[Callable[[Request], Request]] = [
    lambda request: replace(request, method="GET"),
    lambda request: replace(request, path=request.path + "x"),
    lambda request: replace(request, query="a=1"),
    lambda request: replace(request, body=request.body + b" "),
    lambda request: replace(request, headers={**request.headers, "x-amz-target": "Other"}),
    lambda request: replace(request, headers={**request.headers, "host": "elsewhere"}),
    lambda request: replace(request, headers={**request.headers, "x-amz-date": "20240229T235959Z"}),
    lambda request: replace(request, headers={**request.headers, "x-amz-new": "unsigned"}),
]


@pytest.mark.parametrize("change", range(len(changes)))
@pytest.mark.parametrize("service", ["cloudtrail", "s3"])
def test_nothing_that_is_signed_can_be_changed(service: str, change: int) -> None:
    request = signed(WHEN, service=service, headers={"x-amz-target": "T"}, body=b"body", url="http://h/path")
    check(request, service)
    changed = changes[change](request)
    assert refused(changed, service).code in ("SignatureDoesNotMatch", "XAmzContentSHA256Mismatch", "AccessDenied")


def test_a_repeated_query_key_and_its_order() -> None:
    request = signed(WHEN, method="GET", url="http://h/?b=2&a=3&a=1&a")
    check(replace(request, query="a&a=1&b=2&a=3"))
    assert refused(replace(request, query="a=1&a=1&a&b=2")).code == "SignatureDoesNotMatch"


def test_percent_and_plus_are_read_alike() -> None:
    request = signed(WHEN, method="GET", url="http://h/?q=a%20b%2F")
    check(replace(request, query="q=a+b%2f"))


def test_a_signed_date_header_instead_of_x_amz_date() -> None:
    request = signed(WHEN, headers={"Date": "today"})
    assert "x-amz-date" not in request.headers
    check(request)
    assert read(request).timestamp == WHEN.timestamp()


def test_s3_paths_are_not_normalised_and_others_are() -> None:
    assert canonical_path("/a//b/../c", as_sent=True) == "/a//b/../c"
    assert canonical_path("/a//b/../c%20d", as_sent=False) == "/a/c%2520d"
    assert canonical_path("/a b@%e2%82%ac", as_sent=True) == "/a%20b%40%E2%82%AC"


def test_an_unsigned_payload() -> None:
    body = b"anything"
    request = signed(WHEN, service="s3", body=b"", headers={})
    headers = {**request.headers, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    unsigned = replace(request, headers=headers, body=body)
    signature = sigv4.sign(read(unsigned, "s3"), unsigned, SECRET)
    proper = unsigned.headers["authorization"].rpartition("Signature=")[0] + f"Signature={signature}"
    check(replace(unsigned, headers={**headers, "authorization": proper}), "s3")


def test_s3_wants_the_payload_hash_and_a_proper_one() -> None:
    for value, code in (
        (None, "InvalidRequest"),
        ("nonsense", "InvalidArgument"),
        ("0" * 64, "XAmzContentSHA256Mismatch"),
    ):
        request = signed(WHEN, service="s3", body=b"body")
        headers = dict(request.headers)
        if value is None:
            del headers["x-amz-content-sha256"]
            headers["authorization"] = headers["authorization"].replace("x-amz-content-sha256;", "")
        else:
            headers["x-amz-content-sha256"] = value
        request = replace(request, headers=headers)
        signature = sigv4.sign(read(request, "s3"), request, SECRET)
        headers["authorization"] = headers["authorization"].rpartition("Signature=")[0] + f"Signature={signature}"
        assert refused(request, "s3").code == code


def test_streaming_bodies_are_s3s_alone() -> None:
    request = signed(WHEN, headers={"X-Amz-Content-SHA256": sigv4.STREAMING_UNSIGNED_TRAILER}, body=b"body")
    assert not read(request).streaming
    assert refused(request).code == "SignatureDoesNotMatch"


def test_the_host_must_be_signed() -> None:
    request = signed(WHEN)
    authorization = request.headers["authorization"].replace("host;", "")
    error = refused(replace(request, headers={**request.headers, "authorization": authorization}))
    assert error.message == "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."


def test_s3_tells_what_it_would_have_signed() -> None:
    request = signed(WHEN, service="s3")
    error = refused(request, "s3", "wrong")
    assert error.members["AWSAccessKeyId"] == ACCESS_KEY
    assert error.members["StringToSign"].startswith(
        "AWS4-HMAC-SHA256\n20240229T235958Z\n20240229/eu-west-1/s3/aws4_request\n"
    )


# What is no signature, and what is a malformed one


@pytest.mark.parametrize("authorization", ["", "Basic dXNlcjpwYXNz", "Bearer token", "nonsense"])
def test_no_signature(authorization: str) -> None:
    assert sigv4.read(Request("GET", "/", "a=b", {"host": "h", "authorization": authorization})) is None


@pytest.mark.parametrize("case", MALFORMED, ids=[case["name"] for case in MALFORMED])
def test_malformed(case: dict[str, Any]) -> None:
    request = Request("GET", "/", case.get("query", ""), {"host": "h", **case.get("headers", {})})
    with pytest.raises(ServiceError) as caught:
        sigv4.read(request, case.get("service", ""))
    assert caught.value.code == case["code"]
    assert caught.value.message == case["message"]
    assert caught.value.status == case.get("status", 400)


@generated
@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=30), st.sampled_from(["s3", "logs", ""]))
def test_noise_is_refused_cleanly(authorization: str, query: str, date: str, service: str) -> None:
    request = Request("GET", "/", query, {"authorization": f"AWS4-HMAC-SHA256 {authorization}", "x-amz-date": date})
    with pytest.raises(ServiceError):
        sigv4.read(request, service)
    with pytest.raises(ServiceError):
        sigv4.read(replace(request, headers={}, query=f"X-Amz-Algorithm={query}&X-Amz-Signature={date}"), service)


def test_the_signing_keys_are_cached_within_bounds() -> None:
    sigv4.signing_key.cache_clear()
    check(signed(WHEN))
    check(signed(WHEN))
    info = sigv4.signing_key.cache_info()
    assert (info.misses, info.maxsize) == (1, 1024)


@pytest.mark.parametrize(
    "authorization",
    [
        (
            "Credential=A/20240229/eu-west-1/logs/aws4_request,Credential=B/20240229/eu-west-1/logs/aws4_request,"
            "SignedHeaders=host,Signature=00"
        ),
        f"Credential=A/20240229/eu-west-1/{'l' * 65}/aws4_request,SignedHeaders=host,Signature=00",
    ],
    ids=["two callers", "a service's name without end"],
)
@pytest.mark.parametrize(("service", "code"), [("logs", "IncompleteSignature"), ("s3", "AuthorizationHeaderMalformed")])
def test_headers_that_mislead(authorization: str, service: str, code: str) -> None:
    headers = {"host": "h", "authorization": f"AWS4-HMAC-SHA256 {authorization}", "x-amz-date": "20240229T000000Z"}
    with pytest.raises(ServiceError) as caught:
        sigv4.read(Request("GET", "/", "", headers), service)
    assert caught.value.code == code


@pytest.mark.parametrize("name", ["X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders"])
@pytest.mark.parametrize(
    ("service", "code"), [("logs", "IncompleteSignature"), ("s3", "AuthorizationQueryParametersError")]
)
def test_a_presigned_query_has_one_caller(name: str, service: str, code: str) -> None:
    request = signed(WHEN, service=service, method="GET", expires=60)
    for query in (f"{request.query}&{name}=a", f"{name}=a&{request.query}"):
        with pytest.raises(ServiceError) as caught:
            sigv4.read(replace(request, query=query), service)
        assert caught.value.code == code
