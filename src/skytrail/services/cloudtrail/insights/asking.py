"""What the two operations that show Insights have in common: which trail they are about, and their errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....call import Call
from ....errors import ServiceError
from ... import tokens
from ...engines import Engines
from ..trails import finding, organization
from ..trails.model import Trail

#: They have no error of their own for these.
_UNTOLD = frozenset({"CloudTrailARNInvalidException", "TrailNotFoundException"})


def invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterException", message)


def trail(call: Call, engines: Engines, name: str) -> Trail:
    """A trail whose data events' Insights the caller may see."""
    try:
        found = finding.find(call, engines, name)
    except ServiceError as error:
        if error.code in _UNTOLD:
            raise invalid(error.message or "") from error
        raise
    if found.organization and not organization.is_managed_by(
        engines.store.read, engines.settings.organization, call.account
    ):
        raise ServiceError(
            "OperationNotPermittedException",
            f"Insights on the data events of the organization's trail {found.arn} are shown to the management account "
            "and to delegated administrators only.",
        )
    return found


def place(engines: Engines, token: str, parameters: Sequence[Any]) -> Any:
    try:
        return tokens.unseal(engines.sealer, token, parameters)
    except tokens.InvalidToken:
        raise invalid(
            "The NextToken is not valid, or was given out for other parameters than those of this request."
        ) from None


def moment(time: Any) -> float | None:
    """The model's timestamp, which its parser gives as a datetime."""
    return None if time is None else time.timestamp()
