"""All of a check, on all cores: units are examined, their log files hashed, and what is left over is settled.

Threads do, since inflating and hashing release the interpreter's lock. Log files go before the next unit, so what waits
in memory is no more than the digests of as many units as there are threads.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

import msgspec

from ..errors import SettingsError
from . import layout
from .chains import DELIVERED_WITHIN, USUAL_SPAN, Examined, Listed, Selection, bounds, examine, when
from .digests import read
from .findings import Finding, Kind, Note, NoteKind, Report
from .inflate import Fault, Hashed, Inflated, hash_file
from .keys import Keys
from .layout import Home, Object, Places, Source, Unit
from .settle import BadLog, Loose, settle
from .signatures import Signatures
from .spans import Span, Spans

#: Log files that one thread takes at a time.
_BATCH = 8
#: Digests that are asked where they lie.
_MOST_VOTES = 16
#: Files of which it is looked whether they are ones that are missing.
_MOST_CANDIDATES = 100_000


class Options(msgspec.Struct, frozen=True):
    selection: Selection = Selection()
    accounts: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    #: Log files that no digest names are no findings: a trail without digests writes here too.
    allow_unlisted: bool = False
    threads: int = 0


class Progress(msgspec.Struct):
    """How far a check is. Each unit counts one, and grows with its log files."""

    units: int = 0
    done: float = 0.0
    files: int = 0
    inflated_bytes: int = 0


def verify(
    sources: Sequence[Source],
    keys: Keys | None,
    signatures: Signatures,
    options: Options,
    follow: Callable[[Progress], object] = lambda _: None,
) -> Report:
    threads = options.threads or os.cpu_count() or 1
    homes = [home for source in sources for home in _homes(source)]
    _refuse_doubles(homes)
    found = [
        unit
        for unit in layout.units(homes)
        if (not options.accounts or unit.account in options.accounts)
        and (not options.regions or unit.region in options.regions)
    ]
    executor = ThreadPoolExecutor(threads)
    try:
        return _Check(executor, threads, Places(homes), keys, signatures, options, follow).run(found)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def regions(sources: Sequence[Source], options: Options) -> dict[str, Span]:
    """Whose digests are there to be checked, and when the first and the last of them end: what keys are asked for."""
    found: dict[str, Span] = {}
    for folder in (folder for source in sources for folder in layout.account_folders(str(source.directory))):
        if options.accounts and os.path.basename(folder) not in options.accounts:
            continue
        for path in layout.files(os.path.join(folder, layout.DIGESTS)):
            name = layout.digest_name(path)
            if name is None or (options.regions and name.region not in options.regions):
                continue
            if options.selection.takes(name.time - USUAL_SPAN, name.time) and options.selection.wants(name):
                known = found.get(name.region, Span(name.time, name.time))
                found[name.region] = Span(min(known.start, name.time), max(known.end, name.time))
    return found


def _homes(source: Source) -> Iterator[Home]:
    root = str(source.directory)
    for folder in layout.account_folders(root):
        account = os.path.basename(folder)
        if source.bucket:
            below = folder.removeprefix(root)
            prefix = source.prefix + below if source.prefix else below.removeprefix("/")
            area = source.area if source.fetched else source.prefix
            yield Home(folder, account, source.bucket, prefix, root, source.fetched, area)
        else:
            place = _place(folder, account)
            area = f"/{place.key}".removesuffix(folder.removeprefix(root)).removeprefix("/")
            yield Home(folder, account, place.bucket, place.key, root, area=area)


def _refuse_doubles(homes: Sequence[Home]) -> None:
    known: dict[Object, Home] = {}
    for home in homes:
        place = Object(home.bucket, home.prefix)
        other = known.setdefault(place, home)
        if home.bucket and other is not home:
            raise SettingsError(f"{other.directory} and {home.directory} are both copies of {place}: name one of them")


def _place(folder: str, account: str) -> Object:
    """What most of its digests say that an account's folder is a copy of."""
    votes: Counter[Object] = Counter()
    for path in _sample(os.path.join(folder, layout.DIGESTS)):
        digest = read(path, Object("", "")).digest
        if digest is not None:
            prefix, between, _ = digest.digest_s3_object.partition(f"/{layout.DIGESTS}/")
            if between and prefix.rpartition("/")[2] == account:
                votes[Object(digest.digest_s3_bucket, prefix)] += 1
    if votes:
        return votes.most_common(1)[0][0]
    return Object("", f"AWSLogs/{account}")


