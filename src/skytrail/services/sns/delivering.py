"""The way out: parcels of the outbox to queues, functions, HTTP endpoints and mail boxes.

What the endpoint itself refuses is not tried again; what may pass is, by the delivery policy of the protocol. What is
given up goes to the subscription's dead-letter queue, if it has one.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from ...errors import ServiceError
from ...storage.store import Store, Transaction
from ...wire import arns
from ...work.outbox import Parcel
from ..engines import Engines
from . import address, delivery_policies, mail, notifications, shipments, subscriptions
from .common import PRINCIPAL, millis
from .delivery_policies import Retries
from .notifications import Letter, Signature
from .refusals import Refused, is_final
from .shipments import FAN_OUT, FUNCTIONS, MAIL, QUEUES, WEB
from .signing import Signer
from .subscription_attributes import dead_letter_queue
from .webhooks import Webhooks

#: A queue takes so much in one call.
_QUEUE_BYTES = 1_048_576
_QUEUE_ENTRIES = 10
_QUEUE_ATTRIBUTES = 10
_HOUR = 3600.0

_log = logging.getLogger(__name__)

#: A letter and its text as it stands for a queue: in its JSON, or raw.
Written = tuple[Letter, str]


class Desk:
    """The deliveries of one server."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._signer = Signer(engines)
        self.webhooks = Webhooks(engines.settings)
        #: Of parcels that are tried again: the messages that need no more, by their ids.
        self._settled: dict[int, set[str]] = {}

    def open(self) -> None:
        lane = self._engines.outbox.lane
        lane(QUEUES, self._to_queue, self._delay_of(delivery_policies.MANAGED), self._give_up)
        lane(FUNCTIONS, self._to_function, self._delay_of(delivery_policies.MANAGED), self._give_up)
        lane(WEB, self._to_web, self._web_delay, self._give_up, concurrency=128)
        lane(MAIL, self._to_mail, self._delay_of(delivery_policies.MAIL), self._give_up, concurrency=4)
        lane(FAN_OUT, self._fan_out, _fan_out_delay, concurrency=1)

    # What is delivered

    def _letters(self, parcel: Parcel) -> list[Letter]:
        """Nothing where the subscription is gone, or everything was settled."""
        shipment = shipments.unpack(parcel.body)
        found = shipments.found_for(self._engines.store.read, shipment)
        if found is None:
            return []
        settled: set[str] = self._settled.get(parcel.id, set())
        url = address.of_server(self._engines.settings)
        return [
            Letter(shipment.kind, *found, message, url) for message in shipment.messages if message.id not in settled
        ]

    async def _sign(self, letters: Sequence[Letter]) -> list[Signature]:
        topic, url = letters[0].topic, letters[0].url
        version = topic.signature_version
        partition = arns.partition_of(topic.address.region)
        texts, path = await self._signer.sign(partition, version, [letter.to_sign() for letter in letters])
        return [Signature(version, text, f"{url}{path}") for text in texts]

    async def _written(self, letters: Sequence[Letter]) -> list[Written]:
        if letters[0].subscription.raw and letters[0].kind == "Notification":
            return [(letter, letter.text) for letter in letters]
        signatures = await self._sign(letters)
        return [
            (letter, notifications.dumps(notifications.document(letter, signature)))
            for letter, signature in zip(letters, signatures, strict=True)
        ]

    # Queues

    async def _to_queue(self, parcel: Parcel) -> None:
        letters = self._letters(parcel)
        if not letters:
            self._settled.pop(parcel.id, None)
            return
        written = await self._written(letters)
        failure: Exception | None = None
        for together in _batches(written):
            try:
                refused = await self._send(letters[0].subscription.endpoint, together)
            except ServiceError as error:
                if is_final(error):
                    raise Refused(str(error)) from error
                failure = error
                if letters[0].topic.fifo:  # what comes after must not overtake
                    break
                continue
            await self._bury([each for each in together if each[0].message.id in refused], refused)
            self._settled.setdefault(parcel.id, set()).update(letter.message.id for letter, _ in together)
        if failure is not None:
            raise failure
        self._settled.pop(parcel.id, None)

    async def _send(self, queue_arn: str, written: Sequence[Written]) -> dict[str, str]:
        """Send to a queue in one call; returns what the queue refused for good, by message id, and why."""
        arn = arns.parse(queue_arn)
        too_many = {
            letter.message.id: f"the message has more than {_QUEUE_ATTRIBUTES} attributes"
            for letter, _ in written
            if letter.subscription.raw and len(letter.attributes) > _QUEUE_ATTRIBUTES
        }
        entries = [_entry(*each, arn.resource) for each in written if each[0].message.id not in too_many]
        if not entries:
            return too_many
        url = f"/{arn.account}/{arn.resource}"
        answer = await self._call(
            arn, "SendMessageBatch", {"QueueUrl": url, "Entries": entries}, written[0][0].topic.arn
        )
        names = {entry["Id"]: letter.message.id for entry, letter in _paired(entries, written)}
        failed = answer.get("Failed", [])
        for entry in failed:
            if not entry.get("SenderFault"):
                raise ServiceError(entry.get("Code", "ServiceUnavailable"), entry.get("Message", ""), status=500)
        return too_many | {names[entry["Id"]]: entry.get("Message", entry.get("Code", "")) for entry in failed}

    async def _call(self, arn: arns.Arn, operation: str, parameters: dict[str, Any], source: str) -> dict[str, Any]:
        return await self._engines.internal.call(
            arn.service,
            operation,
            parameters,
            principal=PRINCIPAL,
            account=arn.account,
            region=arn.region,
            source_arn=source,
        )

    # Functions

    async def _to_function(self, parcel: Parcel) -> None:
        for letter in self._letters(parcel):
            (signature,) = await self._sign([letter])
            payload = notifications.lambda_event(letter, signature)
            arn = arns.parse(letter.subscription.endpoint)
            parameters = {"FunctionName": str(arn), "InvocationType": "Event", "Payload": payload}
            try:
                await self._call(arn, "Invoke", parameters, letter.topic.arn)
            except ServiceError as error:
                if is_final(error):
                    raise Refused(str(error)) from error
                raise

    # HTTP and mail

    async def _to_web(self, parcel: Parcel) -> None:
        for letter, text in await self._written_of(parcel):
            await self.webhooks.post(letter, text)

    async def _to_mail(self, parcel: Parcel) -> None:
        for letter, text in await self._written_of(parcel):
            await mail.send(self._engines.settings.mail, letter, text)

    async def _written_of(self, parcel: Parcel) -> list[Written]:
        letters = self._letters(parcel)
        return await self._written(letters) if letters else []

    # Topics with many subscriptions

    async def _fan_out(self, parcel: Parcel) -> None:
        shipment = shipments.unpack(parcel.body)
        after: int | None = 0

        def some(tx: Transaction) -> int | None:
            assert after is not None
            return shipments.post_rest(tx, self._engines.outbox, shipment, after)

        while after is not None:
            after = await self._engines.store.submit(some)

    # Failures

    def _delay_of(self, retries: Retries) -> Callable[[Parcel, Exception], float | None]:
        def delay(parcel: Parcel, error: Exception) -> float | None:
            return None if isinstance(error, Refused) else retries.delay(parcel.attempts - 1)

        return delay

    def _web_delay(self, parcel: Parcel, error: Exception) -> float | None:
        if isinstance(error, Refused):
            return None
        found = shipments.found_for(self._engines.store.read, shipments.unpack(parcel.body))
        if found is None:
            return None
        return shipments.effective_policy(*found).retries.delay(parcel.attempts - 1)

    async def _give_up(self, parcel: Parcel, error: Exception) -> None:
        letters = self._letters(parcel)
        if letters:
            written = await self._written(letters)
            await self._bury(written, {letter.message.id: str(error) for letter in letters})
        self._settled.pop(parcel.id, None)

    async def _bury(self, written: Sequence[Written], reasons: dict[str, str]) -> None:
        """Send to the dead-letter queue; where there is none, or it takes nothing, a line in the log is all."""
        for letter, text in written:
            reason = reasons.get(letter.message.id, "")
            queue = dead_letter_queue(letter.subscription) if letter.kind == "Notification" else None
            if queue is not None:
                try:
                    left = await self._send(queue, [(letter, text)])
                except ServiceError as error:
                    if not is_final(error):
                        raise
                    left = {letter.message.id: str(error)}
                if not left:
                    continue
                reason += f"; its dead-letter queue: {left[letter.message.id]}"
            _log.warning(
                "SNS dropped a %s to %s (message %s): %s",
                letter.kind,
                letter.subscription.arn,
                letter.message.id,
                reason,
            )


