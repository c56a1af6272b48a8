from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from skytrail.testing import Server
from skytrail.verify import Keys, Options, Report, Selection, Signatures, Source, verify
from skytrail.verify.keys import load

from .delivered import REGIONS, write_keys

Check = Callable[..., Report]


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return load(write_keys(tmp_path_factory.mktemp("keys") / "keys.json", *REGIONS, "ap-south-1"))


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One for all whose buckets have names of their own."""
    with Server() as server:
        yield server


@pytest.fixture
def check(tmp_path: Path, keys: Keys) -> Check:
    """Check a directory, `tmp_path/bucket` unless another one is named."""

    def run(
        *directories: Path,
        keys: Keys | None = keys,
        bucket: str = "",
        prefix: str = "",
        start: float | None = None,
        end: float | None = None,
        trails: frozenset[str] = frozenset(),
        signatures: Mapping[str, str] | None = None,
        allow_unlisted: bool = False,
    ) -> Report:
        sources = [Source(path, bucket, prefix) for path in directories or (tmp_path / "bucket",)]
        options = Options(selection=Selection(start, end, trails), allow_unlisted=allow_unlisted, threads=2)
        return verify(sources, keys, Signatures(signatures), options)

    return run
