"""The data directory: everything that one server keeps, held by one process at a time."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from pathlib import Path

from ..errors import StoreLocked, StoreUnwritable

#: A Unix socket's path holds 108 bytes with its end; longer ones move to the temporary directory.
_LONGEST_SOCKET_PATH = 100


class DataDirectory:
    """Opened: made if missing (only its owner may enter), writable, and locked until `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._lock)
            raise StoreLocked(
                f"the data directory {self.path} is in use by process {holder}: stop it, or choose another with --data"
            ) from error
        try:
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            self.close()
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> StoreUnwritable:
        return StoreUnwritable(f"cannot write to the data directory {self.path}: {error.strerror}")

    @property
    def database(self) -> Path:
        return self.path / "skytrail.db"

    @property
    def columns(self) -> Path:
        return self.path / "columns"

    @property
    def objects(self) -> Path:
        return self.path / "objects"

    def close(self) -> None:
        os.close(self._lock)


def socket_path(data: Path, name: str) -> Path:
    """Where the Unix socket `name` of a data directory lies: inside, or in a private directory if that is too long."""
    data = data.expanduser().absolute()
    path = data / name
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
    private = Path(tempfile.gettempdir()) / f"skytrail-{os.getuid()}-{digest}"
    private.mkdir(mode=0o700, exist_ok=True)
    if private.stat().st_uid != os.getuid() or private.is_symlink():
        raise StoreUnwritable(f"{private} belongs to someone else")
    return private / name
