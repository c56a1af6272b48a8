"""`skytrail lookup`: who did what, over all accounts and Regions, with any number of conditions."""

from __future__ import annotations

import ipaddress
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from .. import settings as settings_module
from ..errors import ServiceError, SkytrailError
from ..settings import Settings
from ..wire import arns
from . import operator
from .output import Format, Found, Printer, printer

if TYPE_CHECKING:
    from ..services.cloudtrail.history.investigate import Search

PATH = "/_skytrail/lookup"

#: Seconds between two looks of a search that follows.
_POLL = 1.0

_Values = list[str] | None

_CATEGORIES = {
    "management": "Management",
    "data": "Data",
    "insight": "Insight",
    "networkactivity": "NetworkActivity",
}

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Found).decode


def _what(help_: str, *names: str) -> Any:
    return typer.Option(*names, help=help_, metavar="VALUE", rich_help_panel="What to find", show_default=False)


def _flag(help_: str, *names: str) -> Any:
    return typer.Option(*names, help=help_, metavar=" ", rich_help_panel="What to find", show_default=False)


def _when(help_: str) -> Any:
    return typer.Option(help=help_, metavar="TIME", rich_help_panel="When", show_default=False)


def lookup(
    text: Annotated[
        _Values, typer.Argument(help="Texts that all occur in the record, in upper or lower case.", show_default=False)
    ] = None,
    name: Annotated[_Values, _what("Event name, such as DeleteBucket.", "--name", "--event-name")] = None,
    source: Annotated[_Values, _what("Event source: s3, or s3.amazonaws.com.")] = None,
    user: Annotated[_Values, _what("The caller's user name, or the name of a role's session.")] = None,
    arn: Annotated[_Values, _what("ARN of the caller, or of the role behind its session.")] = None,
    access_key: Annotated[_Values, _what("Access key id.")] = None,
    ip: Annotated[_Values, _what("Source address, or a network such as 10.0.0.0/8.")] = None,
    resource: Annotated[_Values, _what("A resource's name or ARN.")] = None,
    resource_type: Annotated[_Values, _what("A resource's type, such as AWS::S3::Bucket.")] = None,
    error_code: Annotated[_Values, _what("Error code, such as AccessDenied.")] = None,
    event_id: Annotated[_Values, _what("Event id.")] = None,
    account: Annotated[_Values, _what("Account; all, if none is named.")] = None,
    region: Annotated[_Values, _what("AWS Region; all, if none is named.")] = None,
    category: Annotated[_Values, _what("management, data, insight or networkactivity.")] = None,
    where: Annotated[_Values, _what("KEY=VALUE or KEY!=VALUE; requestParameters.bucketName is a key too.")] = None,
    errors: Annotated[bool, _flag("Only calls that failed.", "--errors")] = False,
    denied: Annotated[bool, _flag("Only calls that were not allowed.", "--denied")] = False,
    read_only: Annotated[bool, _flag("Only reads.", "--read-only")] = False,
    write_only: Annotated[bool, _flag("Only writes.", "--write-only")] = False,
    since: Annotated[str | None, _when("From 30s, 15m, 2h, 3d or 1w ago, or from 2026-01-31T12:00Z.")] = None,
    until: Annotated[str | None, _when("Up to such a time.")] = None,
    limit: Annotated[int, typer.Option(min=0, metavar="COUNT", help="At most so many events; 0: all.")] = 50,
    reverse: Annotated[bool, typer.Option("--reverse", metavar=" ", help="Oldest first.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", metavar=" ", help="Go on with what comes, oldest first.")
    ] = False,
    output: Annotated[Format, typer.Option("--output", "-o", help="How to print.")] = Format.table,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Data directory.")] = None,
    endpoint_url: Annotated[
        str | None, typer.Option(metavar="URL", help="A server in open mode, instead of a data directory.")
    ] = None,
) -> None:
    """Search the events of all accounts and Regions, newest first.

    An option given several times matches any of its values; different options must all match.

    In a value `*` stands for any characters; `!` before it turns it round: --user '!alice'.

    On a terminal events come as a table, in a pipe as lines of tab-separated fields:
    time, account, Region, event, source, user, source address, resources, error. All times are UTC.
    """
    from ..services.cloudtrail.history.conditions import Condition, check  # noqa: PLC0415 - only this command needs it
    from ..services.cloudtrail.history.investigate import Search  # noqa: PLC0415

    if follow and output is Format.json:
        raise typer.BadParameter("a search that follows never ends its JSON array: use jsonl", param_hint="--output")
    _refuse_both("--follow", follow, "--until", until)
    _refuse_both("--read-only", read_only, "--write-only", write_only)
    _refuse_both("--data", data, "--endpoint-url", endpoint_url)
    options = {
        "name": name,
        "source": source,
        "user": user,
        "arn": arn,
        "access-key": access_key,
        "ip": ip,
        "resource": resource,
        "resource-type": resource_type,
        "error-code": error_code,
        "event-id": event_id,
        "account": account,
        "region": region,
        "category": category,
    }
    conditions = [Condition(*parts) for parts in (*_from_options(options), *map(_from_where, where or ()))]
    if read_only or write_only:
        conditions.append(Condition("read-only", "true" if read_only else "false"))
    for condition in conditions:
        try:
            check(condition)
        except ServiceError as error:
            raise typer.BadParameter(str(error.message)) from error
    search = Search(
        conditions=tuple(conditions),
        text=tuple(text or ()),
        errors=errors,
        denied=denied,
        since=_moment(since, "--since"),
        until=_moment(until, "--until"),
        limit=limit or None,
        order="oldest" if reverse else "newest",
    )
    _check_order(search.since, search.until)
    settings = settings_module.load(overrides={"storage.data": str(data) if data else None})
    events = _Events(settings, endpoint_url)
    out = printer(output, sys.stdout, follow=follow)
    if follow:
        _follow(events, search, out)
    elif not _print(events.find(search), out):
        where_not = "" if events.served() else f" in {settings.data_directory} (no server runs there)"
        typer.echo(f"No events match{where_not}.", err=True)


