"""A trail's files, fetched from a bucket of any S3 into a directory that the check understands.

Only CloudTrail's folders of accounts are listed, of the Regions and days that were asked for. Keys are anyone's choice,
so each copy has a place that no other key can take. What could not be read leaves word of it in its place.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from ..errors import SkytrailError
from ..verify import Options, Source, layout
from ..verify.digests import read as read_digest
from ..verify.inflate import MOST_DIGEST_BYTES, Fault, stand_in
from ..verify.layout import DIGESTS, Object
from ..verify.signatures import SIDE_FILES, in_metadata
from .aws import CallFailed, code, said, told

#: Objects that are fetched at one time.
THREADS = 24
#: Keys that wait to be fetched, and folders that are listed at one time.
_MOST_WAITING, _MOST_LISTINGS = 4000, 8
#: An object's bytes as they are stored. A trail's files have at most 50 MB; nobody fills this disk.
_MOST_LOG_BYTES = 1 << 30
#: Folders that are looked through for those of accounts, and pages of one of them.
_MOST_FOLDERS, _MOST_PAGES = 10_000, 1000
#: Pages of a listing, one after the other, that bring nothing new.
_MOST_IDLE_PAGES = 1000
_PIECE = 256 * 1024
#: How long the end waits for threads that wait for a server.
_PATIENCE = 1.0
_TRIES = 3
#: A file's day may be another one than that of its digest, and a digest ends after what it covers.
_MARGIN = 2 * 86400.0
_LAST_DAY = 253_402_214_400.0

_GONE = frozenset({"NoSuchKey", "404"})
#: What says nothing of the object that was asked for.
_NOT_THE_OBJECT = frozenset(
    {
        *("ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidToken", "TokenRefreshRequired"),
        *("SignatureDoesNotMatch", "AuthorizationHeaderMalformed", "RequestTimeTooSkewed", "NoSuchBucket"),
        *("SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException", "RequestLimitExceeded", "503"),
    }
)


class Progress(msgspec.Struct):
    """How far it is; what is still to be listed is not known."""

    found: int = 0
    found_bytes: int = 0
    fetched: int = 0
    fetched_bytes: int = 0


class _Folder(NamedTuple):
    """A Region's folder of digests or of log files."""

    bucket: str
    #: With a slash at its end.
    prefix: str
    directory: str
    digests: bool


class _Found(NamedTuple):
    folder: _Folder
    key: str
    size: int


class _Home(NamedTuple):
    """An account's folder, and the Regions' folders in it."""

    source: Source
    folders: tuple[_Folder, ...]


def fetch(
    client: Any, places: Sequence[Object], options: Options, into: Path, follow: Callable[[Progress], object]
) -> list[Source]:
    """Fetch what is to be checked of buckets, or of folders in them; a source for each account's folder."""
    workers = _Workers(THREADS)
    with closing(workers):
        search = _Search(client, workers, options, into)
        # One place may lie in another one.
        nested = sorted(places, key=lambda place: len(place.key), reverse=True)
        homes = list({home.source.directory: home for place in nested for home in search.homes(place)}.values())
        fetching = _Fetching(client, workers, options, follow)
        folders = [folder for home in homes for folder in home.folders]
        fetching.run(folder for folder in folders if folder.digests)
        fetching.run((folder for folder in folders if not folder.digests), fetching.named_elsewhere(homes))
    return [home.source for home in homes]


class _Workers:
    """Threads that nobody has to wait for at the end, since one may wait long for a server."""

    def __init__(self, count: int) -> None:
        self._tasks: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self.stopped = threading.Event()
        self.count = count
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Callable[[], Any]) -> Future[Any]:
        future: Future[Any] = Future()
        self._tasks.put((future, task))
        return future

    def _work(self) -> None:
        while (given := self._tasks.get()) is not None and not self.stopped.is_set():
            future, task = given
            try:
                future.set_result(task())
            except BaseException as error:
                future.set_exception(error)

    def close(self) -> None:
        self.stopped.set()
        for _ in self._threads:
            self._tasks.put(None)
        patience = time.monotonic() + _PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, patience - time.monotonic()))


class _Stopped(SkytrailError):
    pass


class _TooLarge(Exception):
    """More comes than was announced."""


