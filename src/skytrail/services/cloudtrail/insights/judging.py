"""The work of Insights: each minute, the minutes that have passed are counted and judged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import msgspec

from ....errors import QueryTooLarge, StorageError
from ...engines import Engines
from ..trails import model
from . import counting, method, records
from .counting import Whose
from .learning import Learnt
from .method import WINDOW
from .records import Comparison, Insight
from .walking import CALM, Course, Series, Turn, Walk
from .watching import WATCHES, Overtaken, Watch, Wish, save, wishes

#: Records are written a moment after the time that they tell.
GRACE_SECONDS = 5.0
#: Minutes that are counted again each time, for the sake of records that are later still.
LATE = 10
#: Minutes that are judged at one time.
STRETCH = 360
#: More are not counted at one time: records are not kept for longer.
_MOST_MINUTES = 95 * method.DAY

_log = logging.getLogger(__name__)


class Judge:
    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        #: By the watch's id.
        self._learnt: dict[str, Learnt] = {}
        self._running = asyncio.Lock()
        #: Whether an insight may wait for its end.
        self.open = True

    async def run(self) -> None:
        """Once a minute; after a longer time, for all the minutes that have passed."""
        async with self._running:
            await self._run()
            self.open = any(watch.open for _, _, _, watch in self._engines.store.read.everywhere(WATCHES))

    async def _run(self) -> None:
        engines = self._engines
        reader = engines.store.read
        trails = [trail for trail in model.every(reader) if trail.insight_selectors]
        watches = {(watch.account, watch.trail): watch for _, _, _, watch in reader.everywhere(WATCHES)}
        if not trails and not watches:
            return
        wanted = wishes(trails, engines.settings.organization)
        until = int((engines.clock.time() - GRACE_SECONDS) // 60)
        try:
            await engines.column_writer.catch_up("audit")
        except StorageError as error:
            _log.warning("Insights waits for a minute: %s", error)
            return
        for where in dict.fromkeys((*watches, *wanted)):
            try:
                await self._follow(wanted.get(where), watches.get(where), until)
            except Overtaken:
                continue  # everything was reset meanwhile
            except StorageError as error:
                _log.warning("Insights of account %s wait for a minute: %s", where[0], error)
        alive = {watch.id for _, _, _, watch in reader.everywhere(WATCHES)}
        self._learnt = {id_: learnt for id_, learnt in self._learnt.items() if id_ in alive}

    async def _follow(self, wish: Wish | None, watch: Watch | None, until: int) -> None:
        if wish is None:
            if watch is not None:
                await self._give_up(watch)
            return
        # Of another selection, and of a time that the clock has left again, nothing is known.
        if watch is None or watch.key != wish.whose.key or watch.judged > until + 1:
            watch = await self._begin(wish.whose, watch, until)
        if watch.judged >= until:
            return
        watch = await self._count(wish.whose, watch, until)
        watch = await self._end_unwanted(wish, watch)
        while watch.judged < until:
            watch = await self._judge(wish, watch, until)

    # Watches

    async def _begin(self, whose: Whose, before: Watch | None, until: int) -> Watch:
        """Judging begins now; counting, where the baseline does. What has started in the watch before, ends."""
        since = method.baseline_begin(until, self._engines.settings.trail.insights_learning) - CALM - WINDOW
        watch = Watch(
            id=self._engines.ids.uuid(),
            account=whose.account,
            trail=whose.trail,
            since=since,
            counted=since,
            judged=until - 1,
            key=whose.key,
        )
        return await self._keep(before, watch, await self._ends(before, whose) if before is not None else ())

    async def _count(self, whose: Whose, watch: Watch, until: int) -> Watch:
        columns = self._engines.columns
        first = max(watch.since, min(watch.counted, watch.judged) - LATE, until - _MOST_MINUTES)
        await counting.count(columns, whose, first, until, self._engines.column_writer.done("audit"))
        return await self._keep(
            watch,
            msgspec.structs.replace(
                watch,
                since=watch.since if first <= watch.counted else first,
                counted=until,
                began=watch.began or await counting.first_minute(columns, whose, until) or until,
            ),
        )

    async def _give_up(self, watch: Watch) -> None:
        """No trail wants it any more. What has started, ends."""
        await self._keep(watch, None, await self._ends(watch, None))
        self._learnt.pop(watch.id, None)

    async def _ends(self, watch: Watch, whose: Whose | None) -> list[bytes]:
        """Of all that is open. Where another selection is known now, or none, the counts of this one still are."""
        if whose is None or whose.key != watch.key:
            whose = Whose(watch.account, watch.trail, "0", watch.key)
        return [await self._end(whose, insight, insight.restless + 1) for insight in watch.open]

    async def _end_unwanted(self, wish: Wish, watch: Watch) -> Watch:
        """The insights of types and Regions that no trail wants any more."""
        unwanted = [each for each in watch.open if not wish.wants(each.series.type, each.series.region)]
        if not unwanted:
            return watch
        ends = [await self._end(wish.whose, insight, insight.restless + 1) for insight in unwanted]
        left = [insight for insight in watch.open if insight not in unwanted]
        return await self._keep(watch, msgspec.structs.replace(watch, open=left), ends)

    async def _keep(self, before: Watch | None, after: Watch | None, ends: Iterable[bytes] = ()) -> Watch:
        await self._engines.store.submit(lambda tx: save(tx, before, after, ends))
        return after or before  # type: ignore[return-value]

    # Judging

    async def _judge(self, wish: Wish, watch: Watch, until: int) -> Watch:
        """The next stretch of minutes."""
        columns, whose, learning = self._engines.columns, wish.whose, self._engines.settings.trail.insights_learning
        first = watch.judged
        if not watch.open:
            # Where nothing was called nothing is to be judged, however long it is.
            busy = await counting.next_minute(columns, whose, first - WINDOW + 1, until)
            first = until if busy is None else max(first, busy)
        last = min(until, first + STRETCH)
        courses = {insight.series: Course(insight.start, insight.restless) for insight in watch.open}
        turns: list[Turn] = []
        if first < last:
            counts = await counting.minutes(columns, whose, wish.types, first - WINDOW - CALM, last)
            counts = {series: counts[series] for series in counts if wish.wants(series.type, series.region)}
            learnt = self._learnt.setdefault(watch.id, Learnt(learning))
            await learnt.reach(columns, whose, wish.types, first, last)
            ready = watch.began + int(learning // 60)
            turns = await asyncio.to_thread(
                lambda: Walk(counts, learnt.outlook, known=learnt.known, ready=ready).over(first, last, courses)
            )
        opened = {insight.series: insight for insight in watch.open}
        written = await self._written(watch, whose, turns, opened)
        left = [
            msgspec.structs.replace(insight, restless=courses[series].restless) for series, insight in opened.items()
        ]
        return await self._keep(watch, msgspec.structs.replace(watch, judged=last, open=left), written)

    async def _written(
        self, watch: Watch, whose: Whose, turns: list[Turn], opened: dict[Series, Insight]
    ) -> list[bytes]:
        """The records of what turned; `opened` follows."""
        written = []
        for turn in turns:
            if turn.state == "Start":
                insight, record = await self._start(watch, whose, turn)
                opened[turn.series] = insight
            else:
                record = await self._end(whose, opened.pop(turn.series), turn.end)
            written.append(record)
        return written

    async def _start(self, watch: Watch, whose: Whose, turn: Turn) -> tuple[Insight, bytes]:
        ids, columns = self._engines.ids, self._engines.columns
        learning = self._engines.settings.trail.insights_learning
        begin = max(method.baseline_begin(turn.start, learning), watch.began)
        compared = Comparison(
            duration=max(1, turn.start - begin),
            calls=await counting.total(columns, whose, turn.series, begin, turn.start),
            attributions=await self._attributions(whose, turn.series, begin, turn.start),
        )
        insight = Insight(ids.uuid(), whose.account, whose.trail, turn.series, turn.start, turn.told, compared)
        first = turn.told - WINDOW + 1
        record = records.record(
            insight,
            ids.uuid(),
            "Start",
            minute=turn.start,
            duration=WINDOW,
            calls=turn.calls,
            attributions=await self._attributions(whose, turn.series, first, turn.told + 1),
        )
        return insight, record

    async def _end(self, whose: Whose, insight: Insight, end: int) -> bytes:
        end = max(end, insight.start + 1)
        return records.record(
            insight,
            self._engines.ids.uuid(),
            "End",
            minute=end,
            duration=end - insight.start,
            calls=await counting.total(self._engines.columns, whose, insight.series, insight.start, end),
            attributions=await self._attributions(whose, insight.series, insight.start, end),
        )

    async def _attributions(
        self, whose: Whose, series: Series, first: int, last: int
    ) -> dict[str, list[tuple[str, int]]] | None:
        """A record may do without them, where there is more to be read than a query may read."""
        try:
            return await counting.attributions(self._engines.columns, whose, series, first, last)
        except QueryTooLarge as error:
            _log.warning("an Insights event has no attributions: %s", error)
            return None
