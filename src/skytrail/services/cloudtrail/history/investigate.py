"""The investigator's search: any number of conditions, over all accounts and Regions, through everything that is kept.

The answer is a stream of JSON lines. Each event is a line `{"position", "user", "resources", "record"}`, `record`
being the CloudTrail record as it was stored. The last line is `{"cursor": N}`, from which a later search goes on, or
`{"error": {"code", "message"}}`; an answer without one of them is not whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal

import msgspec
import orjson

from ....errors import ColumnsError, ServiceError
from ...engines import Engines
from .conditions import Condition, Parameters, conjunction, containing, denied
from .reading import catch_up, seconds, unavailable
from .resources import resources_of

#: Events read from the columns at one time: it bounds the memory of an answer, whatever its limit.
_PAGE = 500
#: All values and words of a search, in bytes: they travel to the columns in the head of a request.
LONGEST_SEARCH = 16_384
_FEW = msgspec.Meta(max_length=200)


class Search(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    #: None named: all.
    accounts: Annotated[tuple[str, ...], _FEW] = ()
    regions: Annotated[tuple[str, ...], _FEW] = ()
    #: Values of one key are alternatives; different keys must all hold, and so must negated conditions.
    conditions: Annotated[tuple[Condition, ...], _FEW] = ()
    #: Each of them occurs somewhere in the record, whether in upper or in lower case.
    text: Annotated[tuple[str, ...], _FEW] = ()
    errors: bool = False
    denied: bool = False
    #: Seconds since 1970, both ends included; a negative number counts back from the server's present time.
    since: float | None = None
    until: float | None = None
    #: None: all that match.
    limit: Annotated[int, msgspec.Meta(ge=1)] | None = 50
    order: Literal["newest", "oldest"] = "newest"
    #: Only what was recorded after this cursor, in the order in which it was; `order` has no part then.
    after: Annotated[int, msgspec.Meta(ge=0)] | None = None


async def answer(engines: Engines, body: bytes) -> AsyncIterator[bytes]:
    """The lines for a Search in JSON."""
    try:
        wanted = msgspec.json.decode(body, type=Search)
    except msgspec.DecodeError as error:
        yield _error(ServiceError("ValidationException", f"Not a search: {error}"))
        return
    try:
        async for line in _lines(engines, wanted):
            yield line
    except ServiceError as error:
        yield _error(error)
    except ColumnsError as error:
        yield _error(unavailable(error))


async def _lines(engines: Engines, search: Search) -> AsyncIterator[bytes]:
    # Checked first, so that a wrong condition is told at once.
    _, bound = statement(search, now=engines.clock.time(), end=0)
    if sum(len(str(value).encode()) for value in bound.values()) > LONGEST_SEARCH:
        raise ServiceError("ValidationException", f"A search has at most {LONGEST_SEARCH} bytes of values and words.")
    end = await catch_up(engines)
    now = engines.clock.time()
    if search.after is not None and search.after > end:
        search = msgspec.structs.replace(search, after=0)  # the history was cleared meanwhile
    left = search.limit
    place: tuple[int, int] | None = None
    while left is None or left > 0:
        count = _PAGE if left is None else min(left, _PAGE)
        sql, parameters = statement(search, now=now, end=end, place=place, count=count)
        page = await engines.columns.query(sql, parameters)
        for _, position, user, record in page:
            names = [resource.name for resource in resources_of(record) if resource.name]
            head = orjson.dumps({"position": position, "user": user, "resources": names})
            yield b'%s,"record":%s}\n' % (head[:-1], record.encode())
        if len(page) < count:
            break
        place = page[-1][0], page[-1][1]
        if left is not None:
            left -= len(page)
    else:
        # The limit ended it: what arrived behind the last event is still to come.
        if search.after is not None:
            end = place[1] if place else search.after
    yield orjson.dumps({"cursor": end}) + b"\n"


def statement(
    search: Search, *, now: float, end: int, place: tuple[int, int] | None = None, count: int = _PAGE
) -> tuple[str, dict[str, object]]:
    """The query for the `count` events behind `place` (time in seconds, position), and the values bound in it."""
    parameters = Parameters()
    conditions = _conditions(search, now, parameters)
    conditions.append(f"position <= {parameters.bind(end, 'UInt64')}")
    if search.after is not None:
        ordering = "position"
        behind = place[1] if place else search.after
        conditions.append(f"position > {parameters.bind(behind, 'UInt64')}")
    else:
        direction, beyond = ("DESC", "<") if search.order == "newest" else ("ASC", ">")
        ordering = f"event_time {direction}, position {direction}"
        if place:
            time = _moment(place[0], parameters)
            position = parameters.bind(place[1], "UInt64")
            conditions.append(f"event_time {beyond}= {time}")
            conditions.append(f"(event_time {beyond} {time} OR position {beyond} {position})")
    sql = (
        f"SELECT toUnixTimestamp(event_time), position, username, record FROM events"
        f" WHERE {' AND '.join(conditions)} ORDER BY {ordering} LIMIT {parameters.bind(count, 'UInt64')}"
    )
    return sql, parameters.values


def _conditions(search: Search, now: float, parameters: Parameters) -> list[str]:
    named = [Condition("account", account) for account in search.accounts]
    named += [Condition("region", region) for region in search.regions]
    found = conjunction([*named, *search.conditions], parameters)
    for comparison, moment in ((">=", search.since), ("<=", search.until)):
        if moment is not None:
            bound = _moment(seconds(now + moment if moment < 0 else moment), parameters)
            found.append(f"event_time {comparison} {bound}")
    if search.errors:
        found.append("error_code != ''")
    if search.denied:
        found.append(denied(parameters))
    found += [containing(text, parameters) for text in search.text if text]
    return found


def _moment(second: int, parameters: Parameters) -> str:
    return f"toDateTime({parameters.bind(second, 'UInt32')}, 'UTC')"


def _error(error: ServiceError) -> bytes:
    return orjson.dumps({"error": {"code": error.code, "message": error.message or ""}}) + b"\n"
