"""What becomes of a message that was received: deleted, or shown again earlier or later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.store import Transaction
from ..engines import Engines
from . import batches, handles, messages, queues
from .common import Address, addressed, invalid, millis, missing
from .handles import Receipt
from .queues import Queue
from .waiting import lobby_of

if TYPE_CHECKING:
    from types_boto3_sqs.type_defs import (
        ChangeMessageVisibilityBatchRequestTypeDef,
        ChangeMessageVisibilityRequestTypeDef,
        DeleteMessageBatchRequestTypeDef,
        DeleteMessageRequestTypeDef,
    )

_LONGEST = 43200
_EXPIRED = "The receipt handle has expired"


def delete_message(call: Call, request: DeleteMessageRequestTypeDef, engines: Engines) -> Change:
    address, handle = addressed(call, request["QueueUrl"]), request["ReceiptHandle"]
    receipt, lobby = handles.unseal(engines.sealer, address, handle), lobby_of(engines)

    def apply(tx: Transaction) -> dict[str, Any]:
        queue, now = queues.existing(tx, address), millis(engines.clock.time())
        if not _delete(tx, queue, receipt, now):
            raise invalid(handle, "ReceiptHandle", f"{_EXPIRED}.")
        lobby.touch(address)
        return {}

    return Change(apply)


def delete_message_batch(call: Call, request: DeleteMessageBatchRequestTypeDef, engines: Engines) -> Change:
    address, entries = addressed(call, request["QueueUrl"]), request["Entries"]
    batches.check(entries)
    lobby = lobby_of(engines)

    def apply(tx: Transaction) -> dict[str, Any]:
        queue, now = queues.existing(tx, address), millis(engines.clock.time())

        def delete(entry: Any) -> dict[str, Any]:
            if not _delete(tx, queue, handles.unseal(engines.sealer, address, entry["ReceiptHandle"]), now):
                raise ServiceError("ReceiptHandleIsInvalid", _EXPIRED)
            return {}

        output = batches.each(entries, delete)
        lobby.touch(address)
        return output

    return Change(apply)


def _delete(tx: Transaction, queue: Queue, receipt: Receipt, now: int) -> bool:
    """False where the receipt has expired, which FIFO queues mind. What is not there any more is deleted."""
    found = messages.held(tx, queue, receipt.position) if receipt.queue == queue.id else None
    if found is None:
        return True
    row, _ = found
    if row.receives != receipt.receives or (queue.fifo and row.visible_at <= now):
        return not queue.fifo  # a standard queue takes an old handle, and leaves the message to who has the new one
    messages.delete(tx, queue, [(row.position, row.content, row.group_id)])
    return True


def change_message_visibility(call: Call, request: ChangeMessageVisibilityRequestTypeDef, engines: Engines) -> Change:
    address, handle = addressed(call, request["QueueUrl"]), request["ReceiptHandle"]
    receipt, timeout = handles.unseal(engines.sealer, address, handle), _timeout(request)
    lobby = lobby_of(engines)

    def apply(tx: Transaction) -> dict[str, Any]:
        _change(tx, queues.existing(tx, address), receipt, handle, timeout, millis(engines.clock.time()))
        lobby.touch(address)
        return {}

    return Change(apply)


def change_message_visibility_batch(
    call: Call, request: ChangeMessageVisibilityBatchRequestTypeDef, engines: Engines
) -> Change:
    address, entries = addressed(call, request["QueueUrl"]), request["Entries"]
    batches.check(entries)
    lobby = lobby_of(engines)

    def apply(tx: Transaction) -> dict[str, Any]:
        queue, now = queues.existing(tx, address), millis(engines.clock.time())

        def change(entry: Any) -> dict[str, Any]:
            handle = entry["ReceiptHandle"]
            _change(tx, queue, _unsealed(engines, address, handle), handle, _timeout(entry), now)
            return {}

        output = batches.each(entries, change)
        lobby.touch(address)
        return output

    return Change(apply)


def _unsealed(engines: Engines, address: Address, handle: str) -> Receipt:
    return handles.unseal(engines.sealer, address, handle)


def _timeout(request: Any) -> int:
    timeout: int | None = request.get("VisibilityTimeout")
    if timeout is None:
        raise missing("VisibilityTimeout")
    if not 0 <= timeout <= _LONGEST:
        raise invalid(timeout, "VisibilityTimeout", f"Must be >= 0 and <= {_LONGEST}, if provided.")
    return timeout


def _change(tx: Transaction, queue: Queue, receipt: Receipt, handle: str, timeout: int, now: int) -> None:
    found = messages.held(tx, queue, receipt.position) if receipt.queue == queue.id else None
    if found is None:
        raise invalid(
            handle, "ReceiptHandle", "Message does not exist or is not available for visibility timeout change."
        )
    row, received = found
    if row.receives != receipt.receives:
        if queue.fifo:
            raise invalid(handle, "ReceiptHandle", f"{_EXPIRED}.")
        raise invalid(
            handle, "ReceiptHandle", "Message does not exist or is not available for visibility timeout change."
        )
    if row.visible_at <= now or received is None:
        raise ServiceError("MessageNotInflight", "The message referred to is not in flight.")
    until = now + timeout * 1000
    if until - received > _LONGEST * 1000:
        raise invalid(
            timeout,
            "VisibilityTimeout",
            f"Total VisibilityTimeout for the message is beyond the limit [{_LONGEST} seconds]",
        )
    messages.show_at(tx, queue, row, until)