class _Events:
    """Searches on the server, or on the data directory when none runs."""

    def __init__(self, settings: Settings, endpoint_url: str | None) -> None:
        self._settings = settings
        self._endpoint_url = endpoint_url
        #: Where a search that follows goes on.
        self.cursor = 0

    def find(self, search: Search) -> Iterator[Found]:
        whole = False
        for line in operator.stream(self._settings, PATH, encode(search), endpoint_url=self._endpoint_url):
            found = decode(line)
            if found.error is not None:
                raise _refusal(found.error)
            if found.cursor is not None:
                self.cursor, whole = found.cursor, True
            else:
                if search.after is not None:
                    self.cursor = found.position  # a broken answer is taken up behind its last event
                yield found
        if not whole:
            raise SkytrailError("the answer broke off: it is not whole")

    def served(self) -> bool:
        """Whether a server can be asked; one at an endpoint says so itself."""
        return bool(self._endpoint_url) or operator.served(self._settings)


def _refusal(error: Mapping[str, str]) -> Exception:
    if error["code"] == "ValidationException":
        return typer.BadParameter(error["message"])
    return SkytrailError(error["message"])


def _print(found: Iterable[Found], out: Printer) -> bool:
    some = False
    for event in found:
        out.event(event)
        some = True
    out.end()
    return some


def _follow(events: _Events, search: Search, out: Printer) -> None:
    """Print what there is, then what comes, each event once, over restarts of the server too."""
    if not events.served():
        raise SkytrailError("no server runs on this data directory: there is nothing to follow")
    try:
        _print(reversed(list(events.find(msgspec.structs.replace(search, order="newest")))), out)
        complained = False
        while True:
            _pause()
            try:
                # Without a server the data directory is left alone, so that one can start on it.
                if not events.served():
                    raise SkytrailError("the server has stopped")
                _print(events.find(msgspec.structs.replace(search, after=events.cursor, limit=None)), out)
                complained = False
            except SkytrailError as error:
                if not complained:
                    typer.echo(f"{error}; trying again until it goes on.", err=True)
                complained = True
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _pause() -> None:
    time.sleep(_POLL)


# What the options say


def _from_options(options: Mapping[str, Sequence[str] | None]) -> Iterator[tuple[str, str, bool]]:
    for key, values in options.items():
        for given in values or ():
            negated = given.startswith("!")
            value = given[1:] if negated else given.removeprefix("\\") if given.startswith("\\!") else given
            if key == "category":
                value = _category(value)
            elif key == "ip":
                _check_address(value)
            elif key == "account":
                _check_account(value)
            yield key, value, negated


def _from_where(text: str) -> tuple[str, str, bool]:
    parts = re.fullmatch(r"([^=!]+)(!?=)(.*)", text, re.DOTALL)
    if parts is None:
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE or KEY!=VALUE", param_hint="--where")
    return parts[1].strip(), parts[3], parts[2] == "!="


def _category(value: str) -> str:
    try:
        return _CATEGORIES[value.lower()]
    except KeyError:
        raise typer.BadParameter(f"{value!r} is none of {', '.join(_CATEGORIES)}", param_hint="--category") from None


def _check_address(value: str) -> None:
    """An address or a network; a service that calls has its name, or `AWS Internal`, for an address."""
    if "*" in value or value.endswith(".amazonaws.com") or value == "AWS Internal":
        return
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is not a network or an address", param_hint="--ip") from None


def _check_account(value: str) -> None:
    if not (arns.is_account(value) or re.fullmatch(r"[0-9*]*\*[0-9*]*", value)):
        raise typer.BadParameter(f"an account is 12 digits, not {value!r}", param_hint="--account")


def _refuse_both(option: str, value: object, other: str, other_value: object) -> None:
    if value and other_value:
        raise typer.BadParameter(f"{option} and {other} exclude each other: leave one out")


def _check_order(since: float | None, until: float | None) -> None:
    """Times before the server's present one compare with each other only: its clock may be another."""
    if since is not None and until is not None and (since < 0) == (until < 0) and since > until:
        raise typer.BadParameter("--since is after --until: nothing is between them", param_hint="--since")


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def _moment(text: str | None, option: str) -> float | None:
    """Seconds since 1970, or, for a duration, before the server's present time as a negative number."""
    if text is None:
        return None
    if re.fullmatch(r"(?:\d+[smhdw])+", text):
        ago = sum(int(count) * _UNITS[unit] for count, unit in re.findall(r"(\d+)([smhdw])", text))
        if ago:
            return float(-ago)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time: say 30s, 15m, 2h, 3d or 1w for a time ago, or 2026-01-31 or 2026-01-31T12:00:00Z",
            param_hint=option,
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
