"""Digests: each hour, for each stream of a trail that validates its files, what was delivered, signed.

A digest names the one before it, with its hash and its signature. It is made whole, with its signature, in the
transaction that takes the files which it names off the list; what is left then is to put it into the bucket, in order.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import msgspec
import orjson
from isal import igzip

from ....audit.identities import instant
from ....errors import StorageError
from ....storage.store import Transaction
from ....work import origins
from ....work.clock import Timer
from ....work.outbox import Parcel
from ...engines import Engines
from ..integrity import keys
from ..integrity.keys import KeyPair
from ..trails.model import Trail
from . import attempts, chains, layout, orders, spool, status, tree
from .orders import Order
from .spool import Stream

LANE = "trail-digests"

#: A store that cannot be written is tried again after so many seconds.
_UNWRITABLE_PAUSE = 5.0
#: A second between two digests of a stream keeps their names apart.
_APART = 1.0

_log = logging.getLogger(__name__)


class Digests:
    """`arrived` is called after a digest has been put into the bucket."""

    def __init__(self, engines: Engines, arrived: Callable[[Stream], Awaitable[None]]) -> None:
        self._engines = engines
        self._arrived = arrived
        self._timer: Timer | None = None
        self._sealing = asyncio.Lock()
        #: From when on a digest is waited for whose beginning is still to come.
        self._counted: dict[str, float] = {}

    def open(self) -> None:
        self._engines.outbox.lane(LANE, self._deliver, attempts.patience(self._engines), self._give_up)
        self.schedule()

    def schedule(self, wait: float = 0.0) -> None:
        """Wake when the next digest is due: now, where one was due while the server did not run."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = [self._due(stream, found) for stream, found in self._chains() if not found.closing]
        if due:
            self._timer = self._engines.clock.at(max(min(due), self._engines.clock.time() + wait), self._ring)

    def _chains(self) -> list[tuple[str, chains.Chain]]:
        return self._engines.store.read.list(chains.CHAINS, "", "")

    def _due(self, stream: str, found: chains.Chain) -> float:
        now, interval = self._engines.clock.time(), self._engines.settings.trail.digest_interval
        if found.since <= now:
            self._counted.pop(stream, None)
            return found.since + interval
        # The clock was set back.
        return self._counted.setdefault(stream, now) + interval

    async def _ring(self) -> None:
        try:
            await self._seal_due()
        except StorageError as error:
            _log.warning("digests wait: %s", error)
            self.schedule(_UNWRITABLE_PAUSE)
        else:
            self.schedule()

    async def _seal_due(self) -> None:
        now, reader = self._engines.clock.time(), self._engines.store.read
        due = {stream for stream, found in self._chains() if not found.closing and self._due(stream, found) <= now}
        for order in list(orders.every(reader)):
            for stream in spool.streams(reader, order.trail.id):
                if str(stream.id) in due:
                    await self.seal(order, stream)
                    self._counted.pop(str(stream.id), None)

    async def seal(self, order: Order, stream: Stream) -> None:
        """Make the digest of what was delivered since the last one. The last of a chain waits for its last files."""
        async with self._sealing:
            reader = self._engines.store.read
            found = chains.chain(reader, stream.id)
            if found is None or (found.closing and chains.files_wait(reader, stream.id)):
                return
            end = max(float(int(self._engines.clock.time())), found.since + _APART)
            listed = chains.listed(reader, stream.id)
            pair = await keys.current(self._engines, stream.region)
            content = _content(stream, found, end, listed)
            digest = _signed(self._engines, order.trail, stream, content, found, pair)
            await self._engines.store.submit(
                lambda tx: self._commit(tx, order.trail, stream, found, digest, end, listed)
            )

    def _commit(
        self,
        tx: Transaction,
        trail: Trail,
        stream: Stream,
        before: chains.Chain,
        digest: _Digest,
        end: float,
        listed: Sequence[chains.Listed],
    ) -> None:
        now = chains.chain(tx, stream.id)
        if now is None or now.since != before.since:
            return  # everything was reset meanwhile
        if before.closing and now.closing:
            tx.delete(chains.CHAINS, "", "", str(stream.id))
        else:
            after = chains.Chain(end, now.closing, digest.bucket, digest.object, digest.sha256, digest.signature)
            tx.put(chains.CHAINS, "", "", str(stream.id), after)
        tx.put(chains.ENDS, "", "", chains.named(trail, stream), chains.End(end))
        tx.connection.executemany("DELETE FROM trail_listed WHERE id = ?", [(one.id,) for one in listed])
        digest_id = tx.connection.execute(
            "INSERT INTO trail_digests (stream, bucket, object, body, signature) VALUES (?, ?, ?, ?, ?)",
            (stream.id, digest.bucket, digest.object, digest.body, digest.signature),
        ).lastrowid
        self._engines.outbox.post(tx, LANE, str(digest_id).encode(), order=str(stream.id))

    # The way to the bucket

    async def _deliver(self, parcel: Parcel) -> None:
        reader, digest_id = self._engines.store.read, int(parcel.body)
        row = reader.connection.execute("SELECT stream FROM trail_digests WHERE id = ?", (digest_id,)).fetchone()
        stream = None if row is None else spool.stream_by_id(reader, row[0])
        order = None if stream is None else orders.by_id(reader, stream.trail)
        if stream is None or order is None:
            return
        with origins.caused_by({stream.trail}):
            await self._put(order.trail, stream, digest_id)

    async def _put(self, trail: Trail, stream: Stream, digest_id: int) -> None:
        engines = self._engines
        await self._move(trail, stream)
        waiting = next(one for one in chains.all_undelivered(engines.store.read, stream.id) if one.id == digest_id)
        metadata = {"signature": waiting.signature, "signature-algorithm": "SHA256withRSA"}
        body = waiting.body
        await engines.store.submit(partial(chains.mark_put, digest_id=digest_id, put=True))
        try:
            await attempts.put(engines, trail, waiting.bucket, waiting.object, body, len(body), metadata)
        except Exception as error:
            told, definite = attempts.told(error, "latest_digest_error"), attempts.is_definite(error)

            def refused(tx: Transaction) -> None:
                if definite:
                    chains.mark_put(tx, digest_id, put=False)
                status.update(tx, stream, **told)

            await engines.store.submit(refused)
            raise
        now = engines.clock.time()

        def done(tx: Transaction) -> None:
            if tx.connection.execute("DELETE FROM trail_digests WHERE id = ?", (digest_id,)).rowcount:
                status.update(tx, stream, latest_digest=now, latest_digest_error="")
                tree.post(tx, engines, trail, stream)

        await engines.store.submit(done)
        await self._arrived(stream)

    async def _move(self, trail: Trail, stream: Stream) -> None:
        """Digests that wait while their trail is given another place are made anew, for that place; but for one that
        may be where it was to go before."""
        async with self._sealing:
            reader = self._engines.store.read
            folder = layout.account_folder(trail.prefix, stream.organization, stream.account)
            waiting, before = chains.all_undelivered(reader, stream.id), chains.chain(reader, stream.id)
            astray = [one for one in waiting if one.bucket != trail.bucket or not one.object.startswith(folder)]
            if all(one.put for one in astray):
                return
            pair = await keys.current(self._engines, stream.region)
            moved = self._made_anew(trail, stream, waiting, pair)

            def commit(tx: Transaction) -> None:
                for digest_id, digest in moved.items():
                    tx.connection.execute(
                        "UPDATE trail_digests SET bucket = ?, object = ?, body = ?, signature = ? WHERE id = ?",
                        (digest.bucket, digest.object, digest.body, digest.signature, digest_id),
                    )
                now, last = chains.chain(tx, stream.id), waiting[-1]
                if now is None or before is None or now.since != before.since or before.object != last.object:
                    return  # the chain's next digest follows another one
                after = moved.get(last.id)
                if after is not None:
                    tx.put(chains.CHAINS, "", "", str(stream.id), _behind(now, after))

            await self._engines.store.submit(commit)

    def _made_anew(
        self, trail: Trail, stream: Stream, waiting: Sequence[chains.Undelivered], pair: KeyPair
    ) -> dict[int, _Digest]:
        moved: dict[int, _Digest] = {}
        previous: chains.Chain | None = None
        for one in waiting:
            text = gzip.decompress(one.body)
            content = orjson.loads(text)
            digest = _Digest(one.bucket, one.object, one.body, hashlib.sha256(text).hexdigest(), one.signature)
            if not one.put:
                said = _previous(content)
                # The first of a chain has none before it, whatever waits before it.
                before = said if said.object is None or previous is None else previous
                digest = moved[one.id] = _signed(self._engines, trail, stream, content, before, pair)
            previous = _behind(chains.Chain(0.0), digest)
        return moved

    async def _give_up(self, parcel: Parcel, error: Exception) -> None:
        _log.error("a digest could not be delivered for %d days and is given up: %s", attempts.DAYS, error)
        digest_id, reader = int(parcel.body), self._engines.store.read
        row = reader.connection.execute("SELECT stream FROM trail_digests WHERE id = ?", (digest_id,)).fetchone()
        await self._engines.store.submit(
            lambda tx: tx.connection.execute("DELETE FROM trail_digests WHERE id = ?", (digest_id,))
        )
        stream = None if row is None else spool.stream_by_id(reader, row[0])
        if stream is not None:
            await self._arrived(stream)


