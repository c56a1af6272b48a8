"""Upstreams: whatever answers calls in this house's place, with the record made here.

targets                   which service's calls go where: the settings
outgoing, signing         the request as it goes out
http_client, moto_inside  over the network; in this process
aws                       AWS's endpoints and credentials
answers, relay            what came back: read for the record; passed on as it comes
intents                   what stands in the journal's file before a write goes out
failures                  what a client is told when an upstream does not answer as it should
"""

from __future__ import annotations

import asyncio
import time

from ...audit.classify import classify
from ...call import Call
from ...errors import ServiceError
from ...settings import Settings
from ...storage.store import Store
from ...wire.http import Request, Response
from ...wire.routing import Route
from ...work.clock import Clock
from ...work.ids import Ids
from . import answers, failures, outgoing, signing, targets
from .answers import Answer
from .aws import Aws, Place
from .http_client import HttpClient
from .intents import Intents, withdraw
from .moto_inside import InProcess
from .outgoing import Outgoing
from .relay import Relay
from .targets import Address, Credentials, Target

__all__ = ["Relay", "Target", "Upstreams", "withdraw"]


class Upstreams:
    def __init__(self, settings: Settings, store: Store, clock: Clock, ids: Ids) -> None:
        self._settings = settings
        self._ids = ids
        self._targets = targets.read(settings.upstreams)
        self._rest = self._targets.get(targets.REST)
        self._client = HttpClient(settings.upstreams)
        self._aws = Aws()
        self._intents = Intents(store, clock)
        self._moto: InProcess | None = None
        if moto := next((target for target in self._targets.values() if isinstance(target, targets.Moto)), None):
            self._moto = InProcess(moto)
        self._slots = asyncio.Semaphore(settings.upstreams.connections)

    async def start(self) -> None:
        """What a crash left without an outcome becomes records; before the first call is answered."""
        self._client.open()
        await self._intents.settle()

    async def stop(self) -> None:
        await self._client.close()
        if self._moto is not None:
            self._moto.close()

    async def reset(self) -> None:
        """Forget what is kept in this process."""
        if self._moto is not None:
            await self._moto.reset()

    def target(self, route: Route, *, implemented: bool) -> Target | None:
        """Where a call goes: a service that is named goes there always, all else where it is not implemented here."""
        if not self._targets:
            return None
        named = self._targets.get(route.service.name)
        return named if named is not None or implemented else self._rest

    async def answer(self, call: Call, target: Target, *, recorded: bool) -> None:
        """Let the upstream answer: sets the call's response, its output or error, and the request's id.

        Where there is no answer that a client could be given, a ServiceError is raised. `recorded` says whether the
        call will have a record; then a write, and an answer that is passed on as it comes, leave an intent first.
        """
        slot = await self._slot(target)
        try:
            write = _is_write(call)
            if recorded and write:
                await self._intents.leave(call)
            answer = await self._send(call, target, write=write)
            relay = answer.body if isinstance(answer.body, Relay) else None
            if relay is not None:
                slot.keep(relay)
            try:
                if recorded and relay is not None and not call.intent:
                    # Of a read that turns out to be long nothing leaves without a trace.
                    await self._intents.leave(call)
                self._take(call, target, answer, write=write)
            except BaseException:
                if relay is not None:
                    await relay.aclose()
                raise
        finally:
            slot.leave()

    async def _slot(self, target: Target) -> _Slot:
        settings = self._settings.upstreams
        if self._slots.locked():
            try:
                async with asyncio.timeout(settings.seconds):
                    await self._slots.acquire()
            except TimeoutError as error:
                raise failures.busy(target, settings.connections) from error
        else:
            await self._slots.acquire()
        return _Slot(self._slots)

    # To the upstream

    async def _send(self, call: Call, target: Target, *, write: bool) -> Answer:
        assert call.route is not None
        upstreams = self._settings.upstreams
        # One of our own services has the whole answer at once.
        most = upstreams.answer_bytes if call.sent is not None else self._settings.limits.body_bytes
        live = bool(call.route.operation.has_event_stream_output)
        if isinstance(target, targets.Moto):
            assert self._moto is not None
            taken = self._settings.limits.body_bytes
            return await self._moto.send(call, self._unsigned(call), most=taken, seconds=upstreams.seconds, write=write)
        if isinstance(target, Address) and target.credentials is None and call.sent is not None:
            sent, url = outgoing.as_sent(call), target.url
            headers = sent.head.headers
        else:
            place, credentials = await self._signing(call, target)
            sent, url = self._unsigned(call), place.url
            headers = _signed(call, sent, place, credentials)
        return await self._client.send(target, url, sent, headers, write=write, most=most, live=live)

    def _unsigned(self, call: Call) -> Outgoing:
        if call.sent is not None:
            return outgoing.unsigned(call)
        made = outgoing.serialized(call, self._ids)
        if call.route is not None and call.route.service.name == "s3" and made.length is not None:
            # There is no request whose body could be counted.
            call.additional_event_data["bytesTransferredIn"] = made.length
        return made

    async def _signing(self, call: Call, target: Address | targets.Aws) -> tuple[Place, Credentials]:
        assert call.route is not None
        if isinstance(target, Address):
            # An emulator that knows no keys takes an account's number for one.
            credentials = target.credentials or Credentials(call.account, "none")
            return Place(target.url, call.region, call.route.service.signing_name), credentials
        place = await asyncio.to_thread(self._aws.place, call)
        if target.credentials is not None:
            return place, target.credentials
        return place, await asyncio.to_thread(self._aws.credentials)

    # From the upstream

    def _take(self, call: Call, target: Target, answer: Answer, *, write: bool) -> None:
        assert call.route is not None
        most = self._settings.upstreams.answer_bytes if call.sent is not None else self._settings.limits.body_bytes
        try:
            reading = answers.read(call.route, answer, self._settings.limits, most)
        except answers.Unreadable as error:
            if isinstance(answer.body, Relay):
                # What is wrong is in its head alone; the client may understand it.
                reading = answers.Reading({}, None, "")
            else:
                raise failures.unreadable(target, error, write=write) from error
        call.request_id = reading.request_id or call.request_id
        call.output, call.error = reading.output, reading.error
        call.response = Response(answer.status, _passed_on(call, answer), answer.body)
        if isinstance(answer.body, Relay):
            _watch(call, answer.body)


