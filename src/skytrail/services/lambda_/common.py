"""What Lambda's operations share: errors, times, pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from ...call import Call
from ...errors import ServiceError
from .. import tokens
from ..engines import Engines

#: The service as a principal, and in invokedBy.
PRINCIPAL = "lambda.amazonaws.com"
PAGE = 50


def refused(code: str, message: str, *, status: int | None = None, **members: Any) -> ServiceError:
    return ServiceError(code, message, status=status, members={"Type": "User", **members})


def invalid(message: str) -> ServiceError:
    return refused("InvalidParameterValueException", message)


def unsupported(parameter: str, why: str) -> ServiceError:
    return invalid(f"{parameter} is not supported: {why}")


def missing_function(arn: str) -> ServiceError:
    return refused("ResourceNotFoundException", f"Function not found: {arn}")


def check_revision(given: str | None, current: str, how: str = "GetFunction/GetAlias") -> None:
    if given is not None and given != current:
        raise refused(
            "PreconditionFailedException",
            "The Revision Id provided does not match the latest Revision Id. "
            f"Call the {how} API to retrieve the latest Revision Id",
        )


def out_of_range(member: str, value: int, least: int, most: int) -> ServiceError | None:
    """What AWS answers to a number outside the limits of functions that do not run on instances of one's own."""
    if least <= value <= most:
        return None
    bound = f"less than or equal to {most}" if value > most else f"greater than or equal to {least}"
    return ServiceError(
        "ValidationException",
        f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: "
        f"Member must have value {bound}",
        status=400,
    )


# Times


def stamp(seconds: float) -> str:
    """A time as functions show it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{int(seconds * 1000) % 1000:03}+0000"


def iso(seconds: float) -> str:
    """A time as records and log lines show it."""
    return stamp(seconds).removesuffix("+0000") + "Z"


# Pages


def page(
    call: Call,
    engines: Engines,
    member: str,
    items: Callable[[str], Iterable[tuple[str, Any]]],
    *,
    most: int = 10_000,
) -> dict[str, Any]:
    """The page that the call asks for. `items` gives what follows a name, in the order of names, each with its name."""
    asked = call.input or {}
    limit = min(asked.get("MaxItems", PAGE), most, PAGE)
    given = {name: asked[name] for name in sorted(asked.keys() - {"Marker", "MaxItems"})}
    listing = ["lambda", call.account, call.region, member, given]
    after = ""
    if asked.get("Marker"):
        try:
            after = str(tokens.unseal(engines.sealer, asked["Marker"], listing))
        except tokens.InvalidToken:
            raise invalid("Invalid Marker provided.") from None
    found = list(islice(items(after), limit + 1))
    output: dict[str, Any] = {member: [shown for _, shown in found[:limit]]}
    if len(found) > limit:
        output["NextMarker"] = tokens.seal(engines.sealer, found[limit - 1][0], listing)
    return output
