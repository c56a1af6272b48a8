"""Events on paper: a table for a person, plain lines for a pipe, JSON, JSON lines or CSV for a program."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, BinaryIO, NamedTuple, Protocol, TextIO

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
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
    console = Console(file=out, highlight=False, soft_wrap=follow)
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
        _text(found.user or identity.get("invokedBy")),
        _text(record.get("sourceIPAddress")),
        _text(" ".join(found.resources)),
        _text(record.get("errorCode")),
    )


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


# A terminal

_WIDTHS = {"Time (UTC)": 20, "Event": 28, "Service": 14, "User": 18, "Source": 15, "Resource": 28, "Error": 24}


def _cells(row: Row) -> list[str]:
    return [row.time, row.name, row.source.removesuffix(".amazonaws.com"), row.user, row.ip, row.resource, row.error]


def _style(row: Row) -> str:
    return "red" if row.error else ""


class _Table:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._rows: list[Row] = []

    def event(self, found: Found) -> None:
        self._rows.append(row(found))

    def end(self) -> None:
        if not self._rows:
            return
        # An account or a Region that all events share would be a column of noise.
        beside = [
            (title, member)
            for title, member in (("Account", "account"), ("Region", "region"))
            if len({getattr(row, member) for row in self._rows}) > 1
        ]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for title in (*_WIDTHS, *(title for title, _ in beside)):
            table.add_column(title, overflow="fold", no_wrap=title == "Time (UTC)")
        for row_ in self._rows:
            cells = [*_cells(row_), *(getattr(row_, member) for _, member in beside)]
            table.add_row(*map(Text, cells), style=_style(row_))
        self._console.print(table)


class _Running:
    """A line an event as it comes, in columns of fixed width; a longer text pushes the others on."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def event(self, found: Found) -> None:
        shown = row(found)
        self._console.print(Text(self._line(_cells(shown)), style=_style(shown)))

    def end(self) -> None:
        pass

    @staticmethod
    def _line(cells: Iterable[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS.values(), strict=True)).rstrip()