class _Slot:
    """A place among the calls that are under way; an answer that is passed on keeps it to its end."""

    def __init__(self, slots: asyncio.Semaphore) -> None:
        self._slots = slots
        self._kept = False

    def keep(self, relay: Relay) -> None:
        self._kept = True
        relay.then(self._end)

    async def _end(self, _: ServiceError | None) -> None:
        self._slots.release()

    def leave(self) -> None:
        if not self._kept:
            self._slots.release()


def _is_write(call: Call) -> bool:
    assert call.route is not None
    return not classify(call.route.service.name, call.route.operation).read_only


def _signed(call: Call, unsigned: Outgoing, place: Place, credentials: Credentials) -> dict[str, str]:
    assert call.route is not None
    head = unsigned.head
    scheme, _, rest = place.url.partition("://")
    host, slash, base = rest.partition("/")
    head.headers = {**head.headers, "host": host.removesuffix(":443" if scheme == "https" else ":80")}
    kind = call.route.operation.resolved_auth_type or call.route.service.model.metadata.get("signatureVersion")
    if kind in ("none", "bearer"):
        own = call.sent.headers.get("authorization", "") if call.sent is not None and kind == "bearer" else ""
        return {**head.headers, "authorization": own} if own else dict(head.headers)
    signed = Request(head.method, f"{slash}{base}{head.path}", head.query, head.headers)
    # The upstream's time is the machine's, whatever this server's clock is driven to.
    now = time.time()
    return dict(
        signing.sign(signed, credentials, region=place.region, service=place.service, payload=unsigned.payload, now=now)
    )


def _passed_on(call: Call, answer: Answer) -> list[tuple[str, str]]:
    """The answer's headers. To a web page this house alone says what it may read."""
    if "origin" not in call.request.headers:
        return list(answer.headers)
    return [(name, value) for name, value in answer.headers if not name.lower().startswith("access-control-")]


def _watch(call: Call, relay: Relay) -> None:
    """What the record is to say of an answer that ended in the middle."""

    async def note(error: ServiceError | None) -> None:
        call.error = error or call.error
        if call.route is not None and call.route.service.name == "s3":
            call.additional_event_data["bytesTransferredOut"] = relay.passed

    relay.then(note)
