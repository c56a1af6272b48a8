"""Archives of code: what is refused, and that nothing of what is taken lands outside its folder."""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.services.lambda_ import archives

CASES = json.loads((Path(__file__).parents[1] / "cases/lambda/archives.json").read_text("utf-8"))
MODES = {
    "file": stat.S_IFREG | 0o640,
    "folder": stat.S_IFDIR | 0o755,
    "link": stat.S_IFLNK | 0o777,
    "device": stat.S_IFCHR | 0o600,
    "pipe": stat.S_IFIFO | 0o600,
}
MESSAGES = {"unreadable": archives.UNREADABLE, "too large": archives.TOO_LARGE}


def archive(entries: list[dict[str, Any]]) -> io.BytesIO:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for entry in entries:
            name = entry["name"] * entry.get("repeat", 1) + entry.get("then", "")
            # A name with a NUL cannot be written: a byte stands for it at first.
            info = zipfile.ZipInfo(name.replace("\0", "\x01"))
            info.create_system = 3
            info.compress_type = zipfile.ZIP_BZIP2 if entry.get("method") == "bzip2" else zipfile.ZIP_DEFLATED
            info.external_attr = MODES[entry.get("mode", "file")] << 16
            data = bytes(entry["zeros"]) if "zeros" in entry else entry.get("text", "").encode()
            file.writestr(info, data)
    return io.BytesIO(packed.getvalue().replace(b"\x01.txt", b"\0.txt"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["why"])
def test_archives(case: dict[str, Any], tmp_path: Path) -> None:
    packed, folder = archive(case["entries"]), tmp_path / "code"
    if "refused" in case:
        with pytest.raises(archives.BadArchive) as caught:
            archives.check(packed)
        assert str(caught.value) == MESSAGES[case["refused"]]
        with pytest.raises(archives.BadArchive):
            archives.unpack(packed, folder)
    else:
        archives.check(packed)
        archives.unpack(packed, folder)
        expected = {entry["name"].removeprefix("./"): entry.get("text") for entry in case["entries"]}
        for name, text in expected.items():
            if text is not None and not (folder / name).is_symlink():
                assert (folder / name).read_text() == text
    inside = {place.resolve() for place in tmp_path.rglob("*")}
    assert all(place.is_relative_to(tmp_path) for place in inside)
    assert {place.name for place in tmp_path.iterdir()} <= {"code"}
    archives.remove(folder)
    assert not folder.exists()


def test_modes(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, mode in (("run", 0o755), ("data", 0o600), ("bare", 0)):
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            file.writestr(info, "x")
    archives.unpack(packed, tmp_path / "code")
    modes = {place.name: stat.S_IMODE(place.stat().st_mode) for place in (tmp_path / "code").iterdir()}
    assert modes == {"run": 0o555, "data": 0o444, "bare": 0o444}
    assert stat.S_IMODE((tmp_path / "code").stat().st_mode) == 0o555


def test_what_is_no_archive() -> None:
    good = archive([{"name": "m.py", "text": "x" * 1000}]).getvalue()
    broken = bytearray(good)
    broken[40] ^= 0xFF
    lying = bytearray(good)
    place = good.rindex(b"PK\x01\x02")
    struct.pack_into("<L", lying, place + 24, 2000)  # says that it inflates to more
    short = bytearray(good)
    struct.pack_into("<L", short, place + 24, 10)  # says that it inflates to less
    encrypted = bytearray(good)
    encrypted[place + 8] |= 1
    many = bytearray(good)
    struct.pack_into("<L", many, len(good) - 10, 9 << 20)  # says that its directory is huge
    for data in (b"", b"PK", b"no archive", good[:-10], good[20:], good[: len(good) // 2], broken, lying, short,
                 encrypted, many):  # fmt: skip
        with pytest.raises(archives.BadArchive, match="Could not unzip"):
            archives.check(io.BytesIO(bytes(data)))


def test_more_entries_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = archive([{"name": str(number), "text": ""} for number in range(11)])
    monkeypatch.setattr(archives, "ENTRIES", 10)
    with pytest.raises(archives.BadArchive):
        archives.check(packed)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_damage_is_refused_or_harmless(tail: bytes, at: int, change: bytes) -> None:
    good = archive([{"name": "a/m.py", "text": "x" * 50}, {"name": "l", "mode": "link", "text": "a/m.py"}]).getvalue()
    damaged = (good[:at] + change + good[at + len(change) :]) + tail
    with contextlib.suppress(archives.BadArchive):
        archives.check(io.BytesIO(damaged))


_NAMES = st.text("ab./\\\0ü", min_size=1, max_size=8)


@settings(max_examples=80, deadline=None)
@pytest.mark.filterwarnings("ignore:Duplicate name")
@given(st.lists(st.tuples(_NAMES, st.sampled_from(["file", "folder", "link"]), _NAMES), max_size=6))
def test_nothing_lands_outside(tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, str, str]]) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, mode, text in entries:
            info = zipfile.ZipInfo("x")
            info.filename = name.replace("\0", "") + ("/" if mode == "folder" else "") or "x"
            info.create_system = 3
            info.external_attr = MODES[mode] << 16
            file.writestr(info, "" if mode == "folder" else text)
    root = tmp_path_factory.mktemp("archive")
    try:
        archives.unpack(packed, root / "code")
    except archives.BadArchive:
        pass
    else:
        # A link may lead to itself.
        found = [Path(os.path.realpath(place)) for place in (root / "code").rglob("*")]
        assert all(place.is_relative_to(root / "code") for place in found)
    assert {place.name for place in root.iterdir()} <= {"code"}
    archives.remove(root / "code")
