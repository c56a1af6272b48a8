"""State: small typed resources under (kind, account, region, name), kept as JSON documents.

A kind names its type once; a resource that is global leaves the account or the region empty.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Kind(Generic[T]):
    """A kind of resource: its name in the store, and the msgspec type of its documents."""

    __slots__ = ("decode", "encode", "name")

    def __init__(self, name: str, type_: type[T]) -> None:
        self.name = name
        self.decode = msgspec.json.Decoder(type_).decode
        self.encode = msgspec.json.Encoder().encode


class Reader:
    """Reads of one SQLite connection. A reader belongs to one thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def get(self, kind: Kind[T], account: str, region: str, name: str) -> T | None:
        row = self.connection.execute(
            "SELECT body FROM resources WHERE kind = ? AND account = ? AND region = ? AND name = ?",
            (kind.name, account, region, name),
        ).fetchone()
        return None if row is None else kind.decode(row[0])

    def list(
        self, kind: Kind[T], account: str, region: str, *, prefix: str = "", after: str = "", limit: int = -1
    ) -> list[tuple[str, T]]:
        """(name, resource) in the order of names, after the name `after`."""
        rows = self.connection.execute(
            "SELECT name, body FROM resources WHERE kind = ? AND account = ? AND region = ?"
            " AND name > ? AND name >= ? AND name < ? ORDER BY name LIMIT ?",
            (kind.name, account, region, after, prefix, prefix + "\U0010ffff", limit),
        )
        return [(name, kind.decode(body)) for name, body in rows]

    def count(self, kind: Kind[T], account: str, region: str, *, prefix: str = "") -> int:
        (number,) = self.connection.execute(
            "SELECT count(*) FROM resources WHERE kind = ? AND account = ? AND region = ? AND name >= ? AND name < ?",
            (kind.name, account, region, prefix, prefix + "\U0010ffff"),
        ).fetchone()
        return int(number)

    def everywhere(self, kind: Kind[T]) -> Iterator[tuple[str, str, str, T]]:
        """(account, region, name, resource) of all accounts and Regions."""
        rows = self.connection.execute(
            "SELECT account, region, name, body FROM resources WHERE kind = ? ORDER BY account, region, name",
            (kind.name,),
        )
        for account, region, name, body in rows:
            yield account, region, name, kind.decode(body)


class Writer(Reader):
    def put(self, kind: Kind[T], account: str, region: str, name: str, resource: T) -> None:
        self.connection.execute(
            "INSERT INTO resources (kind, account, region, name, body) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (kind, account, region, name) DO UPDATE SET body = excluded.body",
            (kind.name, account, region, name, kind.encode(resource)),
        )

    def delete(self, kind: Kind[T], account: str, region: str, name: str) -> bool:
        return (
            self.connection.execute(
                "DELETE FROM resources WHERE kind = ? AND account = ? AND region = ? AND name = ?",
                (kind.name, account, region, name),
            ).rowcount
            > 0
        )
