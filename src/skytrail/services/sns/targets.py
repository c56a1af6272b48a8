"""Where HTTP deliveries may go: what publishes and subscribes chooses addresses that the server then calls."""

from __future__ import annotations

from ...settings import Settings
from ...work.addresses import Guard


def guard(settings: Settings) -> Guard:
    return Guard("sns.hosts", settings.sns.hosts, loopback=settings.server.mode == "open")
