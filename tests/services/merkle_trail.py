"""The event history for a test, with its Merkle logs, and a bucket's copy made of both."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson

from skytrail.services.cloudtrail.delivery import entries
from skytrail.services.cloudtrail.integrity import log_keys, merkle, proving
from skytrail.storage.store import Transaction

from .trail import Trail

REGION = "us-east-1"


class LoggedTrail(Trail):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._fed = 0
        self.runner.run(self._make_tables())

    async def _make_tables(self) -> None:
        def make(tx: Transaction) -> None:
            for statement in merkle.SCHEMA.split(";"):
                tx.connection.execute(statement)

        await self.store.submit(make)

    def logged(self, account: str, *records: dict[str, Any]) -> list[str]:
        """Records that are in their log; their event ids."""
        ids = self.record(account, *records)
        self.feed()
        return ids

    def feed(self) -> None:
        self.runner.run(self.feeding())

    async def feeding(self) -> None:
        rows = self.store.records("audit", self._fed, rows=1 << 30)
        batch = [entries.read(position, data) for position, data in rows]
        await self.store.submit(lambda tx: merkle.append(tx, batch))
        self._fed = rows[-1][0]

    def answers(self, body: bytes) -> Iterator[bytes]:
        async def collect() -> list[bytes]:
            return [line async for line in proving.answer(self.engines, body)]

        return iter(self.runner.run(collect()))

    def ask(self, question: Any) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.answers(msgspec.json.encode(question))]

    def vkey(self, account: str, region: str = REGION) -> str:
        return self.runner.run(log_keys.signer(self.engines, account, region)).key.vkey

    def checkpoint(self, account: str, size: int | None = None, region: str = REGION) -> bytes:
        """As the log signed it when it had this size."""
        log = merkle.find(self.store.read, account, region)
        assert log is not None
        tree = merkle.tree(self.store.read, log, size)
        return self.runner.run(log_keys.signer(self.engines, account, region)).checkpoint(tree.size, tree.root())

    # The bucket

    def copy(self, directory: Path, account: str, since: int = 0, region: str = REGION) -> None:
        """Copy what a trail delivers: a file with the account's records, and what the Merkle folder lacks."""
        rows = [data for _, data in self.store.records("audit", 0, rows=1 << 30)]
        own = [data for data in rows if entries.read(0, data)[3:5] == (account, region)]
        file = directory / "AWSLogs" / account / "CloudTrail" / region / "2026/03/01" / "one.json.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(b'{"Records":[' + b",".join(own) + b"]}"))

        async def files() -> list[merkle.File]:
            upload = await merkle.upload(self.engines, account, region, since)
            assert upload is not None
            return list(upload.files())

        for path, data in self.runner.run(files()):
            target = directory / "AWSLogs" / account / "CloudTrail-Merkle" / region / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