class _Digest(NamedTuple):
    bucket: str
    object: str
    #: The file.
    body: bytes
    #: Of what it inflates to.
    sha256: str
    signature: str


def _content(stream: Stream, before: chains.Chain, end: float, listed: Sequence[chains.Listed]) -> dict[str, Any]:
    """What a digest says, but for where it lies, who signs it and what came before it."""
    return {
        "awsAccountId": stream.account,
        "digestStartTime": instant(before.since),
        "digestEndTime": instant(end),
        "digestS3Bucket": "",
        "digestS3Object": "",
        "digestPublicKeyFingerprint": "",
        "digestSignatureAlgorithm": "SHA256withRSA",
        "newestEventTime": instant(max(one.newest for one in listed)) if listed else None,
        "oldestEventTime": instant(min(one.oldest for one in listed)) if listed else None,
        "previousDigestS3Bucket": None,
        "previousDigestS3Object": None,
        "previousDigestHashValue": None,
        "previousDigestHashAlgorithm": None,
        "previousDigestSignature": None,
        "logFiles": [
            {
                "s3Bucket": one.bucket,
                "s3Object": one.object,
                "hashValue": one.sha256,
                "hashAlgorithm": "SHA-256",
                "newestEventTime": instant(one.newest),
                "oldestEventTime": instant(one.oldest),
            }
            for one in listed
        ],
    }


