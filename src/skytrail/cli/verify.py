"""`skytrail verify`: whether a trail's files are what was delivered, over a copy of its bucket, without any server."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ..errors import SettingsError
from ..wire import arns

if TYPE_CHECKING:
    from .. import verify as core

_Values = list[str] | None


class Format(StrEnum):
    text = "text"
    json = "json"


def _only(help_: str) -> Any:
    return typer.Option(help=help_, metavar="VALUE", rich_help_panel="What to check", show_default=False)


def _when(help_: str) -> Any:
    return typer.Option(help=help_, metavar="TIME", rich_help_panel="What to check", show_default=False)


def _flag(help_: str, *names: str) -> Any:
    return typer.Option(*names, metavar=" ", help=help_, show_default=False)


def verify(
    directory: Annotated[
        list[str],
        typer.Argument(
            metavar="[s3://BUCKET[/PREFIX]=]DIRECTORY",
            help="What `aws s3 sync s3://BUCKET DIRECTORY` made. Without the place, what most digests say it is.",
            show_default=False,
        ),
    ],
    keys: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="What `aws cloudtrail list-public-keys` printed, or a directory with such *.json files.",
            show_default=False,
        ),
    ] = None,
    without_keys: Annotated[
        bool, _flag("Check hashes only: this does not show who made the digests.", "--without-keys")
    ] = False,
    signatures: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A JSON object from digests' keys to signatures or metadata.", show_default=False
        ),
    ] = None,
    start: Annotated[str | None, _when("Digests that end after 2026-01-31T12:00Z.")] = None,
    end: Annotated[str | None, _when("Digests that begin before such a time.")] = None,
    account: Annotated[_Values, _only("Account; all, if none is named.")] = None,
    region: Annotated[_Values, _only("AWS Region; all, if none is named.")] = None,
    trail: Annotated[_Values, _only("A trail's name or ARN; all, if none is named.")] = None,
    allow_unlisted: Annotated[
        bool, _flag("A trail without digests writes here too: no log file is an added one.", "--allow-unlisted")
    ] = False,
    strict: Annotated[
        bool, _flag("Fail also where something could not be verified: see the notes.", "--strict")
    ] = False,
    output: Annotated[Format, typer.Option("--output", "-o", help="How to print.")] = Format.text,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", metavar=" ", help="Print findings only.")] = False,
    threads: Annotated[
        int, typer.Option(min=0, max=1024, metavar="COUNT", help="At most so many at a time; 0: one a core.")
    ] = 0,
) -> None:
    """Check log files against their digests, and digests against public keys and each other, offline.

    Findings go to the standard output, a line each: what, where, why. The exit status is 0 if there are none,
    1 if there are any, 2 if nothing could be checked as it was asked for.
    """
    from .. import verify as core  # noqa: PLC0415 - only this command needs it
    from ..verify.keys import load as load_keys  # noqa: PLC0415
    from ..verify.signatures import load as load_signatures  # noqa: PLC0415

    if (keys is None) != without_keys:
        raise typer.BadParameter(
            "name what `aws cloudtrail list-public-keys --start-time TIME` printed, or say --without-keys, not both",
            param_hint="--keys",
        )
    sources = [_source(text) for text in directory]
    options = core.Options(
        selection=_selection(start, end, trail or ()),
        accounts=frozenset(_accounts(account or ())),
        regions=frozenset(region or ()),
        allow_unlisted=allow_unlisted,
        threads=threads,
    )
    try:
        given = load_keys(keys) if keys is not None else None
        known = load_signatures(signatures) if signatures is not None else core.Signatures()
        with _bar(quiet) as follow:
            report = core.verify(sources, given, known, options, follow)
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    good = report.complete if strict else report.valid
    _print(report, output, quiet, good)
    if not good:
        raise typer.Exit(1)


# What the options say


def _source(text: str) -> core.Source:
    from ..verify import Source  # noqa: PLC0415

    place, separator, rest = text.partition("=")
    named = separator and place.startswith("s3://")
    directory = Path(rest if named else text)
    if not directory.is_dir():
        raise typer.BadParameter(f"{directory}: there is no such directory", param_hint="DIRECTORY")
    if not named:
        return Source(directory.resolve())
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    if not bucket:
        raise typer.BadParameter(f"{place!r} is not s3://BUCKET or s3://BUCKET/PREFIX", param_hint="DIRECTORY")
    return Source(directory.resolve(), bucket, prefix.strip("/"))


def _selection(start: str | None, end: str | None, trails: Any) -> core.Selection:
    from ..verify import Selection  # noqa: PLC0415

    since, until = _moment(start, "--start"), _moment(end, "--end")
    if since is not None and until is not None and since > until:
        raise typer.BadParameter("--start is after --end: nothing is between them", param_hint="--start")
    return Selection(since, until, frozenset(map(_trail, trails)))


def _moment(text: str | None, option: str) -> float | None:
    from ..verify.layout import seconds  # noqa: PLC0415

    if text is None:
        return None
    for said in (text, f"{text}Z", f"{text}T00:00Z"):
        try:
            return seconds(said)
        except ValueError:
            continue
    raise typer.BadParameter(f"{text!r} is no time: say 2026-01-31 or 2026-01-31T12:00:00Z", param_hint=option)


def _trail(text: str) -> str:
    """A name, or what tells a trail from others with its name: its home Region."""
    if not text.startswith("arn:"):
        return text
    parts = text.split(":")
    if len(parts) != 6 or parts[2] != "cloudtrail" or not parts[5].startswith("trail/"):
        raise typer.BadParameter(f"{text!r} is no trail's ARN", param_hint="--trail")
    return f"{parts[3]}/{parts[5].removeprefix('trail/')}"


def _accounts(accounts: list[str] | tuple[()]) -> Iterator[str]:
    for account in accounts:
        if not arns.is_account(account):
            raise typer.BadParameter(f"an account is 12 digits, not {account!r}", param_hint="--account")
        yield account


# What is printed


@contextmanager
def _bar(quiet: bool) -> Iterator[Callable[[core.Progress], None]]:
    """A bar on a terminal, which goes away at the end."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("Checking"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[said]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=None, said="")

        def follow(progress: core.Progress) -> None:
            said = f"{progress.files} log files, {progress.inflated_bytes / 1e6:.0f} MB"
            bar.update(task, total=progress.units, completed=progress.done, said=said)

        yield follow


