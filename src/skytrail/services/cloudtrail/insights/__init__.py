"""Insights: unusual rates of calls and of errors, found in the records themselves."""

from __future__ import annotations

import logging

from ....errors import StorageError
from ...engines import Engines
from .driven import Driven
from .judging import Judge
from .listing import list_insights_data
from .method import DAY
from .metric_data import list_insights_metric_data
from .wanting import selects

__all__ = ["list_insights_data", "list_insights_metric_data", "selects", "start"]

#: Counts are kept for as long as they can be asked for.
_KEPT_DAYS = 91

_log = logging.getLogger(__name__)


def start(engines: Engines) -> None:
    judge = Judge(engines)
    engines.clock.every(60, judge.run, upkeep=True)
    engines.clock.settle_with(Driven(engines, judge).settle)

    async def expire() -> None:
        try:
            await engines.columns.expire("call_counts", engines.clock.time() - _KEPT_DAYS * DAY * 60)
        except StorageError as error:
            _log.warning("counts of calls older than %d days stay until tomorrow: %s", _KEPT_DAYS, error)

    engines.clock.every(DAY * 60, expire, upkeep=True)