def _signed(
    engines: Engines, trail: Trail, stream: Stream, content: dict[str, Any], before: chains.Chain, pair: KeyPair
) -> _Digest:
    """The digest in its place, behind the one before it."""
    ends = content["digestEndTime"]
    folder, end = (
        layout.account_folder(trail.prefix, stream.organization, stream.account),
        datetime.fromisoformat(ends).timestamp(),
    )
    bucket, key = trail.bucket, folder + layout.digest(trail, stream.account, stream.region, end)
    text = orjson.dumps(
        {
            **content,
            "digestS3Bucket": bucket,
            "digestS3Object": key,
            "digestPublicKeyFingerprint": pair.fingerprint,
            "previousDigestS3Bucket": before.bucket,
            "previousDigestS3Object": before.object,
            "previousDigestHashValue": before.sha256,
            "previousDigestHashAlgorithm": None if before.sha256 is None else "SHA-256",
            "previousDigestSignature": before.signature,
        }
    )
    sha256 = hashlib.sha256(text).hexdigest()
    signed = f"{ends}\n{bucket}/{key}\n{sha256}\n{before.signature or 'null'}".encode()
    return _Digest(bucket, key, igzip.compress(text, 2, mtime=0), sha256, pair.sign(engines, signed))


def _behind(chain: chains.Chain, digest: _Digest) -> chains.Chain:
    """The chain, when this digest is the one before the next."""
    return msgspec.structs.replace(
        chain, bucket=digest.bucket, object=digest.object, sha256=digest.sha256, signature=digest.signature
    )


def _previous(content: dict[str, Any]) -> chains.Chain:
    """What a digest says of the one before it."""
    names = ("previousDigestS3Bucket", "previousDigestS3Object", "previousDigestHashValue", "previousDigestSignature")
    return chains.Chain(0.0, False, *(content[name] for name in names))
