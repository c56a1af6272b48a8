"""An HTTP request and response, as the wire sees them: no server, no sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .bodies import Body


@dataclass(slots=True)
class Request:
    """One request. `path` and `query` are as sent: still percent-encoded, never normalised.

    Header names are lower-case; a header sent several times has its values joined by ",".
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""
    #: The body, where it is read as it comes; then `body` is empty.
    stream: Body | None = None


@dataclass(slots=True)
class Response:
    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | AsyncIterator[bytes] = b""
