"""Which hosts the server calls for others: not this machine and its neighbours, unless the operator named them. Who
chooses an address would else have a way through to services that only this machine can reach.

Link-local addresses are always refused, loopback where permissions are enforced: in open mode everyone who can call is
on this machine.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver


class Forbidden(OSError):
    """The host may not be called; the message says which, and what would allow it."""


@dataclass(slots=True, frozen=True)
class Guard:
    #: The setting that names hosts that may be called nevertheless, and what it says.
    setting: str
    hosts: tuple[str, ...]
    #: Whether this machine may be called.
    loopback: bool

    def check(self, host: str) -> None:
        """Refuse a host that may not be called; a name is judged by the addresses that it has when it is called."""
        if self._is_named(host):
            return
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            if not self.loopback and host.lower().rstrip(".").rpartition(".")[2] == "localhost":
                raise self._forbidden(host) from None
            return
        if not self._is_open(address):
            raise self._forbidden(host)

    def check_address(self, host: str, address: str) -> None:
        """Refuse an address that a name was found to have."""
        if self._is_named(host) or self._is_named(address):
            return
        if not self._is_open(ipaddress.ip_address(address.partition("%")[0])):
            raise self._forbidden(host)

    def resolver(self) -> AbstractResolver:
        return _Resolver(self)

    def _is_named(self, host: str) -> bool:
        return host.lower() in self.hosts

    def _is_open(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or address.sixtofour or address
        if address.is_link_local or address.is_multicast:
            return False
        return self.loopback or not (address.is_loopback or address.is_unspecified)

    def _forbidden(self, host: str) -> Forbidden:
        return Forbidden(f"{host} is this machine or a neighbour: the setting {self.setting} does not name it")


class _Resolver(AbstractResolver):
    """Gives out no address that may not be called."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for each in found:
            self._guard.check_address(host, each["host"])
        return found

    async def close(self) -> None:
        await self._resolver.close()


def forbidden(error: BaseException | None) -> Forbidden | None:
    """The refusal that is behind an error of the client, if any."""
    while error is not None and not isinstance(error, Forbidden):
        error = error.__cause__ or error.__context__
    return error
