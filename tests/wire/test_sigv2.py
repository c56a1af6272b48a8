"""Signatures of version 2, with botocore and AWS's own examples as the oracle."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import boto3
import pytest
from botocore.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.errors import ServiceError
from skytrail.wire import models, sigv2
from skytrail.wire.http import Request

from .signing import ACCESS_KEY, SECRET
from .signing_v2 import signed_v2

WHEN = datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC)

#: The examples of S3's guide (RESTAuthentication): method, host, path, query, headers, signature.
AWS_EXAMPLES: list[tuple[str, str, str, str, dict[str, str], str]] = [
    (
        "GET",
        "awsexamplebucket1.s3.us-west-1.amazonaws.com",
        "/photos/puppy.jpg",
        "",
        {"date": "Tue, 27 Mar 2007 19:36:42 +0000"},
        "qgk2+6Sv9/oM7G3qLEjTH1a1l1g=",
    ),
    (
        "PUT",
        "awsexamplebucket1.s3.us-west-1.amazonaws.com",
        "/photos/puppy.jpg",
        "",
        {"content-type": "image/jpeg", "content-length": "94328", "date": "Tue, 27 Mar 2007 21:15:45 +0000"},
        "iqRzw+ileNPu1fhspnRs8nOjjIA=",
    ),
    (
        "GET",
        "awsexamplebucket1.s3.us-west-1.amazonaws.com",
        "/",
        "prefix=photos&max-keys=50&marker=puppy",
        {"date": "Tue, 27 Mar 2007 19:42:41 +0000"},
        "m0WP8eCtspQl5Ahe6L1SozdX9YA=",
    ),
    (
        "GET",
        "awsexamplebucket1.s3.us-west-1.amazonaws.com",
        "/",
        "acl",
        {"date": "Tue, 27 Mar 2007 19:44:46 +0000"},
        "82ZHiFIjc+WbcwFKGUVEQspPn+0=",
    ),
    (
        "GET",
        "s3.us-west-1.amazonaws.com",
        "/",
        "",
        {"date": "Wed, 28 Mar 2007 01:29:59 +0000"},
        "qGdzdERIC03wnaRNKh6OqZehG9s=",
    ),
]


def check(request: Request, secret: str = SECRET) -> sigv2.Signature:
    assert sigv2.carried(request)
    signature = sigv2.read(request)
    sigv2.verify(signature, request, secret)
    return signature


def refused(request: Request, secret: str = SECRET) -> str:
    with pytest.raises(ServiceError) as caught:
        check(request, secret)
    return caught.value.code


@pytest.mark.parametrize("case", AWS_EXAMPLES, ids=lambda case: f"{case[0]} {case[2]}?{case[3]}")
def test_the_examples_of_aws(case: tuple[str, str, str, str, dict[str, str], str]) -> None:
    method, host, path, query, headers, signature = case
    sent = {"host": host, **headers, "authorization": f"AWS {ACCESS_KEY}:{signature}"}
    request = Request(method, path, query, sent)
    assert check(request).access_key == ACCESS_KEY
    assert refused(request, "another secret") == "SignatureDoesNotMatch"


PLACES = [
    ("http://localhost:4566/bucket/key", ""),
    ("http://localhost:4566/bucket/a%20b/%C3%BC//c.txt", ""),
    ("http://bucket.s3.localhost:4566/key", "bucket"),
    ("http://bucket.s3.us-east-1.amazonaws.com/key", "bucket"),
    ("http://bucket.localhost:4566/key", "bucket"),
    ("http://my.dotted.bucket.s3.amazonaws.com/", "my.dotted.bucket"),
]
QUERIES = ["", "?acl", "?uploadId=a%2Fb&partNumber=3", "?prefix=x&versions&max-keys=1", "?response-content-type=a%2Fb"]


@pytest.mark.parametrize("expires", [None, 60])
@pytest.mark.parametrize("token", [None, "a+token/of=ours"])
@pytest.mark.parametrize("query", QUERIES)
def test_botocore(expires: int | None, token: str | None, query: str) -> None:
    for url, bucket in PLACES:
        headers = {"content-type": "text/plain", "x-amz-meta-a": " v ", "x-amz-acl": "private"}
        request = signed_v2(WHEN, url=url + query, bucket=bucket, headers=headers, token=token, expires=expires)
        signature = check(request)
        assert (signature.presigned, signature.session_token) == (expires is not None, token)
        assert signature.timestamp == WHEN.timestamp() + (expires or 0)
        assert refused(request, "another secret") == "SignatureDoesNotMatch"


def boto3_client(style: str, token: str | None = None) -> Any:
    return boto3.client(
        "s3",
        endpoint_url="http://s3.localhost:4566",
        region_name="us-east-1",
        config=Config(signature_version="s3", s3={"addressing_style": style}),
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET,
        aws_session_token=token,
    )


@pytest.mark.parametrize("style", ["path", "virtual"])
@pytest.mark.parametrize("token", [None, "token"])
def test_what_boto3_presigns(style: str, token: str | None) -> None:
    client = boto3_client(style, token)
    parameters = {"Bucket": "bucket", "Key": "a b/ü+c", "VersionId": "v1", "ResponseContentType": "text/html; a=b"}
    parts = urlsplit(client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=60))
    assert parts.netloc.startswith("bucket.") is (style == "virtual")
    assert check(Request("GET", parts.path, parts.query, {"host": parts.netloc})).session_token == token


@pytest.mark.parametrize("style", ["path", "virtual"])
@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2", "head_bucket", "get_bucket_location"])
def test_what_boto3_presigns_of_a_bucket(operation: str, style: str) -> None:
    """It signs `/bucket/`, also where it sends `/bucket`."""
    url = boto3_client(style).generate_presigned_url(operation, Params={"Bucket": "bucket"}, ExpiresIn=60)
    parts = urlsplit(url)
    # A bucket's location is always asked for by its path.
    by_path = style == "path" or operation == "get_bucket_location"
    assert parts.path == ("/bucket" if by_path else "/")
    request = Request("HEAD" if operation == "head_bucket" else "GET", parts.path, parts.query, {"host": parts.netloc})
    check(request)
    others = ["/", "/bucket//", "/bucket/key", "/other"] if by_path else ["//", "/key"]
    for path in others:
        assert refused(replace(request, path=path)) == "SignatureDoesNotMatch", path


def test_presigned_queries_may_carry_headers() -> None:
    request = signed_v2(WHEN, method="PUT", headers={"x-amz-meta-a": "b"}, expires=60)
    bare = replace(request, headers={"host": request.headers["host"]})
    check(bare)
    assert sigv2.amazon_headers(bare) == {"x-amz-meta-a": "b"}


def changed(request: Request) -> dict[str, Request]:
    headers = dict(request.headers)
    return {
        "method": replace(request, method="PUT"),
        "path": replace(request, path=request.path + "2"),
        "another bucket in the host": replace(request, headers={**headers, "host": "other.s3.amazonaws.com"}),
        "sub-resource": replace(request, query=f"{request.query}&acl".lstrip("&")),
        "override": replace(request, query=f"{request.query}&response-content-type=x".lstrip("&")),
        "content-type": replace(request, headers={**headers, "content-type": "text/html"}),
        "content-md5": replace(request, headers={**headers, "content-md5": "x"}),
        "x-amz-acl": replace(request, headers={**headers, "x-amz-acl": "public-read"}),
        "token": replace(request, headers={**headers, "x-amz-security-token": "t"}),
    }


@pytest.mark.parametrize("expires", [None, 60])
def test_nothing_that_is_signed_can_be_changed(expires: int | None) -> None:
    request = signed_v2(WHEN, headers={"content-type": "text/plain"}, expires=expires)
    check(request)
    for name, other in changed(request).items():
        assert refused(other) == "SignatureDoesNotMatch", name
    moved = {
        True: replace(request, query=request.query.replace("Expires=17", "Expires=18")),
        False: replace(request, headers={**request.headers, "date": "Fri, 01 Mar 2024 00:00:00 GMT"}),
    }
    assert refused(moved[expires is not None]) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("expires", [None, 60])
@pytest.mark.parametrize("name", ["versionId", "acl", "tagging", "uploadId", "response-content-type"])
def test_no_spelling_of_a_name_escapes_the_signature(name: str, expires: int | None) -> None:
    request = signed_v2(WHEN, expires=expires)
    spellings = [f"%{ord(name[0]):x}{name[1:]}", f"{name[:-1]}%{ord(name[-1]):X}"]
    spellings.append("".join(f"%{ord(letter):02x}" for letter in name))
    for spelling in spellings:
        forged = replace(request, query=f"{request.query}&{spelling}=x".lstrip("&"))
        assert refused(forged) == "SignatureDoesNotMatch", spelling


def test_names_may_be_spelt_with_escapes() -> None:
    request = signed_v2(WHEN, url="http://localhost:4566/bucket/key?versionId=v1", expires=60)
    check(replace(request, query=request.query.replace("versionId", "version%49d")))


MALFORMED: list[tuple[str, dict[str, str], str]] = [
    ("", {"authorization": "AWS"}, "InvalidArgument"),
    ("", {"authorization": "AWS nocolon"}, "InvalidArgument"),
    ("", {"authorization": "AWS :signature"}, "InvalidArgument"),
    ("", {"authorization": "AWS key:"}, "InvalidArgument"),
    ("", {"authorization": "AWS key:signature"}, "AccessDenied"),
    ("", {"authorization": "AWS key:signature", "date": "yesterday"}, "AccessDenied"),
    ("", {"authorization": "AWS key:signature", "x-amz-date": "99999999T999999Z"}, "AccessDenied"),
    ("X-Amz-Algorithm=AWS4-HMAC-SHA256", {"authorization": "AWS key:signature"}, "InvalidArgument"),
    ("AWSAccessKeyId=k&Signature=s&Expires=1", {"authorization": "AWS key:signature"}, "InvalidArgument"),
    ("AWSAccessKeyId=k&Signature=s&Expires=1", {"authorization": "AWS4-HMAC-SHA256 x"}, "InvalidArgument"),
    ("AWSAccessKeyId=k&Signature=s&Expires=1&X-Amz-Date=1", {}, "InvalidArgument"),
    ("AWSAccessKeyId=k&Signature=s", {}, "AccessDenied"),
    ("AWSAccessKeyId=k&Signature=s&Expires=", {}, "AccessDenied"),
    ("AWSAccessKeyId=k&Signature=s&Expires=soon", {}, "AccessDenied"),
    ("AWSAccessKeyId=k&Signature=s&Expires=-1", {}, "AccessDenied"),
    ("AWSAccessKeyId=k&Signature=s&Expires=%D9%A1", {}, "AccessDenied"),
    ("AWSAccessKeyId=k&Signature=s&Expires=999999999999999", {}, "AccessDenied"),
    ("AWSAccessKeyId=&Signature=s&Expires=1", {}, "AccessDenied"),
    ("AWSAccessKeyId=k&Signature=s&Expires=1&Expires=2", {}, "InvalidArgument"),
    ("AWSAccessKeyId=k&AWSAccessKeyId=l&Signature=s&Expires=1", {}, "InvalidArgument"),
    ("AWSAccessKeyId=k&%41WSAccessKeyId=l&Signature=s&Expires=1", {}, "InvalidArgument"),
    ("AWSAccessKeyId=k&Signature=s&Expires=1&%58-Amz-Date=1", {}, "InvalidArgument"),
    ("AWSAccessKeyId=k&Signature=s&Expires=1&x-amz-security-token=a&x-amz-security-token=b", {}, "InvalidArgument"),
]


@pytest.mark.parametrize(("query", "headers", "code"), MALFORMED)
def test_malformed(query: str, headers: dict[str, str], code: str) -> None:
    assert refused(Request("GET", "/bucket/key", query, {"host": "h", **headers})) == code


def test_what_is_not_of_this_version() -> None:
    for headers in ({}, {"authorization": "AWS4-HMAC-SHA256 Credential=x"}, {"authorization": "Bearer x"}):
        assert not sigv2.carried(Request("GET", "/", "X-Amz-Signature=s", {"host": "h", **headers}))


def test_operations_that_an_unsigned_parameter_chooses() -> None:
    """All that botocore signs may be asked for; nothing can be turned into what is not."""
    service = models.service("s3")
    refused_ones = set()
    for name in service.model.operation_names:
        operation = service.operation(name)
        assert operation is not None
        try:
            sigv2.refuse_unsigned_parameters(operation)
        except ServiceError as error:
            assert error.code == "InvalidRequest"  # noqa: PT017
            refused_ones.add(name)
    for name in ("GetObject", "PutObject", "ListObjectsV2", "GetObjectAcl", "DeleteObjects", "UploadPart"):
        assert name not in refused_ones
    assert {"PutBucketEncryption", "PutObjectRetention", "PutPublicAccessBlock"} <= refused_ones


@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    query=st.text(max_size=120),
    authorization=st.text(max_size=80).map(lambda text: f"AWS {text}"),
    headers=st.dictionaries(st.sampled_from(["date", "x-amz-date", "x-amz-x", "host"]), st.text(max_size=40)),
)
def test_anything_else_is_refused_in_good_order(query: str, authorization: str, headers: dict[str, str]) -> None:
    for asked in (quote(query, safe="&=%+"), f"AWSAccessKeyId=k&Signature=s&{quote(query, safe='&=%+')}"):
        for sent in (headers, {**headers, "authorization": authorization}):
            request = Request("GET", "/b/k", asked, sent)
            if sigv2.carried(request):
                refused(request)
