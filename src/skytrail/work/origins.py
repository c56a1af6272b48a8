"""What has caused what is going on, as far as deliveries of trails have.

The mark goes with the calls that a delivery makes, with what these commit, and with the parcels that are posted then:
so a trail knows the records that come of its own deliveries, by whatever way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

#: Ids of trails.
Causes = frozenset[str]

NONE: Causes = frozenset()
_causes: ContextVar[Causes] = ContextVar("causes", default=NONE)


def current() -> Causes:
    return _causes.get()


@contextmanager
def caused_by(causes: Iterable[str]) -> Iterator[None]:
    token = _causes.set(frozenset(causes))
    try:
        yield
    finally:
        _causes.reset(token)


def written(causes: Causes) -> str:
    """For a table's column; "" for none."""
    return " ".join(sorted(causes))


def read(text: str) -> Causes:
    return frozenset(text.split()) if text else NONE
