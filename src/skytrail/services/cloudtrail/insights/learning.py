"""What a watch has learnt: its series in bins, as far back as the baseline goes. It is kept in memory and read anew
after a start."""

from __future__ import annotations

from collections.abc import Iterable

from ....storage.columns import Columns
from . import counting, method
from .counting import MOST_SERIES, Whose
from .method import HOUR, Bin, Outlook
from .walking import Series


class Learnt:
    def __init__(self, learning: float) -> None:
        self._learning = learning
        self._size = method.bin_minutes(learning)
        self._bins: dict[Series, dict[int, Bin]] = {}
        #: By type, the first bin that has not been read.
        self._reached: dict[str, int] = {}
        self._outlooks: dict[Series, tuple[int, Outlook]] = {}

    @property
    def known(self) -> int:
        return len(self._bins)

    async def reach(self, columns: Columns, whose: Whose, types: Iterable[str], first: int, last: int) -> None:
        """Have what it takes to judge the minutes from `first` until before `last`."""
        begin = method.baseline_begin(first, self._learning) // self._size
        until = (last - 1) // self._size
        for type_ in types:
            start = max(begin, self._reached.get(type_, begin))
            if start < until:
                for series, bins in (await counting.bins(columns, whose, type_, self._size, start, until)).items():
                    self._bins.setdefault(series, {}).update(bins)
                self._reached[type_] = until
        self._forget(begin)

    def _forget(self, begin: int) -> None:
        for series, bins in list(self._bins.items()):
            while bins and (oldest := min(bins)) < begin:
                del bins[oldest]
            if not bins:
                del self._bins[series]
        if len(self._bins) > 2 * MOST_SERIES:
            busiest = sorted(self._bins, key=lambda series: -sum(each.calls for each in self._bins[series].values()))
            self._bins = {series: self._bins[series] for series in busiest[:MOST_SERIES]}
        self._outlooks = {series: self._outlooks[series] for series in self._outlooks if series in self._bins}

    def outlook(self, series: Series, at: int) -> Outlook:
        """Of a series that was never seen too."""
        here = at // HOUR if self._size == HOUR else at
        found = self._outlooks.get(series)
        if found is None or found[0] != here:
            begin = method.baseline_begin(at, self._learning)
            found = here, method.outlook(self._bins.get(series, {}), begin, at, self._size)
            self._outlooks[series] = found
        return found[1]
