"""Browsers: which pages may call."""

from __future__ import annotations

from typing import Any

import pytest

from skytrail.call import Source
from skytrail.wire.http import Request, Response

from .raw import post, run, running

PAGE = "https://console.example"
PREFLIGHT = (
    f"OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: {PAGE}\r\nAccess-Control-Request-Method: POST\r\n"
    "Access-Control-Request-Headers: authorization,x-amz-date,x-amz-target\r\n\r\n"
).encode()

MODES: dict[str, tuple[dict[str, Any], str | None]] = {
    "open mode, no page": ({}, None),
    "open mode, any page": ({"server__cors_origins": ("*",)}, "*"),
    "open mode with origins": ({"server__cors_origins": (PAGE,)}, PAGE),
    "open mode, other origins": ({"server__cors_origins": ("https://other.example",)}, None),
    "enforced mode, no page": ({"server__mode": "enforced"}, None),
    "enforced mode with origins": ({"server__mode": "enforced", "server__cors_origins": (PAGE,)}, PAGE),
    "enforced mode, any page": ({"server__mode": "enforced", "server__cors_origins": ("*",)}, "*"),
}


async def handler(request: Request, _: Source) -> Response:
    if request.body == b"fail":
        raise RuntimeError("boom")
    return Response(200, [("x-amzn-requestid", "r-1")], request.method.encode())


@pytest.mark.parametrize("name", MODES)
def test_pages_call(name: str) -> None:
    overrides, allowed = MODES[name]

    async def main() -> None:
        async with running(handler, **overrides) as server:
            client = await server.connect()
            answer = await client.ask(PREFLIGHT)
            assert answer.headers.get("access-control-allow-origin") == allowed
            if allowed is None:
                assert (answer.status, answer.code) == (403, "AccessForbidden")
            else:
                assert (answer.status, answer.body) == (204, b"")
                assert answer.headers["access-control-allow-headers"] == "authorization,x-amz-date,x-amz-target"
                assert "POST" in answer.headers["access-control-allow-methods"]
            called = await client.ask(post(b"", f"Origin: {PAGE}"))
            if allowed is None and overrides.get("server__mode") != "enforced":
                # Nothing but this protects an open server from forms that foreign pages send.
                assert (called.status, called.code) == (403, "AccessForbidden")
                return
            assert called.status == 200
            assert called.headers.get("access-control-allow-origin") == allowed
            assert ("x-amzn-requestid" in called.headers.get("access-control-expose-headers", "")) == bool(allowed)
            assert called.headers.get("vary") == ("Origin" if allowed == PAGE else None)
            # Pages must be able to read errors too.
            failed = await client.ask(post(b"fail", f"Origin: {PAGE}"))
            assert failed.status == 500
            assert failed.headers.get("access-control-allow-origin") == allowed

    run(main())


def test_other_clients_hear_nothing_of_it() -> None:
    async def main() -> None:
        async with running(handler) as server:
            client = await server.connect()
            answer = await client.ask(post())
            assert not [name for name in answer.headers if name.startswith("access-control")]
            # An OPTIONS that asks for no permission is a call like any other.
            assert (await client.ask(b"OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n")).body == b"OPTIONS"

    run(main())


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:3000", 200),
        ("http://127.0.0.1", 200),
        ("https://app.localhost", 200),
        ("http://[::1]:8080", 200),
        ("http://localhost.evil.example", 403),
        ("http://127.0.0.1.evil.example", 403),
        ("null", 403),
        ("http://[", 403),
    ],
)
def test_pages_on_loopback_may_call_an_open_server(origin: str, status: int) -> None:
    async def main() -> None:
        async with running(handler) as server:
            answer = await (await server.connect()).ask(post(b"", f"Origin: {origin}"))
            assert answer.status == status
            assert answer.headers.get("access-control-allow-origin") == (origin if status == 200 else None)

    run(main())


def test_a_public_page_may_reach_the_private_network_where_it_is_allowed() -> None:
    async def main() -> None:
        async with running(handler, server__cors_origins=(PAGE,)) as server:
            asked = PREFLIGHT[:-2] + b"Access-Control-Request-Private-Network: true\r\n\r\n"
            answer = await (await server.connect()).ask(asked)
            assert answer.headers["access-control-allow-private-network"] == "true"

    run(main())


HOSTS = {
    **dict.fromkeys(("localhost", "localhost:4566", "LOCALHOST.", "s3.localhost:4566", "b.s3.localhost"), True),
    **dict.fromkeys(("127.0.0.1:4566", "[::1]:4566", "[::1]", "192.0.2.1", "skytrail", "skytrail:4566"), True),
    **dict.fromkeys(("host.docker.internal:4566", "skytrail.audit.svc.cluster.local", "aws.test"), True),
    **dict.fromkeys(("sqs.eu-west-1.amazonaws.com", "b.s3.us-east-1.amazonaws.com", "logs.us-east-1.api.aws"), True),
    **dict.fromkeys(("localhost.localstack.cloud:4566", "sns.localhost.localstack.cloud"), True),
    **dict.fromkeys(("audit.example.org", "b.s3.audit.example.org:4566"), True),
    **dict.fromkeys(("evil.example", "evil.example:4566", "localhost.evil.example", "127.0.0.1.evil.example"), False),
    **dict.fromkeys(("evilaudit.example.org", "eviltest.example", "localhost,evil.example", "[127.0.0.1.x]"), False),
}


@pytest.mark.parametrize("host", HOSTS)
def test_an_open_server_answers_to_names_that_lead_to_no_page_of_others(host: str) -> None:
    async def main() -> None:
        asked = f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        async with running(handler, server__hosts=("audit.example.org",)) as server:
            answer = await (await server.connect()).ask(asked)
            assert (answer.status, answer.code) == ((200, "") if HOSTS[host] else (403, "AccessForbidden"))
        async with running(handler, server__mode="enforced") as server:
            assert (await (await server.connect()).ask(asked)).status == 200

    run(main())


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/?Action=CreateUser&UserName=x", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Dest: image", 403),
        ("/?Version=2010-05-08&Action=CreateUser", "Sec-Fetch-Site: cross-site", 403),
        ("/?Action=CreateUser&UserName=x", "Sec-Fetch-Site: none", 200),
        ("/?Action=CreateUser&UserName=x", "Sec-Fetch-Site: same-site", 200),
        ("/?Action=CreateUser&UserName=x", f"Sec-Fetch-Site: cross-site\r\nOrigin: {PAGE}", 200),
        ("/?Action=CreateUser&UserName=x", "User-Agent: aws-cli", 200),
        ("/bucket/image.png", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Dest: image", 200),
    ],
)
def test_an_image_in_a_foreign_page_does_nothing(target: str, headers: str, status: int) -> None:
    async def main() -> None:
        async with running(handler, server__cors_origins=(PAGE,)) as server:
            asked = f"GET {target} HTTP/1.1\r\nHost: localhost:4566\r\n{headers}\r\n\r\n".encode()
            assert (await (await server.connect()).ask(asked)).status == status

    run(main())
