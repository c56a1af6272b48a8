"""The Merkle tree: Certificate Transparency's vectors, and proofs of all sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.verify.merkle import (
    EMPTY_ROOT,
    NotProved,
    Tile,
    Tree,
    check_consistency,
    check_inclusion,
    leaf_hash,
    node_hash,
    tiles_of,
)

from .merkle_log import Log, flipped, numbered

CASES = json.loads((Path(__file__).parents[1] / "cases" / "verify" / "merkle.json").read_text("utf-8"))
REFERENCE = Log([bytes.fromhex(leaf) for leaf in CASES["leaves"]])
#: More than two full tiles.
LARGE = numbered(700)
ROOTS = [LARGE.root(size) for size in range(701)]


def hashes(path: list[str]) -> list[bytes]:
    return [bytes.fromhex(one) for one in path]


# What others have published


def test_roots_are_those_of_certificate_transparency() -> None:
    assert EMPTY_ROOT.hex() == CASES["empty"] == REFERENCE.tree(0).root().hex()
    assert [REFERENCE.tree(size).root().hex() for size in range(1, 9)] == CASES["roots"]


@pytest.mark.parametrize("case", CASES["inclusion"], ids=lambda case: f"{case['leaf']} of {case['size']}")
def test_published_inclusion_proofs(case: dict[str, Any]) -> None:
    leaf, size, path = case["leaf"], case["size"], hashes(case["path"])
    assert REFERENCE.tree(size).inclusion(leaf) == path
    check_inclusion(leaf, size, REFERENCE.hashes[leaf], path, REFERENCE.root(size))


@pytest.mark.parametrize("case", CASES["consistency"], ids=lambda case: f"{case['old']} to {case['new']}")
def test_published_consistency_proofs(case: dict[str, Any]) -> None:
    old, new, path = case["old"], case["new"], hashes(case["path"])
    assert REFERENCE.tree(new).consistency(old) == path
    check_consistency(old, REFERENCE.root(old), new, REFERENCE.root(new), path)


@pytest.mark.parametrize("case", CASES["paths"], ids=lambda case: case["path"])
def test_tiles_lie_where_tlog_tiles_says(case: dict[str, Any]) -> None:
    assert Tile(*case["tile"]).path == case["path"]


def test_the_tiles_of_a_tree_are_those_of_tlog_tiles_example() -> None:
    tiles = list(tiles_of(70_000))
    assert [tile for tile in tiles if tile.width < 256] == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert [tile.level for tile in tiles if tile.width == 256] == [0] * 273 + [1]
    assert list(tiles_of(256)) == [Tile(0, 0), Tile(1, 0, 1)]


# Proofs of all sizes


def test_every_proof_of_small_trees_holds_and_only_for_its_leaf() -> None:
    for size in range(1, 34):
        tree = LARGE.tree(size)
        assert tree.root() == ROOTS[size]
        for leaf in range(size):
            path = tree.inclusion(leaf)
            check_inclusion(leaf, size, LARGE.hashes[leaf], path, ROOTS[size])
            for other in {leaf - 1, leaf + 1, leaf ^ 2} - {leaf}:
                with pytest.raises(NotProved):
                    check_inclusion(other, size, LARGE.hashes[leaf], path, ROOTS[size])


def test_every_small_tree_grows_out_of_every_smaller_one() -> None:
    for new in range(34):
        for old in range(new + 1):
            path = LARGE.tree(new).consistency(old)
            check_consistency(old, ROOTS[old], new, ROOTS[new], path)
            if 0 < old < new:
                with pytest.raises(NotProved):
                    check_consistency(new, ROOTS[new], old, ROOTS[old], path)
                with pytest.raises(NotProved):
                    check_consistency(old, ROOTS[new], new, ROOTS[old], path)


@given(st.data())
def test_inclusion_proofs_hold_until_a_byte_is_changed(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 700), "size")
    leaf = data.draw(st.integers(0, size - 1), "leaf")
    path = LARGE.tree(size).inclusion(leaf)
    assert len(path) <= (size - 1).bit_length()
    check_inclusion(leaf, size, LARGE.hashes[leaf], path, ROOTS[size])
    whole = [LARGE.hashes[leaf], ROOTS[size], *path]
    turned = data.draw(st.integers(0, 32 * len(whole) - 1), "byte")
    whole[turned // 32] = flipped(whole[turned // 32], turned % 32)
    with pytest.raises(NotProved):
        check_inclusion(leaf, size, whole[0], whole[2:], whole[1])


@given(st.data())
def test_consistency_proofs_hold_until_a_byte_is_changed(data: st.DataObject) -> None:
    new = data.draw(st.integers(1, 700), "new")
    old = data.draw(st.integers(1, new), "old")
    path = LARGE.tree(new).consistency(old)
    check_consistency(old, ROOTS[old], new, ROOTS[new], path)
    whole = [ROOTS[old], ROOTS[new], *path]
    turned = data.draw(st.integers(0, 32 * len(whole) - 1), "byte")
    whole[turned // 32] = flipped(whole[turned // 32], turned % 32)
    with pytest.raises(NotProved):
        check_consistency(old, whole[0], new, whole[1], whole[2:])


@given(st.integers(1, 699), st.integers(1, 699), st.data())
def test_a_log_that_was_changed_is_not_consistent(old: int, grown: int, data: st.DataObject) -> None:
    new = min(700, old + grown)
    changed = data.draw(st.integers(0, old - 1), "changed")
    leaves = list(LARGE.leaves[:new])
    leaves[changed] = b"another"
    other = Log(leaves)
    with pytest.raises(NotProved):
        check_consistency(old, ROOTS[old], new, other.root(), other.tree().consistency(old))


@settings(max_examples=40)
@given(st.integers(1, 700), st.integers(0, 700), st.data())
def test_a_changed_tile_gives_no_proof(size: int, leaf: int, data: st.DataObject) -> None:
    leaf %= size
    turned = data.draw(st.integers(0, size - 1), "turned")
    if turned == leaf:
        return  # the proof of a leaf says nothing of its own hash

    def read(tile: Tile) -> bytes:
        hashes = LARGE.tile(tile)
        at = turned - tile.number * 256
        return flipped(hashes, at * 32) if not tile.level and 0 <= at < tile.width else hashes

    path = Tree(size, read).inclusion(leaf)
    if path != LARGE.tree(size).inclusion(leaf):
        with pytest.raises(NotProved):
            check_inclusion(leaf, size, LARGE.hashes[leaf], path, ROOTS[size])


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ([], "fewer hashes"),
        ([bytes(32)] * 20, "more hashes"),
        ([bytes(32)] * 65, "at most 64 hashes"),
        ([bytes(31)] * 10, "of 32 bytes"),
    ],
)
def test_paths_of_a_wrong_length_prove_nothing(path: list[bytes], says: str) -> None:
    with pytest.raises(NotProved, match=says):
        check_inclusion(3, 700, LARGE.hashes[3], path, ROOTS[700])
    with pytest.raises(NotProved, match=says):
        check_consistency(3, ROOTS[3], 700, ROOTS[700], path)


@pytest.mark.parametrize(("old", "new"), [(0, 5), (5, 5)])
def test_a_proof_of_nothing_has_no_hashes_and_the_same_roots(old: int, new: int) -> None:
    check_consistency(old, ROOTS[old], new, ROOTS[new], [])
    with pytest.raises(NotProved, match="more hashes"):
        check_consistency(old, ROOTS[old], new, ROOTS[new], [bytes(32)])
    with pytest.raises(NotProved, match="other roots"):
        check_consistency(old, bytes(32), new, ROOTS[new], [])


@pytest.mark.parametrize(("leaf", "size"), [(-1, 5), (5, 5), (0, 0), (0, 1 << 63)])
def test_a_leaf_outside_of_the_tree_is_not_proved(leaf: int, size: int) -> None:
    with pytest.raises(NotProved, match="no leaf"):
        check_inclusion(leaf, size, leaf_hash(b""), [], EMPTY_ROOT)
    with pytest.raises(ValueError, match=r"has no leaf|has 0 to"):
        Tree(size, LARGE.tile).inclusion(leaf)


def test_a_tile_that_is_too_short_is_refused() -> None:
    with pytest.raises(NotProved, match=r"tile/0/000.p/7 holds 192 bytes of 224"):
        Tree(7, lambda tile: LARGE.tile(tile)[:192]).root()


def test_trees_of_several_levels() -> None:
    """Tiles of equal hashes, so that a tree of three levels costs nothing."""
    size = 70_000
    levels = [[leaf_hash(b"same")] * size]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([over(below[at : at + 256]) for at in range(0, len(below) - 255, 256)])
    tree = Tree(size, lambda tile: b"".join(levels[tile.level][tile.number * 256 :][: tile.width]))
    root = tree.root()
    for leaf in (0, 255, 256, 65_535, 65_536, 69_887, 69_888, size - 1):
        check_inclusion(leaf, size, levels[0][leaf], tree.inclusion(leaf), root)
    for old in (1, 255, 256, 257, 65_535, 65_536, 65_537, size - 1):
        smaller = Tree(old, lambda tile: b"".join(levels[tile.level][tile.number * 256 :][: tile.width])).root()
        check_consistency(old, smaller, size, root, tree.consistency(old))


def over(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = [node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]
