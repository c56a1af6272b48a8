"""Where a trail's files lie in a copy of its bucket, and what their names say."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

import msgspec

from ..errors import SettingsError

DIGESTS = "CloudTrail-Digest"
#: The files of a Merkle log: they prove themselves, and no digest names them.
MERKLE = "CloudTrail-Merkle"

_ACCOUNT = re.compile(r"[0-9]{12}")
_KIND = re.compile(r"CloudTrail(-[A-Za-z]+)*")
_REGION = re.compile(r"[a-z0-9-]{1,63}")
_DATED = re.compile(r"[0-9]{4}/[0-9]{2}/[0-9]{2}/(?!\.{1,2}$)[!-.0-~]{1,240}")
_PLAIN = re.compile(r"(?!\.{1,2}$)[!-$&-.0-~]{1,240}")
#: The folder, below a Region's one, of copies whose keys are quoted.
_QUOTED = "%"
_DIGEST_NAME = re.compile(
    r"([0-9]{12})_CloudTrail-Digest_([a-z0-9-]+)_(.+)_([a-z0-9-]+)_([0-9]{8}T[0-9]{6}Z)(_backfill)?\.json\.gz"
)
_LOG_NAME = re.compile(r"[0-9]{12}_CloudTrail[A-Za-z-]*_[a-z0-9-]+_([0-9]{8}T[0-9]{4}Z)_[^/]+\.json\.gz")
#: Parts of a key that would lead out of the folder, or to no file.
_ELSEWHERE = re.compile(r"/\.{0,2}/|\0")
_ORGANIZATION = re.compile(r"o-[a-z0-9]+")
#: What a file's name may have in bytes.
_MOST_NAME = 240


class Object(NamedTuple):
    """An object's place in S3."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


class DigestName(NamedTuple):
    """What a digest's key says."""

    account: str
    region: str
    trail: str
    home_region: str
    #: Its end, in seconds since 1970.
    time: float
    backfill: bool
    #: The folder of the organization that it lies in.
    organization: str

    @property
    def chain(self) -> tuple[object, ...]:
        """Digests with this in common follow each other."""
        return self._replace(time=0.0)


class Source(NamedTuple):
    """A directory to be checked."""

    directory: Path
    #: What it is a copy of; where that is not said, the digests say it.
    bucket: str = ""
    prefix: str = ""
    #: Beside each digest lies the signature that its object has: one that has none here has none there.
    fetched: bool = False
    #: Of what is fetched, the folder in the bucket that was looked through.
    area: str = ""


class Home(msgspec.Struct, frozen=True):
    """A folder of an account: it holds CloudTrail's folders, a folder for each Region in each."""

    directory: str
    account: str
    bucket: str
    #: The key of the folder.
    prefix: str
    #: Of the directory that was named, so that files can be shown as they lie in it.
    root: str
    fetched: bool = False
    #: The folder in the bucket of which all that is there was to be found here.
    area: str = ""

    def object(self, path: str) -> Object:
        below = path.removeprefix(self.directory)
        folder, quoted, pieces = below.partition(f"/{_QUOTED}/")
        if quoted:
            below = f"{folder}/{unquote(pieces.removesuffix('/%').replace('/', ''))}"
        return Object(self.bucket, self.prefix + below)

    def path(self, object_: Object) -> str | None:
        """Where a copy of the object lies; None where its place is in another folder."""
        if object_.bucket != self.bucket or not object_.key.startswith(self.prefix + "/"):
            return None
        below = object_.key[len(self.prefix) :]
        if _ELSEWHERE.search(below + "/"):
            return None
        return self.directory + below


class Unit(msgspec.Struct, frozen=True):
    """What is looked at together: the files of an account in a Region."""

    account: str
    region: str
    homes: tuple[Home, ...]


class Places:
    """Objects and paths of all homes."""

    def __init__(self, homes: Sequence[Home]) -> None:
        self.homes = homes

    def path(self, object_: Object) -> str | None:
        return next((path for home in self.homes if (path := home.path(object_)) is not None), None)

    def cover(self, object_: Object) -> bool:
        """Whether the object would have been found, if it were there."""
        return any(
            home.bucket == object_.bucket and (not home.area or object_.key.startswith(home.area + "/"))
            for home in self.homes
        )

    def shown(self, path: str) -> str:
        """As the person who asked knows it: the object in its bucket, or the file in the directory."""
        for home in self.homes:
            if path.startswith(home.root + os.sep):
                return str(home.object(path)) if home.fetched else path[len(home.root) + 1 :]
        return path