def _fan_out_delay(parcel: Parcel, _: Exception) -> float:
    return min(20.0, 2.0 ** min(parcel.attempts, 5))


def _batches(written: Sequence[Written]) -> list[list[Written]]:
    """In their order, as many together as a queue takes in one call."""
    batches: list[list[Written]] = []
    room = 0
    for letter, text in written:
        size = len(text.encode()) + sum(
            len(name) + len(each.type) + len(each.text.encode()) + len(each.data)
            for name, each in (letter.attributes.items() if letter.subscription.raw else ())
        )
        if not batches or size > room or len(batches[-1]) == _QUEUE_ENTRIES:
            batches.append([])
            room = _QUEUE_BYTES
        batches[-1].append((letter, text))
        room -= size
    return batches


def _entry(letter: Letter, text: str, queue_name: str) -> dict[str, Any]:
    message = letter.message
    entry: dict[str, Any] = {"Id": message.id, "MessageBody": text}
    if letter.subscription.raw and letter.kind == "Notification" and letter.attributes:
        entry["MessageAttributes"] = notifications.queue_attributes(letter)
    if message.trace is not None and letter.kind == "Notification":
        entry["MessageSystemAttributes"] = {"AWSTraceHeader": {"DataType": "String", "StringValue": message.trace}}
    if queue_name.endswith(".fifo"):
        entry["MessageGroupId"] = message.group or message.id
        entry["MessageDeduplicationId"] = message.deduplication_id or message.id
    elif message.group is not None and not letter.topic.fifo:
        entry["MessageGroupId"] = message.group
    return entry


def _paired(entries: Sequence[dict[str, Any]], written: Sequence[Written]) -> list[tuple[dict[str, Any], Letter]]:
    letters = {letter.message.id: letter for letter, _ in written}
    return [(entry, letters[entry["Id"]]) for entry in entries]


# The desk of each server


_desks: weakref.WeakKeyDictionary[Store, Desk] = weakref.WeakKeyDictionary()


def start(engines: Engines) -> None:
    desk = _desks[engines.store] = Desk(engines)
    desk.open()

    async def forget() -> None:
        await engines.store.submit(lambda tx: subscriptions.forget_passed(tx, millis(engines.clock.time())))

    engines.clock.every(_HOUR, forget, upkeep=True)


async def stop(engines: Engines) -> None:
    desk = _desks.pop(engines.store, None)
    if desk is not None:
        await desk.webhooks.close()
