"""The pytest plugin: `skytrail_server` runs for the session, `skytrail` gives each test a clean state."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .kit import Skytrail
from .server import Server


@pytest.fixture(scope="session")
def skytrail_server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def skytrail(skytrail_server: Server) -> Skytrail:
    skytrail = Skytrail(skytrail_server.endpoint)
    skytrail.reset()
    return skytrail
