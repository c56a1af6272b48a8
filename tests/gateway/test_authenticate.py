"""The authenticate step: both modes, every refusal, in both dialects of errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from skytrail.call import Call
from skytrail.errors import ServiceError
from skytrail.identity.principals import Identity, root
from skytrail.wire import sigv4
from skytrail.wire.http import Request

from ..identity.house import ACCOUNT, DEFAULT, NOW, House
from ..wire.signing import signed

UNKNOWN = "AKIAZZZZZZZZZZZZZZZZ"


@pytest.fixture
def enforced(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


@pytest.fixture
def open_house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path, "open")
    yield house
    house.close()


def refused(house: House, call: Call) -> tuple[str, int | None]:
    with pytest.raises(ServiceError) as caught:
        house.authenticate(call)
    return caught.value.code, caught.value.status


def s3_call(house: House, request: Request) -> Call:
    return house.call("s3", "ListBuckets", request=request)


# Open mode


def test_open_twelve_digits_choose_the_account(open_house: House) -> None:
    call = open_house.authenticate(open_house.call(request=signed(NOW, access_key="111122223333", secret="x")))
    assert call.identity == root("111122223333", "111122223333")
    assert (call.account, call.region) == ("111122223333", "eu-west-1")


@pytest.mark.parametrize("access_key", ["test", UNKNOWN, "11112222333", "x" * 300])
def test_open_other_keys_are_the_default_accounts_root(open_house: House, access_key: str) -> None:
    call = open_house.authenticate(open_house.call(request=signed(NOW, access_key=access_key, secret="x")))
    assert call.identity == root(DEFAULT, access_key[:128])
    assert call.account == DEFAULT


def test_open_without_credentials(open_house: House) -> None:
    call = open_house.authenticate(open_house.call(identity=Identity("Unknown", ACCOUNT)))
    assert (call.identity, call.account, call.region) == (root(DEFAULT), DEFAULT, "us-east-1")


def test_open_a_known_key_is_who_it_is_whatever_its_secret_and_time(open_house: House) -> None:
    key, _ = open_house.key("alice")
    request = signed(NOW - timedelta(days=1), access_key=key.id, secret="wrong")
    call = open_house.authenticate(open_house.call(request=request))
    assert (call.identity.type, call.identity.user_name, call.account) == ("IAMUser", "alice", ACCOUNT)


def test_open_a_malformed_signature_is_refused_all_the_same(open_house: House) -> None:
    request = Request("POST", "/", "", {"host": "h", "authorization": "AWS4-HMAC-SHA256 nonsense"})
    assert refused(open_house, open_house.call(request=request)) == ("IncompleteSignature", 400)


# The operator


def test_the_operator_is_trusted(enforced: House) -> None:
    request = signed(NOW, access_key="111122223333", secret="x")
    call = enforced.authenticate(enforced.call(request=request, operator=True))
    assert call.identity == root("111122223333", "111122223333")
    key, _ = enforced.key("alice")
    call = enforced.authenticate(enforced.call(request=signed(NOW, access_key=key.id, secret="x"), operator=True))
    assert call.identity == root(DEFAULT, key.id)
    assert enforced.authenticate(enforced.call(operator=True)).identity == root(DEFAULT)


# Enforced mode


@pytest.mark.parametrize("user", ["", "alice"])
@pytest.mark.parametrize("service", ["cloudtrail", "s3"])
@pytest.mark.parametrize("expires", [None, 60])
def test_a_proper_signature(enforced: House, user: str, service: str, expires: int | None) -> None:
    key, secret = enforced.key(user)
    request = signed(NOW, service=service, access_key=key.id, secret=secret, expires=expires, body=b"b", method="PUT")
    operation = "ListBuckets" if service == "s3" else "LookupEvents"
    call = enforced.authenticate(enforced.call(service, operation, request=request))
    known = enforced.authority.key(key.id)
    assert known is not None
    assert call.identity is known.identity
    assert (call.account, call.region) == (ACCOUNT, "eu-west-1")


@pytest.mark.parametrize(("region", "recorded"), [("eu-west-1", "eu-west-1"), ("mars-north-1", "us-east-1")])
def test_a_region_of_ones_own_making_is_for_proved_callers(enforced: House, region: str, recorded: str) -> None:
    key, secret = enforced.key()
    proved = enforced.call(request=signed(NOW, region=region, access_key=key.id, secret=secret))
    assert enforced.authenticate(proved).region == region
    for access_key in (key.id, UNKNOWN):
        call = enforced.call(request=signed(NOW, region=region, access_key=access_key, secret="wrong"))
        refused(enforced, call)
        assert call.region == recorded
    anonymous = enforced.call(
        "sns", "Publish", request=Request("POST", "/", "", {"host": f"sns.{region}.amazonaws.com"})
    )
    assert enforced.authenticate(anonymous).region == recorded


def failures(house: House) -> dict[str, tuple[dict[str, Any], tuple[str, int], tuple[str, int]]]:
    """Name -> how it is signed, the error of most services, the error of S3."""
    key, secret = house.key("alice")
    disabled, disabled_secret = house.key("bob")
    house.iam("UpdateAccessKey", UserName="bob", AccessKeyId=disabled.id, Status="Inactive")
    good = {"access_key": key.id, "secret": secret}
    unknown_key, s3_unknown = ("InvalidClientTokenId", 403), ("InvalidAccessKeyId", 403)
    late, s3_late = ("RequestExpired", 400), ("RequestTimeTooSkewed", 403)
    return {
        "unknown key": ({"access_key": UNKNOWN, "secret": secret}, unknown_key, s3_unknown),
        "disabled key": ({"access_key": disabled.id, "secret": disabled_secret}, unknown_key, s3_unknown),
        "wrong secret": ({**good, "secret": "x"}, ("SignatureDoesNotMatch", 403), ("SignatureDoesNotMatch", 403)),
        "session token": ({**good, "token": "t"}, unknown_key, ("InvalidToken", 400)),
        "old": ({**good, "when": NOW - timedelta(seconds=901)}, late, s3_late),
        "new": ({**good, "when": NOW + timedelta(seconds=901 - 600)}, late, ("", 0)),
        "newer": ({**good, "when": NOW + timedelta(seconds=901)}, late, s3_late),
        "wrong secret and old": ({**good, "secret": "x", "when": NOW - timedelta(seconds=901)}, late, s3_late),
        "presigned, over": (
            {**good, "when": NOW - timedelta(seconds=61), "expires": 60},
            late,
            ("AccessDenied", 403),
        ),
        "presigned, wrong secret": (
            {**good, "secret": "x", "expires": 60},
            ("SignatureDoesNotMatch", 403),
            ("SignatureDoesNotMatch", 403),
        ),
        "presigned, not yet": (
            {**good, "when": NOW + timedelta(seconds=901), "expires": 604800},
            late,
            ("AccessDenied", 403),
        ),
        "another service": (
            {**good, "service": "logs"},
            ("SignatureDoesNotMatch", 403),
            ("AuthorizationHeaderMalformed", 400),
        ),
        "another service, presigned": (
            {**good, "service": "logs", "expires": 60},
            ("SignatureDoesNotMatch", 403),
            ("AuthorizationQueryParametersError", 400),
        ),
    }


def test_failures(enforced: House) -> None:
    key = enforced.key("carol")[0]
    assert enforced.authority.key(key.id) is not None
    for name, (how, expected, s3_expected) in failures(enforced).items():
        for service, operation, error in (("cloudtrail", "LookupEvents", expected), ("s3", "ListBuckets", s3_expected)):
            settings = {"when": NOW, "service": service, "method": "GET", **how}
            call = enforced.call(service, operation, request=signed(**settings))
            if error == ("", 0):
                enforced.authenticate(call)
                continue
            assert refused(enforced, call) == error, (name, service)
            known = enforced.authority.key(how["access_key"])
            account = known.account if known is not None else DEFAULT
            assert call.account == account
            assert call.identity == Identity("Unknown", account, access_key=known.id if known is not None else "")


def test_the_limits_of_the_skew(enforced: House) -> None:
    key, secret = enforced.key()
    for service, operation, seconds in (("cloudtrail", "LookupEvents", 300), ("s3", "ListBuckets", 900)):
        for way in (-1, 1):
            when = NOW + timedelta(seconds=way * seconds)
            if when.date() == NOW.date() or way > 0:
                request = signed(when, service=service, access_key=key.id, secret=secret)
                enforced.authenticate(enforced.call(service, operation, request=request))


def test_a_presigned_request_lives_as_long_as_it_says(enforced: House) -> None:
    key, secret = enforced.key()
    when = NOW - timedelta(days=7)
    request = signed(when, service="s3", method="GET", access_key=key.id, secret=secret, expires=604800)
    enforced.authenticate(s3_call(enforced, request))
    enforced.clock.set(NOW.timestamp() + 1)
    with pytest.raises(ServiceError) as caught:
        enforced.authenticate(s3_call(enforced, request))
    assert caught.value.message == "Request has expired"
    assert caught.value.members == {
        "X-Amz-Expires": "604800",
        "Expires": "2024-02-29T23:50:00Z",
        "ServerTime": "2024-02-29T23:50:01Z",
    }


def test_messages(enforced: House) -> None:
    key, secret = enforced.key()
    cases: list[tuple[datetime, dict[str, Any], str]] = [
        (NOW, {"access_key": UNKNOWN}, "The security token included in the request is invalid."),
        (
            NOW - timedelta(seconds=600),
            {},
            "Signature expired: 20240229T234000Z is now earlier than 20240229T234500Z (20240229T235000Z - 5 min.)",
        ),
        (
            NOW + timedelta(seconds=540),
            {},
            (
                "Signature not yet current: 20240229T235900Z is still later than 20240229T235500Z "
                "(20240229T235000Z + 5 min.)"
            ),
        ),
        (NOW, {"service": "logs"}, "Credential should be scoped to correct service: 'cloudtrail'."),
        (
            NOW,
            {"secret": "x"},
            (
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
                "Access Key and signing method. Consult the service documentation for details."
            ),
        ),
    ]
    for when, how, message in cases:
        request = signed(when, **{"access_key": key.id, "secret": secret, **how})
        with pytest.raises(ServiceError) as caught:
            enforced.authenticate(enforced.call(request=request))
        assert caught.value.message == message


@pytest.mark.parametrize(
    ("service", "operation", "authorization", "expected"),
    [
        ("cloudtrail", "LookupEvents", "", ("MissingAuthenticationToken", 403)),
        ("cloudtrail", "LookupEvents", "Basic dTpw", ("MissingAuthenticationToken", 403)),
        ("sqs", "SendMessage", "Basic dTpw", ("MissingAuthenticationToken", 403)),
        ("sts", "GetCallerIdentity", "", ("MissingAuthenticationToken", 403)),
        ("s3", "ListBuckets", "Basic dTpw", ("InvalidArgument", 400)),
        ("cloudtrail", "LookupEvents", "AWS4-HMAC-SHA256 x=y", ("IncompleteSignature", 400)),
    ],
)
def test_no_signature(
    enforced: House, service: str, operation: str, authorization: str, expected: tuple[str, int]
) -> None:
    headers = {"host": "h", **({"authorization": authorization} if authorization else {})}
    call = enforced.call(service, operation, request=Request("POST", "/", "", headers))
    assert refused(enforced, call) == expected
    assert (call.identity, call.account) == (Identity("Unknown", DEFAULT), DEFAULT)


def test_a_changed_body(enforced: House) -> None:
    key, secret = enforced.key()
    request = signed(NOW, access_key=key.id, secret=secret, body=b"{}")
    enforced.authenticate(enforced.call(request=request))
    assert refused(enforced, enforced.call(request=replace(request, body=b"{ }"))) == ("SignatureDoesNotMatch", 403)
    request = signed(NOW, service="s3", access_key=key.id, secret=secret, body=b"{}")
    assert refused(enforced, s3_call(enforced, replace(request, body=b"x"))) == ("XAmzContentSHA256Mismatch", 400)


def test_unknown_keys_are_checked_like_known_ones(enforced: House, monkeypatch: pytest.MonkeyPatch) -> None:
    key, secret = enforced.key()
    checked: list[str] = []
    verify = sigv4.verify

    def count(signature: sigv4.Signature, request: Request, secret_key: str) -> None:
        checked.append(signature.access_key)
        verify(signature, request, secret_key)

    monkeypatch.setattr(sigv4, "verify", count)
    enforced.authenticate(enforced.call(request=signed(NOW, access_key=key.id, secret=secret)))
    refused(enforced, enforced.call(request=signed(NOW, access_key=UNKNOWN, secret=secret)))
    assert checked == [key.id, UNKNOWN]


# aws-chunked


def chunked_request(key: str, secret: str, body: bytes, **headers: str) -> Request:
    """Signed for a body whose trailer is unsigned, as clients send objects over TLS."""
    given = {
        "x-amz-decoded-content-length": "5",
        "x-amz-trailer": "x-amz-checksum-crc32",
        "content-encoding": "gzip,aws-chunked",
        **headers,
    }
    request = signed(NOW, service="s3", method="PUT", access_key=key, secret=secret, headers=given)
    sent = {**request.headers, "x-amz-content-sha256": sigv4.STREAMING_UNSIGNED_TRAILER}
    request = Request("PUT", request.path, request.query, sent, body)
    signature = sigv4.read(request, "s3")
    assert signature is not None
    sent["authorization"] = (
        sent["authorization"].rpartition("Signature=")[0] + f"Signature={sigv4.sign(signature, request, secret)}"
    )
    return request


WHOLE = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"


def test_a_chunked_body_is_decoded(enforced: House, open_house: House) -> None:
    key, secret = enforced.key()
    for house in (enforced, open_house):
        request = chunked_request(key.id, secret, WHOLE)
        call = house.authenticate(s3_call(house, request))
        assert call.request.body == b"hello"
        assert call.request.headers["content-encoding"] == "gzip"
        assert call.request.headers["x-amz-checksum-crc32"] == "NhCmhg=="
        assert call.request.headers["content-length"] == "5"


def test_a_chunked_body_without_credentials_is_decoded_in_open_mode(open_house: House) -> None:
    headers = {
        "host": "h",
        "x-amz-content-sha256": sigv4.STREAMING_UNSIGNED_TRAILER,
        "x-amz-decoded-content-length": "5",
    }
    request = Request("PUT", "/b/k", "", headers, b"5\r\nhello\r\n0\r\n\r\n")
    assert open_house.authenticate(s3_call(open_house, request)).request.body == b"hello"


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (WHOLE[:-4], {}, ("IncompleteBody", 400)),
        (WHOLE, {"x-amz-decoded-content-length": "6"}, ("IncompleteBody", 400)),
        (WHOLE, {"x-amz-decoded-content-length": "five"}, ("InvalidArgument", 400)),
        (WHOLE, {"x-amz-decoded-content-length": "\u0665"}, ("InvalidArgument", 400)),
        (WHOLE, {"x-amz-trailer": "x-amz-acl"}, ("InvalidRequest", 400)),
        (WHOLE, {"x-amz-trailer": ""}, ("MalformedTrailerError", 400)),
        (WHOLE.replace(b"crc32", b"crc64"), {}, ("MalformedTrailerError", 400)),
        (b"5\r\nhello\r\n0\r\n\r\n", {}, ("MalformedTrailerError", 400)),
    ],
)
def test_damaged_chunked_bodies(
    enforced: House, body: bytes, headers: dict[str, str], expected: tuple[str, int]
) -> None:
    key, secret = enforced.key()
    call = s3_call(enforced, chunked_request(key.id, secret, body, **headers))
    assert refused(enforced, call) == expected


def test_a_chunked_body_must_tell_its_length(enforced: House) -> None:
    key, secret = enforced.key()
    request = chunked_request(key.id, secret, WHOLE)
    headers = {name: value for name, value in request.headers.items() if name != "x-amz-decoded-content-length"}
    headers["authorization"] = headers["authorization"].replace("x-amz-decoded-content-length;", "")
    request = replace(request, headers=headers)
    signature = sigv4.read(request, "s3")
    assert signature is not None
    proof = sigv4.sign(signature, request, secret)
    headers["authorization"] = headers["authorization"].rpartition("Signature=")[0] + f"Signature={proof}"
    assert refused(enforced, s3_call(enforced, request)) == ("MissingContentLength", 411)
