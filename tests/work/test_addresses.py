"""Which addresses the server calls for others."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import aiohttp
import pytest
from aiohttp.resolver import ThreadedResolver

from skytrail.work import addresses
from skytrail.work.addresses import Forbidden, Guard, forbidden

HOSTS = ("127.0.0.9", "hooks.localhost")
OPEN, CLOSED = Guard("the.setting", HOSTS, loopback=True), Guard("the.setting", HOSTS, loopback=False)


@pytest.mark.parametrize(
    ("host", "where_open", "where_closed"),
    [
        ("127.0.0.1", True, False),
        ("::1", True, False),
        ("0.0.0.0", True, False),
        ("::ffff:127.0.0.1", True, False),
        ("2002:7f00:1::", True, False),
        ("localhost", True, False),
        ("a.LOCALHOST.", True, False),
        ("127.0.0.9", True, True),
        ("Hooks.localhost", True, True),
        ("fe80::1%eth0", False, False),
        ("169.254.169.254", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("224.0.0.1", False, False),
        ("192.0.2.1", True, True),
        ("10.0.0.9", True, True),
        ("sky.test", True, True),
    ],
)
def test_hosts(host: str, where_open: bool, where_closed: bool) -> None:
    for guard, may in ((OPEN, where_open), (CLOSED, where_closed)):
        if may:
            guard.check(host)
        else:
            with pytest.raises(Forbidden, match=r"a neighbour: the setting the\.setting does not name it"):
                guard.check(host)


def test_a_name_counts_by_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    class Naming(ThreadedResolver):
        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[Any]:  # noqa: ARG002
            found = {"inside.test": ["192.0.2.1", "169.254.169.254"], "named.test": ["127.0.0.9"]}
            return [{"host": each, "port": port} for each in found.get(host, ["127.0.0.1"])]

    monkeypatch.setattr(addresses, "ThreadedResolver", Naming)

    async def resolve(guard: Guard, host: str) -> list[str]:
        resolver = guard.resolver()
        found = [each["host"] for each in await resolver.resolve(host)]
        await resolver.close()
        return found

    assert asyncio.run(resolve(OPEN, "sky.test")) == ["127.0.0.1"]
    assert asyncio.run(resolve(CLOSED, "hooks.localhost")) == ["127.0.0.1"]
    assert asyncio.run(resolve(CLOSED, "named.test")) == ["127.0.0.9"]
    for guard, host in ((CLOSED, "sky.test"), (CLOSED, "inside.test"), (OPEN, "inside.test")):
        with pytest.raises(Forbidden, match=host):
            asyncio.run(resolve(guard, host))


def test_the_refusal_behind_a_clients_error() -> None:
    async def call() -> None:
        connector = aiohttp.TCPConnector(resolver=CLOSED.resolver(), use_dns_cache=False)
        async with aiohttp.ClientSession(connector=connector) as session, session.get("http://localhost:1/"):
            pass

    with pytest.raises(aiohttp.ClientError) as caught:
        asyncio.run(call())
    assert forbidden(caught.value) is not None
    assert forbidden(ValueError()) is None
