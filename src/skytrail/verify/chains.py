"""The digests of an account in a Region: which are to be believed, which are missing, and what they name.

A digest is believed when some signature verifies over its content and its place. Where the signature lies proves
nothing: RSA does. A digest names the one before it, with its hash and its signature; so a chain is walked from its
newest digest back, and each digest is judged by what the one after it says, as far as that one is to be believed.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from enum import Enum, auto
from typing import NamedTuple

import msgspec

from . import digests
from .digests import Digest, DigestFile
from .findings import Finding, Kind, Note, NoteKind, Tally
from .keys import Keys, Shown
from .layout import DigestName, Home, Object, Places, Unit, digest_files, digest_name
from .misstated import believable
from .signatures import SIDE_FILES, Signatures, signed_file
from .spans import Span

#: How long a digest covers, where nothing says it.
USUAL_SPAN = 3600.0
#: A log file is in a digest at most so long after the time in its name.
DELIVERED_WITHIN = 900.0
#: A chain may go on for so long after its newest digest: the next one has an hour to cover, and may come late.
_NEXT_DIGEST_WITHIN = 7200.0


class Selection(NamedTuple):
    """What is to be checked."""

    start: float | None = None
    end: float | None = None
    #: Names; where the home Region matters too, `home-region/name`.
    trails: frozenset[str] = frozenset()

    def takes(self, start: float, end: float) -> bool:
        return (self.start is None or end >= self.start) and (self.end is None or start <= self.end)

    def wants(self, name: DigestName) -> bool:
        return self.wants_trail(name.home_region, name.trail)

    def wants_trail(self, home_region: str, trail: str) -> bool:
        return not self.trails or not self.trails.isdisjoint((trail, f"{home_region}/{trail}"))


class Listed(NamedTuple):
    """A log file, as a digest names it."""

    object: Object
    path: str | None
    sha256: str


class MissingDigest(NamedTuple):
    object: Object
    path: str
    reason: str


class _Standing(Enum):
    AUTHENTIC = auto()
    #: Nothing speaks against it, but its signature is not here.
    UNVERIFIED = auto()
    FORGED = auto()
    BAD = auto()


_BELIEVED = (_Standing.AUTHENTIC, _Standing.UNVERIFIED)


class Examined(msgspec.Struct):
    unit: Unit
    findings: list[Finding] = []
    notes: list[Note] = []
    tally: Tally = msgspec.field(default_factory=Tally)
    listed: list[Listed] = []
    #: Paths of all log files that a believed digest names, also of trails that are not checked.
    named: set[str] = set()
    #: By the folder that the digests lie in.
    covered: dict[str, list[Span]] = msgspec.field(default_factory=lambda: defaultdict(list))
    #: When log files were delivered that only a digest names which is missing, not believed, or still to come.
    doubtful: dict[str, list[Span]] = msgspec.field(default_factory=lambda: defaultdict(list))
    #: By the folder too: the trails whose digests are there, by their home Regions and names.
    delivering: dict[str, set[tuple[str, str]]] = msgspec.field(default_factory=lambda: defaultdict(set))
    missing: dict[Object, MissingDigest] = {}
    displaced: list[DigestFile] = []
    #: Of the digests that were checked: what they cover, and whose they are.
    selected: list[Span] = []
    trails: set[tuple[str, str]] = set()


def examine(unit: Unit, places: Places, keys: Keys | None, signatures: Signatures, selection: Selection) -> Examined:
    return _Examination(unit, places, keys, signatures, selection).run()


class _Examination:
    def __init__(
        self, unit: Unit, places: Places, keys: Keys | None, signatures: Signatures, selection: Selection
    ) -> None:
        self._unit = unit
        self._places = places
        self._keys = keys
        self._signatures = signatures
        self._selection = selection
        self._examined = Examined(unit)
        #: Digests by the place that they state; one that lies there goes before one that does not.
        self._own: dict[Object, DigestFile] = {}
        self._broken: dict[Object, DigestFile] = {}
        #: Side files; what they sign may be missing.
        self._sides: list[str] = []
        #: Digests that are there, but come after the selection.
        self._later: set[Object] = set()
        #: By the digest that it names as the one before it.
        self._after: dict[Object, DigestFile] = {}
        self._standing: dict[Object, _Standing] = {}

    def run(self) -> Examined:
        self._read()
        chains: dict[tuple[object, ...], list[DigestFile]] = defaultdict(list)
        for file in [*self._own.values(), *self._broken.values()]:
            assert file.name is not None
            chains[file.name.chain].append(file)
        for chain in chains.values():
            chain.sort(key=_time, reverse=True)
            self._walk(chain)
        self._look_for_orphans()
        return self._examined

    def _read(self) -> None:
        displaced = []
        for path, object_ in self._window():
            file = digests.read(path, object_)
            if file.name is None:
                continue  # no digest by its name, nor by its content
            if file.digest is None:
                self._broken[object_] = file
            elif file.displaced:
                displaced.append(file)
            else:
                self._own[object_] = file
        for file in believable(displaced, [*self._own.values()], self._places, self._keys, self._signatures):
            if file.digest is None:
                self._broken[file.object] = file
                continue
            assert file.name is not None
            if self._wanted(file):
                self._examined.displaced.append(file)
            here = (file.name.account, file.name.region) == (self._unit.account, self._unit.region)
            if here and self._places.path(file.digest.stated) is not None:
                self._own.setdefault(file.digest.stated, file)

    def _window(self) -> Iterator[tuple[str, Object]]:
        """Digest files from the selection's start on, and two of each chain behind what was delivered after its end.

        The first covers that; the second has the signature of the first.
        """
        start, end = self._selection.start, self._selection.end
        behind: dict[tuple[object, ...], int] = defaultdict(int)
        dated = []
        for home in self._unit.homes:
            for path in digest_files(home, self._unit.region):
                if path.endswith(SIDE_FILES):
                    self._sides.append(path)
                elif path.endswith(".gz"):
                    object_ = home.object(path)
                    name = digest_name(object_.key)
                    if name is None:
                        yield path, object_
                    elif start is None or name.time >= start:
                        dated.append((name, path, object_))
        for name, path, object_ in sorted(dated, key=lambda found: found[0].time):
            if end is not None and name.time >= end + DELIVERED_WITHIN:
                behind[name.chain] += 1
                if behind[name.chain] > 2:
                    self._later.add(object_)
                    continue
            yield path, object_

    # A chain, from its newest digest back

    def _walk(self, chain: Sequence[DigestFile]) -> None:
        #: The last one that was believed.
        link: DigestFile | None = None
        for number, file in enumerate(chain):
            older = _time(chain[number + 1]) if number + 1 < len(chain) else None
            if file.digest is None:
                self._judge(file, _Standing.BAD, f"digest-{file.fault}", file.detail)
            elif (link_reason := self._unlinked(file, link)) is not None:
                self._judge(file, _Standing.BAD, Kind.DIGEST_ADDED, link_reason)
            else:
                self._check(file, link, newest=number == 0)
            assert file.name is not None
            self._examined.delivering[self._folder(file)].add((file.name.home_region, file.name.trail))
            if not file.name.backfill:
                self._cover(file, older)
            self._point_back(file)
            if self._believed(file):
                link = file
                self._name(file)
                self._look_before(file, chain[number + 1 :])
        if chain and chain[0].name is not None and not chain[0].name.backfill:
            newest = _time(chain[0])
            self._doubt(chain[0], newest, newest + _NEXT_DIGEST_WITHIN)

    def _unlinked(self, file: DigestFile, link: DigestFile | None) -> str | None:
        """Why it cannot be part of its chain: a later digest names an earlier one as the one before it."""
        assert file.digest is not None
        if link is None or link.digest is None or file.digest.stated in self._after:
            return None
        previous = link.digest.previous
        name = digest_name(previous.key) if previous is not None else None
        if name is None or name.time >= _time(file) or Shown.VALID in self._beside(file):
            return None
        assert previous is not None
        return f"no digest names it: the one after it names {previous.key} as the one before"

    def _check(self, file: DigestFile, link: DigestFile | None, *, newest: bool) -> None:
        assert file.digest is not None
        digest = file.digest
        after = self._after.get(digest.stated)
        if self._keys is None:
            self._check_hash(file, after)
        elif digest.digest_public_key_fingerprint not in self._keys:
            reason = f"it is signed with a key that was not given: {digest.digest_public_key_fingerprint}"
            self._judge(file, _Standing.FORGED, Kind.DIGEST_UNKNOWN_KEY, reason)
        else:
            self._check_signature(file, after, link, newest=newest)

    def _check_hash(self, file: DigestFile, after: DigestFile | None) -> None:
        if after is not None and after.digest is not None and self._believed(after):
            said = after.digest.previous_digest_hash_value
            if said is not None and said != file.sha256:
                reason = "its hash is not the one that the digest after it names"
                self._judge(file, _Standing.BAD, Kind.DIGEST_CHANGED, reason)
                return
        self._judge(file, _Standing.AUTHENTIC)

    def _check_signature(
        self, file: DigestFile, after: DigestFile | None, link: DigestFile | None, *, newest: bool
    ) -> None:
        beside = self._beside(file)
        repeated = self._repeated(file, after)
        if Shown.VALID in beside or repeated is Shown.VALID:
            self._judge(file, _Standing.AUTHENTIC)
            if any(shown is not Shown.VALID for shown in beside):
                reason = "the signature that was given for it is not its own, but the one in the next digest is"
                self._find(Kind.SIGNATURE_CHANGED, file, reason)
            elif self._bare(file):
                reason = "its object's metadata has no signature, but the next digest has it"
                self._find(Kind.SIGNATURE_MISSING, file, reason)
            return
        trusted = [*beside]
        if repeated is not None and after is not None:
            together = self._standing.get(_identity(after)) is _Standing.FORGED and repeated is Shown.OTHER_KEY
            if self._believed(after) or together:
                trusted.append(repeated)
        if not trusted and self._bare(file):
            reason = "its object's metadata has no signature, nor has a digest after it: anyone may have written it"
            self._judge(file, _Standing.BAD, Kind.SIGNATURE_MISSING, reason)
        elif not trusted:
            self._judge(file, _Standing.UNVERIFIED)
            self._note_unsigned(file, after, link, newest=newest)
        elif Shown.OTHER_KEY in trusted:
            assert file.digest is not None
            key = file.digest.digest_public_key_fingerprint
            reason = f"its signature was not made with the key that it names, {key}"
            self._judge(file, _Standing.FORGED, Kind.DIGEST_FORGED, reason + self._or_the_next(after))
        else:
            reason = "its signature is that of another content"
            self._judge(file, _Standing.BAD, Kind.DIGEST_CHANGED, reason + self._or_the_next(after))

    def _bare(self, file: DigestFile) -> bool:
        """Whether no signature came with it, though one would have come."""
        if not self._home(file).fetched or file.displaced:
            return False
        return not self._signatures.of(file.object, file.path)

    def _or_the_next(self, after: DigestFile | None) -> str:
        """Who is to blame where the signature comes from a digest that could not be verified itself."""
        if after is None or self._standing.get(_identity(after)) is not _Standing.UNVERIFIED:
            return ""
        return "; or the digest after it was changed, whose own signature is not here"

    def _beside(self, file: DigestFile) -> list[Shown]:
        assert file.digest is not None
        if self._keys is None or file.digest.digest_public_key_fingerprint not in self._keys:
            return []
        if file.displaced and self._came_along(file):
            return [Shown.VALID]
        place = self._places.path(file.digest.stated)
        return [
            self._shown(file.digest, file.sha256, signature)
            for signature in self._signatures.of(file.digest.stated, place or file.path)
        ]

    def _came_along(self, file: DigestFile) -> bool:
        """Whether what lies beside a displaced digest is its own signature, not that of the one whose place it took."""
        assert file.digest is not None
        if self._keys is None or file.digest.digest_public_key_fingerprint not in self._keys:
            return False
        found = self._signatures.of(file.object, file.path)
        return any(self._shown(file.digest, file.sha256, one) is Shown.VALID for one in found)

    def _repeated(self, file: DigestFile, after: DigestFile | None) -> Shown | None:
        """What the signature shows that the digest after it repeats."""
        if after is None or after.digest is None or after.digest.previous_digest_signature is None:
            return None
        assert file.digest is not None
        return self._shown(file.digest, file.sha256, after.digest.previous_digest_signature)

    def _shown(self, digest: Digest, sha256: str, signature: str) -> Shown:
        assert self._keys is not None
        return self._keys.show(digest.digest_public_key_fingerprint, signature, digest.string_to_sign(sha256))

    def _note_unsigned(
        self, file: DigestFile, after: DigestFile | None, link: DigestFile | None, *, newest: bool
    ) -> None:
        if newest:
            text = "the newest digest's signature is not in the directory: it could not be verified"
            self._note(NoteKind.NEWEST_UNSIGNED, file, text)
        elif after is not None or link is None:
            text = "its signature is in the digest after it, which is not to be believed: it could not be verified"
            self._note(NoteKind.UNVERIFIED, file, text)
        elif link.digest is not None and link.digest.previous is None:
            text = "the signature of this last digest before a pause is not in the directory: it could not be verified"
            self._note(NoteKind.NEWEST_UNSIGNED, file, text)
        else:
            text = "its signature is in the digest after it, which is not there or broken: it could not be verified"
            self._note(NoteKind.UNVERIFIED, file, text)

    # What follows from a digest

    def _cover(self, file: DigestFile, older: float | None) -> None:
        end = _time(file)
        if self._believed(file):
            self._examined.covered[self._folder(file)].append(Span(file.start, file.end))
            if file.digest is not None and file.digest.previous is None and older is not None:
                self._doubt(file, older, file.start)
        else:
            start = file.start or end - USUAL_SPAN
            self._doubt(file, older if older is not None else start, end)

    def _doubt(self, file: DigestFile, start: float, end: float) -> None:
        self._examined.doubtful[self._folder(file)].append(Span(start, end))

    def _folder(self, file: DigestFile) -> str:
        """The account's folder that it belongs to: log files of another trail lie in another one."""
        homes = self._unit.homes
        there = next((home for home in homes if home.path(_identity(file)) is not None), None)
        return (there or self._home(file)).directory

    def _home(self, file: DigestFile) -> Home:
        """Where it lies."""
        return next(home for home in self._unit.homes if file.path.startswith(home.directory + os.sep))

    def _name(self, file: DigestFile) -> None:
        """Take down the log files that a believed digest names, and check those of one that was asked for."""
        assert file.digest is not None
        checked = self._wanted(file)
        elsewhere: Counter[Object] = Counter()
        for log in file.digest.log_files:
            path = self._places.path(log.object)
            if path is not None:
                self._examined.named.add(path)
            if path is None and not self._places.cover(log.object):
                elsewhere[Object(log.s3_bucket, log.s3_object.partition("/CloudTrail")[0])] += 1
            elif checked:
                self._examined.listed.append(Listed(log.object, path, log.hash_value))
        for folder, count in elsewhere.items():
            text = f"{count} of the log files that it names are in {folder}, which is no part of what was checked"
            self._note(NoteKind.ELSEWHERE, file, text)

    def _point_back(self, file: DigestFile) -> None:
        """Whom to believe about the one before: a digest that is believed itself, if there is one."""
        previous = file.digest.previous if file.digest is not None else None
        if previous is not None:
            known = self._after.get(previous)
            if known is None or (self._believed(file) and not self._believed(known)):
                self._after[previous] = file

    def _look_before(self, file: DigestFile, rest: Sequence[DigestFile]) -> None:
        assert file.digest is not None
        previous = file.digest.previous
        if previous is None:
            if rest and file.start > _time(rest[0]) and self._wanted(file):
                text = f"no digests cover the time from {when(_time(rest[0]))} to {when(file.start)}"
                self._note(NoteKind.GAP, file, f"{text}: the trail, or its validation, was stopped")
            return
        if previous in self._own or previous in self._broken:
            return
        name = digest_name(previous.key)
        before = next((_time(older) for older in rest if name is None or _time(older) < name.time), None)
        # Where no earlier one is here, nothing says how many are missing, and since when.
        self._doubt(file, before if before is not None else 0.0, file.start)
        if name is None or not self._selection.takes(name.time - USUAL_SPAN, name.time):
            return
        if not self._selection.wants(name):
            return
        path = self._places.path(previous)
        if path is None:
            text = f"the digest before it is {previous}, which is no part of what was checked"
            self._note(NoteKind.ELSEWHERE, file, text)
            return
        reason = f"the digest after it, of {when(_time(file))}, names it"
        if before is None and self._selection.start is None:
            reason += "; if what was copied begins later, say so with --start"
        elif before is not None and before < name.time - USUAL_SPAN:
            reason += f"; nothing shows what was delivered from {when(before)} to {when(file.start)}"
        self._examined.missing[previous] = MissingDigest(previous, path, reason)

    def _look_for_orphans(self) -> None:
        """A signature that was kept proves that there was a digest."""
        reason = "its signature is there, but not the digest"
        came_along = {file.path for file in self._examined.displaced if self._came_along(file)}
        for side in self._sides:
            path = signed_file(side)
            if path is not None and path not in came_along:
                home = next(home for home in self._unit.homes if path.startswith(home.directory + os.sep))
                self._miss(home.object(path), path, reason)
        for place, name in self._signatures.digests():
            if (name.account, name.region) == (self._unit.account, self._unit.region):
                for home in self._unit.homes:
                    object_ = Object(place.bucket or home.bucket, place.key)
                    path = home.path(object_)
                    if path is not None:
                        self._miss(object_, path, reason)

    def _miss(self, object_: Object, path: str, reason: str) -> None:
        name = digest_name(object_.key)
        if name is None or any(object_ in known for known in (self._own, self._broken, self._later)):
            return
        if object_ in self._examined.missing:
            return
        if self._selection.takes(name.time - USUAL_SPAN, name.time) and self._selection.wants(name):
            self._examined.missing[object_] = MissingDigest(object_, path, reason)

    # Saying it

    def _judge(self, file: DigestFile, standing: _Standing, kind: str = "", reason: str = "") -> None:
        self._standing[_identity(file)] = standing
        if not self._wanted(file):
            return
        sound = standing in _BELIEVED and not file.fault and not file.displaced
        self._examined.tally.add(1, int(sound))
        assert file.name is not None
        self._examined.trails.add((file.name.home_region, file.name.trail))
        if standing in _BELIEVED and file.digest is not None:
            self._examined.selected.append(Span(file.start, file.end))
        if file.fault and file.digest is not None:
            self._find(f"digest-{file.fault}", file, file.detail)
        if kind:
            count = len(file.digest.log_files) if file.digest is not None else 0
            unchecked = f"; the {count} log files that it names were not checked" if count else ""
            self._find(kind, file, reason + unchecked)

    def _find(self, kind: str, file: DigestFile, reason: str) -> None:
        if self._wanted(file):
            object_ = str(file.digest.stated if file.digest is not None else file.object)
            self._examined.findings.append(Finding(Kind(kind), self._places.shown(file.path), reason, object_))

    def _note(self, kind: NoteKind, file: DigestFile, text: str) -> None:
        if self._wanted(file):
            self._examined.notes.append(Note(kind, text, self._places.shown(file.path)))

    def _wanted(self, file: DigestFile) -> bool:
        assert file.name is not None
        start = file.start if file.digest is not None else file.name.time - USUAL_SPAN
        return self._selection.wants(file.name) and self._selection.takes(start, file.end or file.name.time)

    def _believed(self, file: DigestFile) -> bool:
        return self._standing.get(_identity(file)) in _BELIEVED


def _identity(file: DigestFile) -> Object:
    return file.digest.stated if file.digest is not None else file.object


def _time(file: DigestFile) -> float:
    assert file.name is not None
    return file.name.time


def when(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def bounds(spans: Iterable[Span]) -> tuple[float, float] | None:
    found = list(spans)
    return (min(span.start for span in found), max(span.end for span in found)) if found else None
