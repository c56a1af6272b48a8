"""Secrets at rest."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from skytrail.errors import SettingsError, StorageError, StoreUnwritable
from skytrail.identity.secrets import MASTER_KEY_FILE, Sealer, sealer_of


def test_what_is_sealed_opens_in_its_context_only() -> None:
    sealer = Sealer(b"k" * 32)
    sealed = sealer.seal(b"secret", "key A")
    assert b"secret" not in sealed
    assert sealed != sealer.seal(b"secret", "key A")
    assert sealer.open(sealed, "key A") == b"secret"
    with pytest.raises(StorageError, match="damaged"):
        sealer.open(sealed, "key B")
    with pytest.raises(StorageError, match="another master key"):
        Sealer(b"l" * 32).open(sealed, "key A")


@pytest.mark.parametrize("place", range(-1, -40, -1))
def test_no_byte_can_be_changed(place: int) -> None:
    sealer = Sealer(b"k" * 32)
    sealed = bytearray(sealer.seal(b"secret", "a"))
    if -place > len(sealed):
        return
    sealed[place] ^= 1
    with pytest.raises(StorageError):
        sealer.open(bytes(sealed), "a")
    with pytest.raises(StorageError):
        sealer.open(bytes(sealed[:place]), "a")


def test_the_master_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    sealed = sealer_of(tmp_path).seal(b"secret", "a")
    path = tmp_path / MASTER_KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == [MASTER_KEY_FILE]
    assert sealer_of(tmp_path).open(sealed, "a") == b"secret"
    assert "secret" not in repr(sealer_of(tmp_path))


def test_a_master_key_that_cannot_be_trusted_is_refused(tmp_path: Path) -> None:
    sealer_of(tmp_path)
    path = tmp_path / MASTER_KEY_FILE
    path.chmod(0o640)
    with pytest.raises(SettingsError, match="may be read by others"):
        sealer_of(tmp_path)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(SettingsError, match="32 bytes"):
        sealer_of(tmp_path)
    with pytest.raises(StoreUnwritable):
        sealer_of(tmp_path / "missing")
