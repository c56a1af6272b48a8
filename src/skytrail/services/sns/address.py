"""Where this server answers, for the links in messages."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import msgspec

from ...settings import Settings


class _Endpoint(msgspec.Struct):
    url: str
    pid: int


_announced: dict[Path, str] = {}


def of_server(settings: Settings) -> str:
    """The setting `sns.url`, else the address that this process announced, without a slash at its end."""
    if settings.sns.url:
        return settings.sns.url.rstrip("/")
    data = settings.data_directory.expanduser().absolute()
    known = _announced.get(data)
    if known is None:
        known = _read(data / "endpoint.json")
        if known is None:  # it is not listening yet
            return _configured(settings)
        _announced[data] = known
    return known


def _read(path: Path) -> str | None:
    try:
        endpoint = msgspec.json.decode(path.read_bytes(), type=_Endpoint)
    except (OSError, msgspec.DecodeError):
        return None
    return endpoint.url.rstrip("/") if endpoint.pid == os.getpid() else None


@functools.lru_cache(maxsize=16)
def _configured(settings: Settings) -> str:
    server = settings.server
    scheme = "https" if server.tls_certificate else "http"
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{scheme}://{host}:{server.port}"