class _Listing:
    """Whether a listing, of one page after the other, comes to an end: no server is believed that it does."""

    def __init__(self, place: Object) -> None:
        self._place = place
        self._tokens: set[int] = set()
        self._last = ""
        self._idle = 0

    def further(self, page: dict[str, Any], names: Iterable[str]) -> str | None:
        """The token of the page after it, if there is one. `names` are those on the page."""
        token = page.get("NextContinuationToken")
        if not page.get("IsTruncated") or not token:
            return None
        newest = max(names, default="")
        self._idle = 0 if newest > self._last else self._idle + 1
        self._last = max(self._last, newest)
        if hash(token) in self._tokens or self._idle > _MOST_IDLE_PAGES:
            raise CallFailed(f"{self._place} (ListObjectsV2): the listing does not end: its pages bring nothing new")
        self._tokens.add(hash(token))
        return str(token)


# Where CloudTrail's folders are


class _Search:
    def __init__(self, client: Any, workers: _Workers, options: Options, into: Path) -> None:
        self._client = client
        self._workers = workers
        self._options = options
        self._into = into

    def homes(self, place: Object) -> list[_Home]:
        folders = self._account_folders(place)
        kinds = [(folder, kind) for folder, below in folders for kind in below if layout.is_kind(kind)]
        listed = [self._look(place.bucket, f"{folder}/{kind}/") for folder, kind in kinds]
        regions: dict[str, list[tuple[str, str]]] = {folder: [] for folder, _ in folders}
        for (folder, kind), future in zip(kinds, listed, strict=True):
            regions[folder] += [(kind, region) for region in future.result() if self._wants_region(region)]
        return [self._home(place, folder, of) for folder, of in regions.items()]

    def _wants_region(self, region: str) -> bool:
        return layout.is_region(region) and (not self._options.regions or region in self._options.regions)

    def _home(self, place: Object, folder: str, regions: Iterable[tuple[str, str]]) -> _Home:
        directory = self._into / place.bucket / layout.kept_folder(folder)
        folders = tuple(
            _Folder(place.bucket, f"{folder}/{kind}/{region}/", str(directory / kind / region), kind == DIGESTS)
            for kind, region in regions
        )
        directory.mkdir(parents=True, exist_ok=True)
        return _Home(Source(directory, place.bucket, folder, fetched=True, area=place.key), folders)

    def _account_folders(self, place: Object) -> list[tuple[str, list[str]]]:
        """Those that hold CloudTrail's folders, with what is below them."""
        found: list[tuple[str, list[str]]] = []
        prefix = f"{place.key}/" if place.key else ""
        running = {self._look(place.bucket, prefix): prefix}
        looked = 0
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                prefix, below = running.pop(future), future.result()
                looked += 1
                folder = prefix[:-1]
                is_account = layout.is_account_folder(folder, below)
                if is_account and self._wants_account(folder):
                    found.append((folder, below))
                elif is_account is None:
                    further = [f"{prefix}{name}/" for name in below]
                    running |= {self._look(place.bucket, prefix): prefix for prefix in further}
            if looked + len(running) > _MOST_FOLDERS:
                raise CallFailed(f"{place}: it has more than {_MOST_FOLDERS} folders: name the one above AWSLogs")
        return sorted(found)

    def _wants_account(self, folder: str) -> bool:
        return not self._options.accounts or folder.rpartition("/")[2] in self._options.accounts

    def _look(self, bucket: str, prefix: str) -> Future[Any]:
        return self._workers.submit(partial(self._below, bucket, prefix))

    def _below(self, bucket: str, prefix: str) -> list[str]:
        """Names of the folders right below."""
        names: list[str] = []
        asked = {"Bucket": bucket, "Prefix": prefix, "Delimiter": "/"}
        listing = _Listing(Object(bucket, prefix))
        for _ in range(_MOST_PAGES):
            if self._workers.stopped.is_set():
                raise _Stopped
            with told(f"{Object(bucket, prefix)} (ListObjectsV2)"):
                page = self._client.list_objects_v2(**asked)
            folders = [common.get("Prefix", "") for common in page.get("CommonPrefixes", ())]
            for folder in folders:
                if not folder.startswith(prefix) or folder.find("/", len(prefix)) != len(folder) - 1:
                    raise CallFailed(f"{Object(bucket, prefix)} (ListObjectsV2): {folder!r} is no folder in it")
            names += [folder[len(prefix) : -1] for folder in folders]
            token = listing.further(page, [*folders, *(found.get("Key", "") for found in page.get("Contents", ()))])
            if token is None:
                return names
            asked["ContinuationToken"] = token
        raise CallFailed(f"{Object(bucket, prefix)}: there are too many objects: name the folder above AWSLogs")


