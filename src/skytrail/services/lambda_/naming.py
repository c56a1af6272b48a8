"""Which function a call means: by its name, a part of its ARN, or the whole of it, with or without a qualifier."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ...call import Call
from ...wire import arns
from .common import invalid, refused

LATEST = "$LATEST"
LONGEST_NAME = 64

_FORM = re.compile(
    r"(?:arn:(?P<partition>aws[a-zA-Z-]*):lambda:(?P<region>[a-z]+(?:-[a-z]+)+-\d+):)?"
    r"(?:(?P<account>\d{12}):)?(?:function:)?"
    r"(?P<name>[a-zA-Z0-9_-]+)(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9_-]+))?"
)
_NUMBER = re.compile(r"[0-9]+")


@dataclass(slots=True, frozen=True)
class Target:
    account: str
    region: str
    name: str
    #: A version's number, $LATEST, an alias' name; None where the call gives none.
    qualifier: str | None = None

    @property
    def arn(self) -> str:
        """The function's, without a qualifier."""
        return arns.format("lambda", self.region, self.account, f"function:{self.name}", arns.partition_of(self.region))

    @property
    def qualified(self) -> str:
        """With the qualifier that the call gives, if any."""
        return self.arn if self.qualifier is None else f"{self.arn}:{self.qualifier}"

    def at(self, qualifier: str | None) -> Target:
        return replace(self, qualifier=qualifier)

    @property
    def names_version(self) -> bool:
        return self.qualifier in (None, LATEST) or bool(_NUMBER.fullmatch(self.qualifier or ""))


def target(call: Call, text: str, qualifier: str | None = None) -> Target:
    found = _FORM.fullmatch(text)
    if found is None:
        raise invalid(f"Invalid function name: {text}")
    region, name, own = found["region"] or call.region, found["name"], found["qualifier"]
    if len(name) > LONGEST_NAME:
        raise invalid(f"Value '{name}' at 'functionName' must have length less than or equal to {LONGEST_NAME}")
    if own is not None and qualifier is not None and own != qualifier:
        raise invalid("The derived qualifier from the function name does not match the specified qualifier.")
    if region != call.region:
        raise refused(
            "ResourceNotFoundException", f"Functions from '{region}' are not reachable in this region ('{call.region}')"
        )
    if qualifier is not None and "." in qualifier:
        raise invalid(f"The qualifier {qualifier} is of functions on instances of one's own, which are not supported.")
    return Target(found["account"] or call.account, region, name, own or qualifier)


def target_of_arn(arn: str) -> Target:
    """Of the ARN of a function, qualified or not. ValueError where it is none."""
    parsed = arns.parse(arn)
    kind, _, rest = parsed.resource.partition(":")
    name, _, qualifier = rest.partition(":")
    if parsed.service != "lambda" or kind != "function" or not name:
        raise ValueError(f"not a function's ARN: {arn}")
    return Target(parsed.account, parsed.region, name, qualifier or None)


def unqualified(call: Call, text: str, what: str) -> Target:
    """For operations that are about the function as a whole, or about its $LATEST."""
    found = target(call, text)
    if found.qualifier not in (None, LATEST):
        raise invalid(f"{what} is not supported on an alias or version: use the function's unqualified name.")
    return found.at(None)
