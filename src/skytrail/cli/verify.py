"""`skytrail verify`: whether a trail's files are what was delivered, over a bucket, or offline over a copy of one."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ..errors import SettingsError, SkytrailError
from ..wire import arns

if TYPE_CHECKING:
    from .. import verify as core
    from ..verify.layout import Object
    from .aws import Aws
    from .buckets import Progress as Fetched

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,254}")
#: A folder in that of an account.
_TOO_DEEP = re.compile(r"(^|/)[0-9]{12}/CloudTrail")

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


def _service(help_: str, metavar: str) -> Any:
    return typer.Option(help=help_, metavar=metavar, rich_help_panel="Buckets", show_default=False)


def verify(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            # Help texts are rich's markup: a bracket that is meant is escaped.
            help=r"s3://BUCKET\[/PREFIX]; or a directory that `aws s3 sync` made of one, "
            r"as s3://BUCKET\[/PREFIX]=DIRECTORY where it is not the one that most digests say.",
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
    keys_from_service: Annotated[
        bool, _flag("Ask CloudTrail for the keys (ListPublicKeys). So it is for a bucket.", "--keys-from-service")
    ] = False,
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
    endpoint_url: Annotated[str | None, _service("Where S3 and CloudTrail are, if not at AWS.", "URL")] = None,
    profile: Annotated[str | None, _service("Of AWS's configuration files.", "NAME")] = None,
    keep: Annotated[
        Path | None, _service("Keep the copy that is checked, in a directory that is new or empty.", "DIRECTORY")
    ] = None,
    allow_unlisted: Annotated[
        bool, _flag("A trail without digests writes here too: no log file is an added one.", "--allow-unlisted")
    ] = False,
    strict: Annotated[
        bool, _flag("Fail also where something could not be verified: see the notes.", "--strict")
    ] = False,
    output: Annotated[Format, typer.Option("--output", "-o", help="How to print.")] = Format.text,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", metavar=" ", help="Print findings, and why --strict fails.")
    ] = False,
    threads: Annotated[
        int, typer.Option(min=0, max=1024, metavar="COUNT", help="At most so many at a time; 0: one a core.")
    ] = 0,
) -> None:
    """Check log files against their digests, and digests against public keys and each other.

    Findings go to the standard output, a line each: what, where, why. The exit status is 0 if there are none,
    1 if there are any, 2 if nothing could be checked as it was asked for.
    """
    from .. import verify as core  # noqa: PLC0415 - only this command needs it

    places, copies = _sources(source)
    _refuse_several(keys, keys_from_service, without_keys)
    from_service = keys_from_service or (bool(places) and keys is None and not without_keys)
    _refuse_needless(places, from_service, keys, without_keys, endpoint_url, profile, keep)
    options = core.Options(
        selection=_selection(start, end, trail or ()),
        accounts=frozenset(_accounts(account or ())),
        regions=frozenset(region or ()),
        allow_unlisted=allow_unlisted,
        threads=threads,
    )
    check = _Check(places, copies, options, signatures, quiet)
    try:
        with _interruptible():
            report = check.run(
                keys, _aws(endpoint_url, profile) if places or from_service else None, from_service, keep
            )
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from error
    except SkytrailError as error:
        print(f"skytrail: {_plain(str(error))}", file=sys.stderr)
        raise typer.Exit(2) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    good = report.complete if strict else report.valid
    _print(report, output, quiet, strict, good)
    if not good:
        raise typer.Exit(1)


class _Check:
    """Buckets are fetched first; then all is checked as directories are."""

    def __init__(
        self,
        places: Sequence[Object],
        copies: Sequence[core.Source],
        options: core.Options,
        signatures: Path | None,
        quiet: bool,
    ) -> None:
        self._places = places
        self._copies = copies
        self._options = options
        self._signatures = signatures
        self._quiet = quiet

    def run(self, keys: Path | None, aws: Aws | None, from_service: bool, keep: Path | None) -> core.Report:
        from .. import verify as core  # noqa: PLC0415
        from ..verify.keys import load as load_keys  # noqa: PLC0415
        from ..verify.signatures import load as load_signatures  # noqa: PLC0415

        given = load_keys(keys) if keys is not None else None
        known = load_signatures(self._signatures) if self._signatures is not None else core.Signatures()
        with _fetched_into(keep if self._places else None) as directory:
            sources = [*self._copies]
            if aws is not None and self._places:
                sources += self._fetch(aws, directory)
            if aws is not None and from_service:
                given = self._ask_for_keys(aws, sources)
            with _bar("Checking", self._quiet) as bar:
                return core.verify(sources, given, known, self._options, partial(_show_checked, bar))

    def _fetch(self, aws: Aws, directory: Path) -> list[core.Source]:
        from .buckets import fetch  # noqa: PLC0415

        with aws.client("s3") as client, _bar("Fetching", self._quiet) as bar:
            return fetch(client, self._places, self._options, directory, partial(_show_fetched, bar))

    def _ask_for_keys(self, aws: Aws, sources: Sequence[core.Source]) -> core.Keys:
        from .. import verify as core  # noqa: PLC0415
        from .public_keys import fetch  # noqa: PLC0415

        return fetch(aws, core.regions(sources, self._options))


def _aws(endpoint_url: str | None, profile: str | None) -> Aws:
    from .aws import Aws  # noqa: PLC0415
    from .buckets import THREADS  # noqa: PLC0415

    return Aws(endpoint_url=endpoint_url, profile=profile, connections=THREADS)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Whoever is told to end tidies up as after Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _fetched_into(keep: Path | None) -> Iterator[Path]:
    """A directory for copies: one that goes away, or one that stays unless something fails."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="skytrail-verify-", ignore_cleanup_errors=True) as directory:
            yield Path(directory)
        return
    try:
        keep.mkdir(parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise SettingsError(f"{keep}: it is not empty, and what is kept must be what was checked")
    except OSError as error:
        raise SettingsError(f"{keep}: {error.strerror}") from error
    try:
        yield keep.resolve()
    except BaseException:
        for below in keep.iterdir():
            shutil.rmtree(below, ignore_errors=True)
        raise


# What the options say


def _sources(texts: Sequence[str]) -> tuple[list[Object], list[core.Source]]:
    """Buckets, and directories."""
    places: list[Object] = []
    copies: list[core.Source] = []
    for text in texts:
        place, separator, directory = text.partition("=")
        if not text.startswith("s3://"):
            copies.append(_copy(text, "", ""))
        elif separator:
            copies.append(_copy(directory, *_place(place)))
        else:
            places.append(_place(place))
    return places, copies


def _place(text: str) -> Object:
    from ..verify.layout import Object  # noqa: PLC0415

    bucket, _, prefix = text.removeprefix("s3://").partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise typer.BadParameter(f"{text!r} is not s3://BUCKET or s3://BUCKET/PREFIX", param_hint="SOURCE")
    if _TOO_DEEP.search(prefix):
        raise typer.BadParameter(f"{text}: name the account's folder, or one above it", param_hint="SOURCE")
    return Object(bucket, prefix.strip("/"))


def _copy(directory: str, bucket: str, prefix: str) -> core.Source:
    from ..verify import Source  # noqa: PLC0415

    if not Path(directory).is_dir():
        raise typer.BadParameter(f"{directory}: there is no such directory", param_hint="SOURCE")
    return Source(Path(directory).resolve(), bucket, prefix)


def _refuse_several(keys: Path | None, keys_from_service: bool, without_keys: bool) -> None:
    if (keys is not None) + keys_from_service + without_keys > 1:
        text = "say one of --keys, --keys-from-service and --without-keys, not more"
        raise typer.BadParameter(text, param_hint="--keys")


def _refuse_needless(
    places: Sequence[Object],
    from_service: bool,
    keys: Path | None,
    without_keys: bool,
    endpoint_url: str | None,
    profile: str | None,
    keep: Path | None,
) -> None:
    if keys is None and not from_service and not without_keys:
        raise typer.BadParameter(
            "name what `aws cloudtrail list-public-keys --start-time TIME` printed, "
            "or say --keys-from-service or --without-keys",
            param_hint="--keys",
        )
    if keep is not None and not places:
        raise typer.BadParameter("only what is fetched is kept: name a bucket", param_hint="--keep")
    for name, value in (("--endpoint-url", endpoint_url), ("--profile", profile)):
        if value is not None and not places and not from_service:
            text = "nothing is asked there: name a bucket, or say --keys-from-service"
            raise typer.BadParameter(text, param_hint=name)


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


#: Takes how much is done, of how much, and what to say of it.
_Bar = Callable[[float, float, str], None]


@contextmanager
def _bar(title: str, quiet: bool) -> Iterator[_Bar]:
    """A bar on a terminal, which goes away at the end."""
    # Variables that ask for colours, as builds have them, make no terminal of a file.
    console = Console(stderr=True, force_terminal=None if sys.stderr.isatty() else False)
    if quiet or not console.is_terminal:
        yield lambda _done, _all, _said: None
        return
    columns = (TextColumn(title), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[said]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=None, said="")
        yield lambda done, all_, said: bar.update(task, completed=done, total=all_ or None, said=said)


def _show_checked(bar: _Bar, progress: core.Progress) -> None:
    said = f"{progress.files} log files, {progress.inflated_bytes / 1e6:.0f} MB"
    bar(progress.done, progress.units, said)


def _show_fetched(bar: _Bar, progress: Fetched) -> None:
    said = f"{progress.fetched} objects, {progress.fetched_bytes / 1e6:.0f} MB"
    bar(progress.fetched, progress.found, said)


def _print(report: core.Report, output: Format, quiet: bool, strict: bool, good: bool) -> None:
    from ..verify.findings import DOUBTS  # noqa: PLC0415

    if output is Format.json:
        document = {"valid": good, **_document(report)}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")
        return
    for finding in report.findings:
        found = f" (found at {finding.found})" if finding.found else ""
        _line(sys.stdout, finding.kind, finding.file, finding.reason + found)
    for note in report.notes:
        # What makes it fail is never kept quiet.
        if not quiet or (strict and note.kind in DOUBTS):
            _line(sys.stderr, "note", note.file, note.text)
    if not quiet:
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
