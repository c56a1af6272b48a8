"""Events on paper: a table for a person, plain lines for a pipe, JSON, JSON lines or CSV for a program."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, BinaryIO, NamedTuple, Protocol, TextIO

import msgspec
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text


class Format(StrEnum):
    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"


class Found(msgspec.Struct):
    """A line of an answer: an event, or its end."""

    position: int = 0
    user: str = ""
    resources: list[str] = []
    #: The record's text, as it was stored.
    record: msgspec.Raw = msgspec.Raw(b"")
    cursor: int | None = None
    error: dict[str, str] | None = None


class Printer(Protocol):
    def event(self, found: Found) -> None: ...

    def end(self) -> None: ...


def printer(format_: Format, out: TextIO, *, follow: bool = False) -> Printer:
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="backslashreplace")  # a character that the terminal does not have stops nothing
    if format_ is Format.jsonl:
        return _JsonLines(out.buffer)
    if format_ is Format.json:
        return _Json(out.buffer)
    if format_ is Format.csv:
        return _Csv(out)
    if not out.isatty():
        return _Plain(out)
    console = Console(file=out, highlight=False)
    return _Running(console) if follow else _Table(console)


# JSON: the records' text, untouched


class _JsonLines:
    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def event(self, found: Found) -> None:
        self._out.write(bytes(found.record) + b"\n")
        self._out.flush()

    def end(self) -> None:
        pass


class _Json:
    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._before = b"[\n"

    def event(self, found: Found) -> None:
        self._out.write(self._before + bytes(found.record))
        self._before = b",\n"

    def end(self) -> None:
        self._out.write(b"[]\n" if self._before == b"[\n" else b"\n]\n")
        self._out.flush()


# Rows: some members of each record


class Row(NamedTuple):
    time: str
    account: str
    region: str
    name: str
    source: str
    user: str
    ip: str
    resource: str
    error: str


def row(found: Found) -> Row:
    record = _members(found.record)
    identity = _members_of(record.get("userIdentity"))
    insight = _members_of(record.get("insightDetails"))
    return Row(
        _text(record.get("eventTime")),
        _text(record.get("recipientAccountId") or identity.get("accountId")),
        _text(record.get("awsRegion")),
        _text(record.get("eventName") or insight.get("eventName")),
        _text(record.get("eventSource") or insight.get("eventSource")),
        _text(_user(found, identity)),
        _text(record.get("sourceIPAddress")),
        _text(_turn(insight) or " ".join(found.resources)),
        _text(record.get("errorCode") or insight.get("errorCode")),
    )


def _turn(insight: dict[str, Any]) -> str:
    """An Insights event has no resources, but a state and a type."""
    return " ".join(str(insight[member]) for member in ("state", "insightType") if insight.get(member))


def _user(found: Found, identity: dict[str, Any]) -> Any:
    """Who called; of a role's session the role too, since the session's name is anyone's choice."""
    if identity.get("type") == "AssumedRole":
        issuer = _members_of(_members_of(identity.get("sessionContext")).get("sessionIssuer"))
        return f"{issuer.get('userName', '')}/{found.user}"
    return found.user or identity.get("invokedBy")


def _members(record: msgspec.Raw) -> dict[str, Any]:
    return _members_of(msgspec.json.decode(record))


def _members_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    """On one line, and without power over a terminal: what cannot be printed is shown as its escape."""
    text = "" if value is None else str(value)
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