def seconds(text: str) -> float:
    """Seconds since 1970 of a time such as 2026-01-31T12:00:00Z or 20260131T120000Z; ValueError for anything else."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.timestamp()


def digest_name(key: str) -> DigestName | None:
    folder, _, name = key.rpartition("/")
    match = _DIGEST_NAME.fullmatch(name)
    if match is None:
        return None
    account, region, trail, home_region, time, backfill = match.groups()
    try:
        at = seconds(time)
    except ValueError:
        return None
    above = folder.split(f"/{account}/{DIGESTS}/")[0].rpartition("/")[2]
    organization = above if _ORGANIZATION.fullmatch(above) else ""
    return DigestName(account, region, trail, home_region, at, backfill is not None, organization)


def log_times(path: str) -> tuple[float, float] | None:
    """When a log file was written: the minute in its name, else the day of its folder. None where it is no log file."""
    *_, year, month, day, name = f"///{path}".split("/")
    match = _LOG_NAME.fullmatch(name)
    try:
        if match is not None:
            return seconds(match[1]), seconds(match[1])
        if name.endswith(".json.gz"):
            start = seconds(f"{year}{month}{day}T000000Z")
            return start, start + 86400
    except ValueError:
        pass
    return None


def may_be_delivered(path: str) -> bool:
    """Whether a log file has such a name as trails give to the files in its folder."""
    *_, account, kind, region, year, month, day, name = f"//////{path}".split("/")
    match = _LOG_NAME.fullmatch(name)
    return match is not None and name.startswith(f"{account}_{kind}_{region}_{year}{month}{day}T")


def account_folders(directory: str) -> Iterator[str]:
    """Folders named like an account that hold CloudTrail's folders. Other services' logs are not looked through."""
    for parent, folders, _ in os.walk(directory, onerror=_refuse):
        found = is_account_folder(parent, folders)
        if found:
            yield parent
        if found is not None:
            folders.clear()
        folders.sort()


def is_account_folder(folder: str, below: Iterable[str]) -> bool | None:
    """Whether a folder, by its name and those below it, is an account's; None: one may lie below it."""
    above, _, name = folder.rpartition("/")
    if _ACCOUNT.fullmatch(name) is None:
        return None
    if any(kind.startswith("CloudTrail") for kind in below):
        return True
    above = above.rpartition("/")[2]
    # A prefix of a trail's own may be named like an account.
    return False if above == "AWSLogs" or _ORGANIZATION.fullmatch(above) else None


def is_kind(folder: str) -> bool:
    """Whether a folder of an account holds digests, or log files that they name."""
    return folder != MERKLE and _KIND.fullmatch(folder) is not None


def is_region(folder: str) -> bool:
    return _REGION.fullmatch(folder) is not None


def kept_as(key: str) -> str:
    """Where the copy of an object is kept, both below a Region's folder: a place of its own, whatever the key is."""
    if _DATED.fullmatch(key):
        return key
    above, slash, last = key.rpartition("/")
    folder, name = quote(above + slash, safe=""), quote(last, safe="")
    if len(name) > _MOST_NAME or not name.strip("."):
        folder, name = folder + name, _QUOTED
    folder = folder.replace(".", "%2E")
    pieces = [folder[at : at + _MOST_NAME] for at in range(0, len(folder), _MOST_NAME)]
    return "/".join([_QUOTED, *pieces, name])


def kept_folder(key: str) -> str:
    """The same for the folder of an account, below the bucket's."""
    return "/".join(part if _PLAIN.fullmatch(part) else _kept_part(part) for part in key.split("/"))


def _kept_part(part: str) -> str:
    quoted = quote(part, safe="").replace(".", "%2E")
    if len(quoted) > _MOST_NAME:
        return f"%{hashlib.sha256(part.encode()).hexdigest()}"
    return quoted or _QUOTED


def units(homes: Iterable[Home]) -> list[Unit]:
    found: dict[tuple[str, str], list[Home]] = {}
    for home in homes:
        for region in sorted(
            {region for folder in _cloudtrail(home) for region in _folders(os.path.join(home.directory, folder))}
        ):
            found.setdefault((home.account, region), []).append(home)
    return [Unit(account, region, tuple(of)) for (account, region), of in sorted(found.items())]


def digest_files(home: Home, region: str) -> Iterator[str]:
    return files(os.path.join(home.directory, DIGESTS, region))


def log_files(home: Home, region: str) -> Iterator[str]:
    """What lies in the folders of log files, whatever its name is."""
    for folder in _cloudtrail(home):
        if folder != DIGESTS:
            yield from files(os.path.join(home.directory, folder, region))


def files(folder: str) -> Iterator[str]:
    """Files below a folder, in order."""
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        folders.sort()
        for name in sorted(names):
            yield os.path.join(parent, name)


def strays(homes: Sequence[Home]) -> Iterator[str]:
    """Files in the directories that lie where no log file and no digest does."""
    logs = {os.path.join(home.directory, name) for home in homes for name in _cloudtrail(home) if name != DIGESTS}
    for root in sorted({home.root for home in homes}):
        for parent, folders, names in os.walk(root, onerror=_refuse):
            folders[:] = sorted(folder for folder in folders if os.path.join(parent, folder) not in logs)
            for name in sorted(names):
                if not (_DIGEST_NAME.fullmatch(name) and DIGESTS in parent.split(os.sep)):
                    yield os.path.join(parent, name)


def _refuse(error: OSError) -> None:
    """What cannot be looked into was not checked."""
    if not isinstance(error, FileNotFoundError):
        raise SettingsError(f"{error.filename}: {error.strerror}") from error


def _cloudtrail(home: Home) -> list[str]:
    return [name for name in _folders(home.directory) if name.startswith("CloudTrail") and name != MERKLE]


def _folders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError as error:
        _refuse(error)
        return []
