"""What was changed, missing and added, seen together: a file missing here may be the one that appeared there."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from . import digests
from .chains import Listed, MissingDigest
from .digests import DigestFile
from .findings import Finding, Kind
from .inflate import Fault, Hashed
from .layout import Object, Places


class BadLog(NamedTuple):
    listed: Listed
    hashed: Hashed


class Loose(msgspec.Struct):
    """What the units left over."""

    bad: list[BadLog] = []
    missing_digests: list[MissingDigest] = []
    displaced: list[DigestFile] = []
    #: Log files that no digest names, though one should.
    added: list[str] = []
    #: Log files that no digest covers.
    uncovered: list[str] = []
    #: Of both, those that may be what their names say, since a digest may name them that is not here: files of
    #: another trail with the same records have the same content. Of the first the folder is one trail's own.
    coming: set[str] = set()
    shared: set[str] = set()


#: Hashes files, on all cores.
Hasher = Callable[[Sequence[str]], Iterable[tuple[str, Hashed]]]


def settle(loose: Loose, places: Places, hasher: Hasher, strays: Callable[[], Iterable[str]]) -> list[Finding]:
    return _Settlement(loose, places, hasher, strays).run()


class _Settlement:
    def __init__(self, loose: Loose, places: Places, hasher: Hasher, strays: Callable[[], Iterable[str]]) -> None:
        self._loose = loose
        self._places = places
        self._hasher = hasher
        self._strays = strays
        self._findings: list[Finding] = []
        #: Files that were found to be others.
        self._explained: set[str] = set()

    def run(self) -> list[Finding]:
        # Two digests may name the same file.
        missing_logs = list(dict.fromkeys(bad for bad in self._loose.bad if bad.hashed.inflated.fault is Fault.MISSING))
        candidates: list[str] = []
        if missing_logs or self._loose.missing_digests:
            candidates = [*self._loose.added, *self._loose.uncovered, *self._strays()]
        self._settle_digests(candidates)
        self._settle_missing_logs(missing_logs, candidates)
        self._settle_bad_logs([bad for bad in self._loose.bad if bad.hashed.inflated.fault is not Fault.MISSING])
        for path in self._loose.added:
            if path not in self._explained:
                self._find(Kind.LOG_ADDED, path, "no digest names it, though digests cover its time")
        return self._findings

    # Digests

    def _settle_digests(self, candidates: Sequence[str]) -> None:
        missing = {digest.object: digest for digest in self._loose.missing_digests}
        lying = {file.object: file for file in self._loose.displaced}
        if missing:
            lying.update(self._stray_digests(candidates, missing))
        for file in lying.values():
            assert file.digest is not None
            stated = file.digest.stated
            place = self._places.path(stated)
            if place is None:
                missing.pop(file.object, None)
                self._find(Kind.DIGEST_MOVED, file.path, f"it does not belong here: it is {stated}", stated)
                continue
            other = lying.get(stated)
            if other is not None:
                missing.pop(stated, None)
                self._found_digest(Kind.DIGEST_SWAPPED, stated, file, f"its place holds the digest {_stated(other)}")
                continue
            if os.path.lexists(place):
                if file.object not in missing:
                    reason = f"it is a copy of the digest {stated.key}"
                    self._find(Kind.DIGEST_ADDED, file.path, reason, file.object)
                continue
            missing.pop(stated, None)
            self._found_digest(Kind.DIGEST_MOVED, stated, file, "it was moved from its place")
        for digest in missing.values():
            taken = lying.get(digest.object)
            if taken is not None:
                reason = f"its place holds the digest {_stated(taken)}; {digest.reason}"
                self._find(Kind.DIGEST_CHANGED, digest.path, reason, digest.object)
            else:
                self._find(Kind.DIGEST_MISSING, digest.path, f"it is not there; {digest.reason}", digest.object)

    def _stray_digests(
        self, candidates: Sequence[str], missing: dict[Object, MissingDigest]
    ) -> Iterable[tuple[Object, DigestFile]]:
        for path in candidates:
            # A place that no object has: it lies outside of all of CloudTrail's folders.
            file = digests.read(path, Object("", self._places.shown(path)))
            if file.digest is not None and file.digest.stated in missing:
                self._explained.add(path)
                yield file.object, file

    def _found_digest(self, kind: Kind, stated: Object, file: DigestFile, reason: str) -> None:
        place = self._places.path(stated)
        shown = self._places.shown(place) if place is not None else str(stated)
        self._findings.append(Finding(kind, shown, reason, str(stated), self._places.shown(file.path)))

    # Log files

    def _settle_missing_logs(self, missing: Sequence[BadLog], candidates: Sequence[str]) -> None:
        if not missing:
            return
        found: dict[str, list[str]] = defaultdict(list)
        wanted = {bad.listed.sha256 for bad in missing}
        for path, hashed in self._hasher([path for path in candidates if path not in self._explained]):
            if hashed.sha256 in wanted and hashed.inflated.fault in (None, Fault.APPENDED):
                found[hashed.sha256].append(path)
        for bad in self._loose.bad:
            if bad.listed.path is not None and bad.hashed.sha256 in wanted and _whole(bad):
                found[bad.hashed.sha256].append(bad.listed.path)
        for bad in missing:
            self._settle_missing_log(bad, found[bad.listed.sha256])

    def _settle_missing_log(self, bad: BadLog, found: list[str]) -> None:
        object_, path, _ = bad.listed
        name = object_.key.rpartition("/")[2]
        own = [one for one in found if not self._may_be_another(one, bad.listed)]
        here = max(own, key=lambda one: _likeness(os.path.basename(one), name), default=None)
        if here is not None:
            found.remove(here)
            self._explained.add(here)
            renamed = "" if os.path.basename(here) == name else " and renamed"
            shown = self._places.shown(path) if path is not None else str(object_)
            reason = f"it was moved{renamed} from its place"
            self._findings.append(Finding(Kind.LOG_MOVED, shown, reason, str(object_), self._places.shown(here)))
        elif path is not None:
            self._find(Kind.LOG_MISSING, path, "a digest names it, but it is not there", object_)
        else:
            reason = "a digest names it, but its place is no part of what was checked"
            self._findings.append(Finding(Kind.LOG_MISSING, str(object_), reason, str(object_)))

    def _may_be_another(self, found: str, missing: Listed) -> bool:
        """Whether another trail may have delivered what has the content of a file that is missing."""
        name, own = os.path.basename(found), missing.object.key.rpartition("/")[2]
        if name == own or name.split("_")[:3] != own.split("_")[:3]:
            return False  # of another account or Region, none has the same records
        return found in self._loose.shared or (found in self._loose.coming and not _beside(found, missing.path))

    def _settle_bad_logs(self, bad: Sequence[BadLog]) -> None:
        owners = {log.listed.sha256: log.listed.object for log in self._loose.bad}
        changed_to = {log.hashed.sha256 for log in bad if _whole(log)}
        for log in bad:
            inflated = log.hashed.inflated
            object_, path, expected = log.listed
            assert path is not None
            owner = owners.get(log.hashed.sha256) if _whole(log) else None
            if inflated.fault is not None:
                self._find(f"log-{inflated.fault}", path, inflated.detail, object_)
            elif owner is None:
                reason = f"its hash is {log.hashed.sha256}, but its digest says {expected}"
                self._find(Kind.LOG_CHANGED, path, reason, object_)
            elif expected in changed_to:
                self._find(Kind.LOG_SWAPPED, path, f"it holds what belongs in {owner.key}", object_)
            else:
                self._find(Kind.LOG_CHANGED, path, f"it holds what belongs in {owner.key}", object_)

    def _find(self, kind: str, path: str, reason: str, object_: Object | None = None) -> None:
        self._findings.append(Finding(Kind(kind), self._places.shown(path), reason, str(object_) if object_ else ""))


def _likeness(name: str, other: str) -> int:
    """What tells a log file from others, wherever it lies, is what comes after account, kind and Region."""
    return 2 if name == other else int(name.split("_")[3:] == other.split("_")[3:] != [])


def _beside(one: str, other: str | None) -> bool:
    """Whether two log files lie in the same Region's folder, whatever their days are."""
    return other is not None and one.rsplit(os.sep, 4)[0] == other.rsplit(os.sep, 4)[0]


def _whole(log: BadLog) -> bool:
    return log.hashed.inflated.fault is None


def _stated(file: DigestFile) -> str:
    assert file.digest is not None
    return file.digest.stated.key
