"""One server for these tests, whose history holds data events too."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from skytrail.testing import Server


@pytest.fixture(scope="session")
def skytrail_server() -> Iterator[Server]:
    with Server(environment={"SKYTRAIL_HISTORY_DATA_EVENTS": "all"}) as server:
        yield server