def _print(report: core.Report, output: Format, quiet: bool, good: bool) -> None:
    if output is Format.json:
        document = {"valid": good, **_document(report)}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")
        return
    for finding in report.findings:
        found = f" (found at {finding.found})" if finding.found else ""
        _line(sys.stdout, finding.kind, finding.file, finding.reason + found)
    if not quiet:
        for note in report.notes:
            _line(sys.stderr, "note", note.file, note.text)
        for line in _summary(report):
            print(line, file=sys.stderr)


def _line(out: Any, *parts: str) -> None:
    print("\t".join(_plain(part) for part in parts if part), file=out)


def _plain(text: str) -> str:
    """On one line, and without power over a terminal: names of files may be anything."""
    shown = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


def _summary(report: core.Report) -> Iterator[str]:
    from ..verify import when  # noqa: PLC0415

    for place in report.copies_of:
        yield f"Taken as a copy of {place}"
    if report.covered_from is not None and report.covered_to is not None:
        yield f"Digests cover {when(report.covered_from)} to {when(report.covered_to)}"
    digests, logs = report.digests, report.logs
    yield f"{digests.valid} of {digests.checked} digest files and {logs.valid} of {logs.checked} log files are valid"
    count = len(report.findings)
    yield "No findings." if not count else "1 finding." if count == 1 else f"{count} findings."


def _document(report: core.Report) -> dict[str, Any]:
    from ..verify import when  # noqa: PLC0415

    covered = (report.covered_from, report.covered_to)
    return {
        "findings": [_printable(finding) for finding in report.findings],
        "notes": [_printable(note) for note in report.notes],
        "digests": report.digests,
        "logs": report.logs,
        "storedBytes": report.stored_bytes,
        "inflatedBytes": report.inflated_bytes,
        "covered": {"from": when(covered[0]), "to": when(covered[1])}
        if covered[0] is not None and covered[1] is not None
        else None,
        "copiesOf": report.copies_of,
    }


def _printable(said: core.Finding | core.Note) -> dict[str, str]:
    """Names that are no UTF-8 are shown with escapes."""
    members = {name: str(getattr(said, name)) for name in said.__struct_fields__}
    return {name: os.fsencode(text).decode("utf-8", "backslashreplace") for name, text in members.items() if text}
