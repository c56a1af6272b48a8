"""PutEventSelectors and GetEventSelectors: which events a trail takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ....call import Call, Change
from ....languages import event_selectors
from ....storage.store import Transaction
from ...engines import Engines
from ..trails import finding, model
from ..trails.model import Trail
from . import advanced_rules, classic_rules

if TYPE_CHECKING:
    from types_boto3_cloudtrail.type_defs import GetEventSelectorsRequestTypeDef, PutEventSelectorsRequestTypeDef


def put_event_selectors(call: Call, request: PutEventSelectorsRequestTypeDef, engines: Engines) -> Change:
    """What is put last replaces what was there, of either kind."""
    found = finding.own(call, engines, request["TrailName"])
    classic, advanced = _given(request)

    def apply(tx: Transaction) -> dict[str, Any]:
        trail = msgspec.structs.replace(
            finding.current(tx, found),
            # A trail that selects as one of which nothing was said has no selectors of its own.
            event_selectors=None if classic == [classic_rules.DEFAULT] else classic,
            advanced_selectors=advanced,
        )
        model.save(tx, trail)
        return _answer(trail)

    return Change(apply)


def get_event_selectors(call: Call, request: GetEventSelectorsRequestTypeDef, engines: Engines) -> dict[str, Any]:
    return _answer(finding.find(call, engines, request["TrailName"]))


def matcher(trail: Trail) -> event_selectors.Matcher:
    if trail.advanced_selectors is not None:
        return event_selectors.advanced(trail.advanced_selectors)
    return event_selectors.classic(trail.event_selectors)


def _given(
    request: PutEventSelectorsRequestTypeDef,
) -> tuple[list[dict[str, Any]] | None, list[dict[str, Any]] | None]:
    given: Any = request
    classic, advanced = given.get("EventSelectors"), given.get("AdvancedEventSelectors")
    if classic and advanced:
        raise classic_rules.invalid("Use either EventSelectors or AdvancedEventSelectors, not both.")
    if advanced:
        return None, advanced_rules.filled(advanced)
    if classic:
        return classic_rules.filled(classic), None
    # An empty list takes nothing away: selectors that are to go are replaced by the default one.
    raise classic_rules.wrong_number()


def _answer(trail: Trail) -> dict[str, Any]:
    if trail.advanced_selectors is not None:
        return {"TrailARN": trail.arn, "AdvancedEventSelectors": trail.advanced_selectors}
    return {"TrailARN": trail.arn, "EventSelectors": trail.event_selectors or [classic_rules.DEFAULT]}
