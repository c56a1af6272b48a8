"""The Merkle log of a stream's account and Region, to the trail's bucket after each digest."""

from __future__ import annotations

import msgspec

from ....storage.state import Kind
from ....storage.store import Transaction
from ....work import origins
from ....work.outbox import Parcel
from ...engines import Engines
from ..integrity import merkle
from ..trails.model import Trail
from . import attempts, layout, orders, spool
from .spool import Stream

LANE = "trail-merkle"
#: A later upload holds all that an earlier one did.
_DAYS = 1.0


class Uploaded(msgspec.Struct, frozen=True):
    """The tree that the bucket has."""

    bucket: str
    size: int


#: By the stream's id.
UPLOADS = Kind("trail-merkle-upload", Uploaded)


class _Order(msgspec.Struct, frozen=True):
    """The trail may be gone when its last tree is delivered."""

    trail: Trail
    stream: Stream


_order = msgspec.json.Decoder(_Order).decode


def open_lane(engines: Engines) -> None:
    async def deliver(parcel: Parcel) -> None:
        order = _order(parcel.body)
        now = orders.by_id(engines.store.read, order.trail.id)
        with origins.caused_by({order.trail.id}):
            await _deliver(engines, order.trail if now is None else now.trail, order.stream)

    engines.outbox.lane(LANE, deliver, attempts.patience(engines, _DAYS), concurrency=4)


def post(tx: Transaction, engines: Engines, trail: Trail, stream: Stream) -> None:
    engines.outbox.post(tx, LANE, msgspec.json.encode(_Order(trail, stream)), order=str(stream.id))


def forget(tx: Transaction, stream: Stream) -> None:
    tx.delete(UPLOADS, "", "", str(stream.id))


async def _deliver(engines: Engines, trail: Trail, stream: Stream) -> None:
    reader = engines.store.read
    folder = layout.account_folder(trail.prefix, stream.organization, stream.account) + layout.merkle(stream.region)
    before = reader.get(UPLOADS, "", "", str(stream.id))
    since = before.size if before is not None and before.bucket == trail.bucket + "/" + folder else 0
    upload = await merkle.upload(engines, stream.account, stream.region, since)
    if upload is None:
        return
    # The checkpoint comes last: what it speaks of is there before it.
    for path, body in upload.files():
        await attempts.put(engines, trail, trail.bucket, folder + path, body, len(body), content_type=_type(path))
    uploaded = Uploaded(trail.bucket + "/" + folder, upload.size)

    def note(tx: Transaction) -> None:
        if spool.stream_by_id(tx, stream.id) is not None:
            tx.put(UPLOADS, "", "", str(stream.id), uploaded)

    await engines.store.submit(note)


def _type(path: str) -> str:
    return "application/octet-stream" if path.startswith("tile/") else "text/plain; charset=utf-8"