class _Plain:
    """A line an event, its members parted by tabs, always the same ones: for grep and cut."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def event(self, found: Found) -> None:
        self._out.write("\t".join(row(found)) + "\n")
        self._out.flush()

    def end(self) -> None:
        pass


#: The names are those of the record's members, where it has them.
_CSV_HEADER = (
    *("eventTime", "account", "awsRegion", "eventName", "eventSource", "userName", "sourceIPAddress", "resources"),
    *("errorCode", "userArn", "accessKeyId", "userAgent", "readOnly", "errorMessage", "requestID", "eventID"),
)


class _Csv:
    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._csv = csv.writer(out, lineterminator="\n")
        self._csv.writerow(_CSV_HEADER)

    def event(self, found: Found) -> None:
        record = _members(found.record)
        identity = _members_of(record.get("userIdentity"))
        further = [identity.get("arn"), identity.get("accessKeyId"), record.get("userAgent"), _flag(record)]
        further += [record.get(member) for member in ("errorMessage", "requestID", "eventID")]
        self._csv.writerow([*row(found), *map(_text, further)])
        self._out.flush()

    def end(self) -> None:
        pass


def _flag(record: dict[str, Any]) -> str:
    return str(record.get("readOnly", "")).lower()


# A terminal: a line an event, in columns as wide as the terminal has room for


class _Column(NamedTuple):
    #: Columns that matter less go before it shrinks below this.
    good: int
    #: It never shrinks below this.
    least: int
    #: Its width where what comes is not known yet.
    usual: int


_COLUMNS = {
    "Time (UTC)": _Column(19, 19, 14),
    "Event": _Column(20, 16, 28),
    "Service": _Column(10, 8, 14),
    "User": _Column(10, 6, 18),
    "Source": _Column(15, 9, 15),
    "Resource": _Column(16, 6, 28),
    "Error": _Column(16, 16, 24),
    "Account": _Column(12, 12, 12),
    "Region": _Column(12, 9, 14),
}
_DROPPED_FIRST = ("Region", "Source", "Service")
_DROPPED_LAST = ("Account", "Resource", "User")
_BETWEEN = "  "


def layout(wanted: Mapping[str, int], room: int, *, dropped: Sequence[str] = _DROPPED_FIRST) -> dict[str, int]:
    """The columns that are shown, with their widths: at most what each wants, and together no more than the room."""
    shown = dict(wanted)

    def fits(widths: Sequence[int]) -> bool:
        return sum(widths) + len(_BETWEEN) * (len(widths) - 1) <= room

    for title in dropped:
        if not fits([min(width, _COLUMNS[name].good) for name, width in shown.items()]):
            shown.pop(title, None)
    for title in _DROPPED_LAST:
        if not fits([min(width, _COLUMNS[name].least) for name, width in shown.items()]):
            shown.pop(title, None)
    widths = {title: min(width, _COLUMNS[title].least) for title, width in shown.items()}
    growing = list(shown)
    while growing := [title for title in growing if widths[title] < shown[title]]:
        for title in growing:
            if not fits([*widths.values(), 1 - len(_BETWEEN)]):
                return widths
            widths[title] += 1
    return widths


def _cells(row: Row) -> dict[str, str]:
    return {
        "Time (UTC)": _time(row.time),
        "Event": row.name,
        "Service": row.source.removesuffix(".amazonaws.com"),
        "User": row.user,
        "Source": row.ip,
        "Resource": row.resource,
        "Error": row.error,
        "Account": row.account,
        "Region": row.region,
    }


def _time(text: str) -> str:
    """Without the year where it is the present one."""
    return text.removeprefix(f"{_present_year()}-").replace("T", " ").removesuffix("Z")


def _present_year() -> int:
    return datetime.now(UTC).year


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._cut = "~" if console.options.ascii_only else "…"

    def header(self, widths: Mapping[str, int]) -> None:
        self._write({title: title for title in widths}, widths, "bold")

    def line(self, cells: Mapping[str, str], widths: Mapping[str, int]) -> None:
        self._write(cells, widths, "red" if cells["Error"] else "")

    def _write(self, cells: Mapping[str, str], widths: Mapping[str, int], style: str) -> None:
        text = _BETWEEN.join(self._fitted(cells[title], width) for title, width in widths.items())
        self._console.print(Text(text.rstrip(), style=style), no_wrap=True, overflow="ellipsis")

    def _fitted(self, text: str, width: int) -> str:
        return set_cell_size(text, width) if cell_len(text) <= width else set_cell_size(text, width - 1) + self._cut


class _Table:
    """Columns as wide as what is in them, where the terminal has room for it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: list[dict[str, str]] = []

    def event(self, found: Found) -> None:
        self._rows.append(_cells(row(found)))

    def end(self) -> None:
        if not self._rows:
            return
        wanted = {title: max(cell_len(title), *(cell_len(cells[title]) for cells in self._rows)) for title in _COLUMNS}
        for title in ("Account", "Region"):  # one that all events share would be a column of noise
            if len({cells[title] for cells in self._rows}) == 1:
                del wanted[title]
        widths = layout(wanted, self._console.width)
        lines = _Lines(self._console)
        lines.header(widths)
        for cells in self._rows:
            lines.line(cells, widths)


class _Running:
    """A line an event as it comes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._wanted = {title: column.usual for title, column in _COLUMNS.items()}
        self._shown: dict[str, int] = {}

    def event(self, found: Found) -> None:
        cells = _cells(row(found))
        self._wanted["Time (UTC)"] = max(self._wanted["Time (UTC)"], len(cells["Time (UTC)"]))
        widths = layout(self._wanted, self._console.width, dropped=("Region", "Account", *_DROPPED_FIRST))
        lines = _Lines(self._console)
        if widths != self._shown:
            lines.header(widths)
            self._shown = widths
        lines.line(cells, widths)

    def end(self) -> None:
        pass