def _sample(folder: str) -> list[str]:
    paths = [path for path in layout.files(folder) if path.endswith(".gz")]
    return paths[:: max(1, -(-len(paths) // _MOST_VOTES))]


class _Under(msgspec.Struct):
    """A unit whose log files are being hashed."""

    files: int
    left: int


class _Check:
    def __init__(
        self,
        executor: ThreadPoolExecutor,
        threads: int,
        places: Places,
        keys: Keys | None,
        signatures: Signatures,
        options: Options,
        follow: Callable[[Progress], object],
    ) -> None:
        self._executor = executor
        self._threads = threads
        self._places = places
        self._keys = keys
        self._signatures = signatures
        self._options = options
        self._follow = follow
        self._progress = Progress()
        self._report = Report()
        self._loose = Loose()
        #: Of which digests were checked; a trail by its home Region and its name.
        self._accounts: set[str] = set()
        self._regions: set[str] = set()
        self._trails: set[str] = set()
        self._running: dict[Future[Any], Callable[[Any], None]] = {}
        self._waiting: deque[tuple[list[Listed], _Under]] = deque()

    def run(self, units: Sequence[Unit]) -> Report:
        self._progress.units = len(units)
        left = deque(units)
        while left or self._waiting or self._running:
            while len(self._running) < 2 * self._threads and (self._waiting or left):
                if self._waiting:
                    batch, under = self._waiting.popleft()
                    self._start(partial(_hash_listed, batch), partial(self._hashed, under))
                else:
                    self._start(partial(self._examine, left.popleft()), self._examined)
            done, _ = wait(self._running, return_when=FIRST_COMPLETED)
            for future in done:
                self._running.pop(future)(future.result())
            self._follow(self._progress)
        self._conclude()
        return self._report

    def _start(self, task: Callable[[], Any], then: Callable[[Any], None]) -> None:
        self._running[self._executor.submit(task)] = then

    # A unit: its digests, and the log files that none of them names

    def _examine(self, unit: Unit) -> tuple[Examined, _Unlisted]:
        examined = examine(unit, self._places, self._keys, self._signatures, self._options.selection)
        return examined, _unlisted(examined, self._options.selection)

    def _examined(self, result: tuple[Examined, _Unlisted]) -> None:
        examined, unlisted = result
        report, loose = self._report, self._loose
        report.findings += examined.findings
        report.notes += examined.notes
        report.digests.add(examined.tally.checked, examined.tally.valid)
        if examined.trails:
            self._accounts.add(examined.unit.account)
            self._regions.add(examined.unit.region)
            self._trails |= {f"{home_region}/{name}" for home_region, name in examined.trails}
        covered = bounds(examined.selected)
        if covered is not None:
            start, end = covered
            report.covered_from = start if report.covered_from is None else min(report.covered_from, start)
            report.covered_to = end if report.covered_to is None else max(report.covered_to, end)
        loose.missing_digests += examined.missing.values()
        loose.displaced += examined.displaced
        self._take_unlisted(examined.unit, unlisted)
        under = _Under(len(examined.listed), len(examined.listed))
        if not under.files:
            self._progress.done += 1
        size = max(1, min(_BATCH, under.files // (4 * self._threads)))
        for start_ in range(0, under.files, size):
            self._waiting.append((examined.listed[start_ : start_ + size], under))

    def _take_unlisted(self, unit: Unit, unlisted: _Unlisted) -> None:
        where = f"{unit.account} in {unit.region}"
        if self._options.allow_unlisted:
            if unlisted.added:
                text = f"{len(unlisted.added)} log files of {where} are named by no digest, though digests cover"
                self._report.notes.append(Note(NoteKind.UNLISTED, f"{text} their time"))
            self._loose.uncovered += unlisted.added
            self._loose.shared.update(filter(layout.may_be_delivered, [*unlisted.added, *unlisted.uncovered]))
        else:
            self._loose.added += unlisted.added
        if unlisted.times:
            span = f"from {when(min(unlisted.times))} to {when(max(unlisted.times))}"
            text = f"{len(unlisted.times)} log files of {where}, {span}, are covered by no digest that is believed"
            self._report.notes.append(Note(NoteKind.UNCOVERED, text))
        self._loose.coming |= unlisted.coming
        self._loose.shared |= unlisted.shared
        room = _MOST_CANDIDATES - len(self._loose.uncovered)
        self._loose.uncovered += unlisted.uncovered[: max(0, room)]

    # Log files

    def _hashed(self, under: _Under, results: list[tuple[Listed, Hashed]]) -> None:
        report, progress = self._report, self._progress
        for listed, hashed in results:
            inflated = hashed.inflated
            sound = inflated.fault is None and hashed.sha256 == listed.sha256
            if not sound:
                self._loose.bad.append(BadLog(listed, hashed))
            report.logs.add(1, int(sound))
            report.stored_bytes += inflated.stored
            report.inflated_bytes += inflated.size
            progress.inflated_bytes += inflated.size
        under.left -= len(results)
        progress.files += len(results)
        progress.done += len(results) / under.files

    def _hash_all(self, paths: Sequence[str]) -> Iterable[tuple[str, Hashed]]:
        return zip(paths, self._executor.map(hash_file, paths), strict=True)

    def _conclude(self) -> None:
        report = self._report
        homes = self._places.homes
        report.findings += settle(self._loose, self._places, self._hash_all, partial(layout.strays, homes))
        self._miss_what_was_asked_for()
        if self._keys is None:
            text = "signatures were not checked: whoever could write here could also have made all digests anew"
            report.notes.append(Note(NoteKind.WITHOUT_KEYS, text))
        report.findings = list(dict.fromkeys(report.findings))
        report.findings.sort(key=lambda finding: (finding.file, finding.kind, finding.reason))
        report.notes.sort(key=lambda note: (note.kind, note.file, note.text))
        copies = [home for home in homes if home.bucket and not home.fetched]
        places = {Object(home.bucket, home.prefix.rpartition("/")[0]) for home in copies}
        report.copies_of = sorted(str(place) for place in places)

    def _miss_what_was_asked_for(self) -> None:
        """Nothing found is nothing checked: that is no success."""
        options, found = self._options, self._report.findings
        trails = self._trails | {trail.partition("/")[2] for trail in self._trails}
        for what, asked, seen in (
            ("account", options.accounts, self._accounts),
            ("Region", options.regions, self._regions),
            ("trail", options.selection.trails, trails),
        ):
            for name in sorted(asked - seen):
                found.append(Finding(Kind.NO_DIGESTS, "", f"there are no digest files of the {what} {name}"))
        if not self._report.digests.checked and not found:
            found.append(Finding(Kind.NO_DIGESTS, "", "there are no digest files: nothing was checked"))


class _Unlisted(msgspec.Struct):
    """Log files that no digest names."""

    #: Digests cover their time.
    added: list[str] = []
    #: The others, and what is no log file by its name.
    uncovered: list[str] = []
    #: Of those that are log files.
    times: list[float] = []
    #: Those of them that a digest may name that is not here; and where this may be one of several trails.
    coming: set[str] = set()
    shared: set[str] = set()


def _unlisted(examined: Examined, selection: Selection) -> _Unlisted:
    found = _Unlisted()
    for home in examined.unit.homes:
        covered = Spans(examined.covered[home.directory]).without(Spans(examined.doubtful[home.directory]))
        trails = examined.delivering[home.directory]
        several = len(trails) > 1
        asked = not selection.trails or any(selection.wants_trail(*trail) for trail in trails)
        for path in layout.log_files(home, examined.unit.region):
            if path in examined.named:
                continue
            times = layout.log_times(path)
            if times is None:
                found.uncovered.append(path)
            elif selection.takes(*times):
                start, end = times
                if covered.touch(start, end) if start < end else covered.cover(start, start + DELIVERED_WITHIN):
                    found.added.append(path)
                else:
                    found.uncovered.append(path)
                    if asked:
                        found.times.append(start)
                    if layout.may_be_delivered(path):
                        (found.shared if several else found.coming).add(path)
    return found


def _hash_listed(listed: Sequence[Listed]) -> list[tuple[Listed, Hashed]]:
    return [(log, hash_file(log.path) if log.path is not None else _NOWHERE) for log in listed]


_NOWHERE = Hashed(Inflated(0, 0, Fault.MISSING, "its place is no part of what was checked"), "")
