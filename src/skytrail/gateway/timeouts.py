"""How long a peer may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class Timeouts:
    """Seconds that a peer may take."""

    #: From a request's first byte to the end of its head.
    head: float = 30.0
    #: Between two pieces of a body; and its start, before the slowest rate counts.
    body: float = 60.0
    #: Between two requests.
    idle: float = 75.0
    #: To read anything of an answer.
    write: float = 60.0
    #: To read a refusal, while it is still sending.
    linger: float = 5.0