# Listing and fetching


class _Fetching:
    def __init__(self, client: Any, workers: _Workers, options: Options, follow: Callable[[Progress], object]) -> None:
        self._client = client
        self._workers = workers
        self._selection = options.selection
        self._since = _day(options.selection.start, -_MARGIN)
        self._until = _day(options.selection.end, _MARGIN)
        self._follow = follow
        self._progress = Progress()
        self._waiting: deque[_Found] = deque()
        self._running: dict[Future[Any], Callable[[Any], None]] = {}
        self._listings = 0

    def run(self, folders: Iterable[_Folder], further: Iterable[_Found] = ()) -> None:
        """Fetch all of the folders. What waits is bounded: nothing is listed while much is still to be fetched."""
        left = iter(folders)
        for found in further:
            self._take([found])
        more = True
        while more or self._waiting or self._running:
            while more and self._listings < _MOST_LISTINGS and len(self._waiting) < _MOST_WAITING:
                folder = next(left, None)
                if more := folder is not None:
                    self._list(folder, _Listing(Object(folder.bucket, folder.prefix)), None)
            while self._waiting and len(self._running) < 3 * self._workers.count:
                found = self._waiting.popleft()
                self._start(partial(self._fetch, found), partial(self._fetched, found))
            if self._running:
                done, _ = wait(self._running, return_when=FIRST_COMPLETED)
                for future in done:
                    self._running.pop(future)(future.result())
            self._follow(self._progress)

    def _start(self, task: Callable[[], Any], then: Callable[[Any], None]) -> None:
        self._running[self._workers.submit(task)] = then

    def _list(self, folder: _Folder, listing: _Listing, token: str | None) -> None:
        self._listings += 1
        self._start(partial(self._page, folder, token), partial(self._listed, folder, listing))

    def _page(self, folder: _Folder, token: str | None) -> dict[str, Any]:
        asked = {"Bucket": folder.bucket, "Prefix": folder.prefix}
        if token is not None:
            asked["ContinuationToken"] = token
        elif self._since is not None:
            asked["StartAfter"] = folder.prefix + self._since
        with told(f"{Object(folder.bucket, folder.prefix)} (ListObjectsV2)"):
            page: dict[str, Any] = self._client.list_objects_v2(**asked)
            return page

    def _listed(self, folder: _Folder, listing: _Listing, page: dict[str, Any]) -> None:
        self._listings -= 1
        found = [_found(folder, listed) for listed in page.get("Contents", ())]
        taken = [one for one in found if not self._is_after(one)]
        self._take(taken)
        token = listing.further(page, [one.key for one in found]) if len(taken) == len(found) else None
        if token is not None:
            self._list(folder, listing, token)

    def _is_after(self, found: _Found) -> bool:
        return self._until is not None and found.key[len(found.folder.prefix) :][:10] > self._until

    def _take(self, found: Iterable[_Found]) -> None:
        for one in found:
            if one.key.endswith("/") or (one.folder.digests and one.key.endswith(SIDE_FILES)):
                continue  # a folder that is shown in consoles; what says it is a signature, but is no metadata
            self._progress.found += 1
            self._progress.found_bytes += one.size
            self._waiting.append(one)

    def named_elsewhere(self, homes: Iterable[_Home]) -> Iterator[_Found]:
        """Log files of the digests in question which are not of the days that are listed."""
        if self._since is None and self._until is None:
            return
        named: set[str] = set()
        for home in homes:
            logs = [folder for folder in home.folders if not folder.digests]
            for digests in (folder for folder in home.folders if folder.digests):
                for object_ in self._named(digests):
                    folder = next((folder for folder in logs if object_.key.startswith(folder.prefix)), None)
                    if folder is None or object_.bucket != folder.bucket or object_.key in named:
                        continue
                    day = object_.key[len(folder.prefix) :][:10]
                    if (self._since or "") <= day and (self._until is None or day <= self._until):
                        continue
                    named.add(object_.key)
                    yield _Found(folder, object_.key, 0)

    def _named(self, folder: _Folder) -> Iterator[Object]:
        for path in layout.files(folder.directory):
            digest = None if path.endswith(SIDE_FILES) else read_digest(path, Object("", ""))
            if digest and digest.digest and self._selection.takes(digest.start, digest.end):
                yield from (log.object for log in digest.digest.log_files)

    # An object

    def _fetched(self, found: _Found, size: int) -> None:
        self._progress.fetched += 1
        self._progress.fetched_bytes += found.size or size

    def _fetch(self, found: _Found) -> int:
        """The bytes that were fetched."""
        folder, key, _ = found
        path = os.path.join(folder.directory, layout.kept_as(key[len(folder.prefix) :]))
        object_ = Object(folder.bucket, key)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            return self._copy(object_, path, MOST_DIGEST_BYTES if folder.digests else _MOST_LOG_BYTES, folder.digests)
        except (FileExistsError, NotADirectoryError) as error:
            # On some file systems two names are one. One copy must not hide the other.
            raise CallFailed(f"{object_}: this file system does not keep its copy apart from another's") from error
        except OSError as error:
            raise CallFailed(f"{error.filename or path}: {error.strerror}") from error

    def _copy(self, object_: Object, path: str, most: int, signed: bool) -> int:
        for left in reversed(range(_TRIES)):
            answer = self._get(object_, path)
            if answer is None:
                return 0
            length = answer.get("ContentLength", -1)
            if not 0 <= length <= most:
                answer["Body"].close()
                if length < 0:
                    raise CallFailed(f"{object_} (GetObject): the answer does not say how many bytes it has")
                stand_in(path, Fault.TOO_LARGE, f"it has {length} bytes: it was not fetched")
                return 0
            try:
                size = self._write(answer, path, length)
            except _TooLarge:
                os.unlink(path)
                stand_in(path, Fault.TOO_LARGE, f"it has more than the {length} bytes that were announced")
                return 0
            except BotoCoreError as error:
                os.unlink(path)
                if not left:
                    stand_in(path, Fault.UNREADABLE, f"it ends before its end: {error}")
                continue
            signature = in_metadata(answer.get("Metadata", {})) if signed else None
            if signature:
                Path(path + SIDE_FILES[0]).write_text(signature, "ascii", "backslashreplace")
            return size
        return 0

    def _get(self, object_: Object, path: str) -> Any:
        try:
            return self._client.get_object(Bucket=object_.bucket, Key=object_.key)
        except ClientError as error:
            if code(error) in _NOT_THE_OBJECT:
                raise CallFailed(f"{object_} (GetObject): {said(error)}") from error
            if code(error) not in _GONE:
                stand_in(path, Fault.UNREADABLE, said(error))
            return None
        except (BotoCoreError, ValueError) as error:  # a number that is none is a ValueError
            raise CallFailed(f"{object_} (GetObject): {error}") from error

    def _write(self, answer: Any, path: str, most: int) -> int:
        size = 0
        with closing(answer["Body"]) as body, open(path, "xb") as file:
            for piece in body.iter_chunks(_PIECE):
                if self._workers.stopped.is_set():
                    raise _Stopped
                size += len(piece)
                if size > most:
                    raise _TooLarge
                file.write(piece)
        return size


def _found(folder: _Folder, listed: dict[str, Any]) -> _Found:
    key, size = listed.get("Key", ""), listed.get("Size", -1)
    if not key.startswith(folder.prefix) or size < 0:
        place = Object(folder.bucket, folder.prefix)
        raise CallFailed(f"{place} (ListObjectsV2): {key!r} is no key below it, or has no size")
    return _Found(folder, key, size)


def _day(moment: float | None, margin: float) -> str | None:
    """As it stands in keys."""
    if moment is None:
        return None
    return datetime.fromtimestamp(min(max(moment + margin, 0.0), _LAST_DAY), UTC).strftime("%Y/%m/%d")
