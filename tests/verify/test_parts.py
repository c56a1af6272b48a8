"""The parts by themselves: keys, signatures, names, spans, gzip, and anything at all in place of a digest."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.errors import SettingsError
from skytrail.verify import digests, inflate, keys, layout, signatures
from skytrail.verify.inflate import Fault
from skytrail.verify.keys import Shown
from skytrail.verify.layout import Object
from skytrail.verify.spans import Span, Spans

from .delivered import key_list, pack, signing_key

CASES = json.loads((Path(__file__).parents[1] / "cases" / "verify" / "parts.json").read_text("utf-8"))


# Keys


def test_keys_of_several_regions_lie_side_by_side(tmp_path: Path) -> None:
    for region in ("us-east-1", "eu-west-1"):
        (tmp_path / f"{region}.json").write_text(json.dumps(key_list(region)))
    (tmp_path / "notes.txt").write_text("not a key")
    loaded = keys.load(tmp_path)
    assert len(loaded) == 2
    for region in ("us-east-1", "eu-west-1"):
        key = signing_key(region)
        assert loaded.show(key.fingerprint, key.sign(b"text"), b"text") is Shown.VALID
        assert loaded.show(key.fingerprint, key.sign(b"text"), b"other") is Shown.OTHER_CONTENT
        assert loaded.show(key.fingerprint, signing_key("forger").sign(b"text"), b"text") is Shown.OTHER_KEY
        assert loaded.show(key.fingerprint, "no hex", b"text") is Shown.OTHER_KEY
        assert loaded.show(key.fingerprint, "", b"text") is Shown.OTHER_KEY


@pytest.mark.parametrize("listed", CASES["aws_keys"], ids=lambda listed: listed["Fingerprint"])
def test_keys_of_aws_s_own_documentation(listed: dict[str, str], tmp_path: Path) -> None:
    """One of them is a SubjectPublicKeyInfo. A fingerprint is the MD5 of the value."""
    (tmp_path / "keys.json").write_text(json.dumps({"PublicKeyList": [listed]}))
    assert listed["Fingerprint"] in keys.load(tmp_path / "keys.json")
    assert hashlib.md5(base64.b64decode(listed["Value"]), usedforsecurity=False).hexdigest() == listed["Fingerprint"]


def _elliptic() -> str:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    return base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "it is not what"),
        ("{}", "it is not what"),
        ("[" * 100_000, "it is not what"),
        ('{"PublicKeyList": []}', "there are no public keys"),
        ('{"PublicKeyList": [{"Value": "AAAA", "Fingerprint": "f"}]}', "cannot be read"),
        ('{"PublicKeyList": [{"Value": "!", "Fingerprint": "f"}]}', "cannot be read"),
        (json.dumps({"PublicKeyList": [{"Value": _elliptic(), "Fingerprint": "f"}]}), "no RSA key"),
        (
            json.dumps(
                {
                    "PublicKeyList": [
                        {"Value": signing_key(name).value, "Fingerprint": "f"} for name in ("us-east-1", "eu-west-1")
                    ]
                }
            ),
            "another key with the fingerprint f",
        ),
    ],
)
def test_what_are_no_keys_is_refused(content: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(content)
    with pytest.raises(SettingsError, match=says):
        keys.load(tmp_path / "keys.json")


def test_keys_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        keys.load(tmp_path / "keys.json")
    with pytest.raises(SettingsError, match=r"no \*.json file"):
        keys.load(tmp_path)


def test_the_key_is_read_as_openssl_reads_it() -> None:
    assert load_der_public_key(base64.b64decode(signing_key("us-east-1").value)).key_size == 2048  # type: ignore[union-attr]


# The string that is signed


@pytest.mark.parametrize("case", CASES["strings_to_sign"], ids=lambda case: case["name"])
def test_string_to_sign(case: dict[str, Any], tmp_path: Path) -> None:
    content = json.dumps(case["digest"]).encode()
    (tmp_path / "digest").write_bytes(gzip.compress(content))
    read = digests.read(str(tmp_path / "digest"), Object("b", "k"))
    assert read.digest is not None
    sha256 = hashlib.sha256(content).hexdigest()
    assert read.sha256 == sha256
    assert read.digest.string_to_sign(sha256).decode() == case["string"].replace("SHA256", sha256)


# Signatures


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": {"signature": 1}}{', "nothing"])
def test_what_is_no_manifest(content: str, tmp_path: Path) -> None:
    (tmp_path / "manifest").write_text(content)
    with pytest.raises(SettingsError, match="not a JSON object from keys to signatures"):
        signatures.load(tmp_path / "manifest")


def test_a_manifest_of_metadata(tmp_path: Path) -> None:
    listed = {"k": {"signature": "ab"}, "s3://b/l": "cd\n", "m": {"other": 1}, "n": {"Metadata": {"signature": "ef"}}}
    (tmp_path / "manifest").write_text(json.dumps(listed))
    loaded = signatures.load(tmp_path / "manifest")
    assert [loaded.of(Object("b", key), "/nowhere") for key in "klmn"] == [["ab"], ["cd"], [], ["ef"]]


# Names


@pytest.mark.parametrize("case", CASES["digest_names"], ids=lambda case: case["key"][-60:])
def test_what_a_digest_s_key_says(case: dict[str, Any]) -> None:
    name = layout.digest_name(case["key"])
    assert (name._asdict() if name is not None else None) == case["says"]


@pytest.mark.parametrize("case", CASES["log_times"], ids=lambda case: case["path"][-60:])
def test_when_a_log_file_was_written(case: dict[str, Any]) -> None:
    times = layout.log_times(case["path"])
    assert (list(times) if times is not None else None) == case["times"]


_keys = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("/.%~ "), min_size=1, max_size=700
) | st.from_regex(r"2026/0[1-3]/[0-9]{2}/[A-Za-z_.%-]{1,250}(/x)?", fullmatch=True)


@given(_keys)
def test_each_key_has_a_place_of_its_own(key: str) -> None:
    """From which it can be told again."""
    kept = layout.kept_as(key)
    parts = kept.split("/")
    assert all(part not in ("", ".", "..") and len(part.encode()) <= 244 for part in parts)
    folder = "/copies/111122223333"
    home = layout.Home(folder, "111122223333", "bucket", "AWSLogs/111122223333", folder, fetched=True)
    path = f"{folder}/CloudTrail/us-east-1/{kept}"
    assert home.object(path) == Object("bucket", f"AWSLogs/111122223333/CloudTrail/us-east-1/{key}")
    assert layout.Places([home]).shown(path) == f"s3://bucket/AWSLogs/111122223333/CloudTrail/us-east-1/{key}"


@given(_keys)
def test_each_account_s_folder_has_a_place_of_its_own(key: str) -> None:
    kept = layout.kept_folder(key)
    parts = kept.split("/")
    assert all(part not in ("", ".", "..") and len(part.encode()) <= 244 for part in parts)
    assert len(parts) == len(key.split("/"))
    assert kept != layout.kept_folder(key + "x")


@pytest.mark.parametrize("name", ["signature", "Signature", "SIGNATURE"])
def test_some_servers_write_names_of_metadata_otherwise(name: str) -> None:
    assert signatures.in_metadata({"signature-algorithm": "SHA256withRSA", name: " 00ff\n"}) == "00ff"


# Spans


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30))),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30))),
    st.integers(0, 30),
    st.integers(1, 5),
)
def test_spans_are_sets_of_moments(
    some: list[tuple[int, int]], others: list[tuple[int, int]], start: int, length: int
) -> None:
    def moments(pairs: list[tuple[int, int]]) -> set[int]:
        return {moment for one, other in pairs for moment in range(one, other)}

    left = Spans(Span(*pair) for pair in some).without(Spans(Span(*pair) for pair in others))
    expected = moments(some) - moments(others)
    assert {moment for span in left.spans for moment in range(int(span.start), int(span.end))} == expected
    wanted = set(range(start, start + length))
    assert left.cover(start, start + length) == (wanted <= expected)
    assert left.touch(start, start + length) == bool(wanted & expected)


# Gzip


@given(st.binary(max_size=300), st.binary(max_size=40), st.integers(0, 400))
@settings(deadline=None)
def test_gzip_is_read_as_zlib_reads_it(content: bytes, after: bytes, cut: int) -> None:
    whole = pack(content)
    for data in (whole, whole + after, whole[:cut], content):
        inflated, read, sha256 = _read(data)
        inflater = zlib.decompressobj(31)
        try:
            expected = inflater.decompress(data)
        except zlib.error:
            assert inflated.fault in (Fault.NOT_GZIP, Fault.DAMAGED)
            continue
        assert read == expected
        assert sha256 == hashlib.sha256(expected).hexdigest()
        sound = inflater.eof and not inflater.unused_data
        assert (inflated.fault is None) == sound
        assert (inflated.fault is Fault.APPENDED) == bool(inflater.unused_data)


def _read(data: bytes) -> tuple[inflate.Inflated, bytes, str]:
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        inflated, read = inflate.read_file(file.name)
        hashed = inflate.hash_file(file.name)
        assert hashed.inflated == inflated
        return inflated, read, hashed.sha256


@pytest.mark.parametrize("flags", [0x20, 0x40, 0x80, 0x02, 0x21])
def test_a_header_that_zlib_refuses(flags: int, tmp_path: Path) -> None:
    data = bytearray(pack(b"content"))
    data[3] = flags
    (tmp_path / "log").write_bytes(data)
    assert inflate.hash_file(str(tmp_path / "log")).inflated.fault is Fault.DAMAGED


def test_a_large_file_is_read_in_pieces(tmp_path: Path) -> None:
    content = b"".join(hashlib.sha256(str(number).encode()).hexdigest().encode() for number in range(100_000))
    (tmp_path / "log").write_bytes(gzip.compress(content, 1))
    inflated, sha256 = inflate.hash_file(str(tmp_path / "log"))
    assert (inflated.size, inflated.fault, sha256) == (len(content), None, hashlib.sha256(content).hexdigest())


# Anything at all


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(CASES["strings_to_sign"][0]["digest"])), _anything)
@settings(deadline=None)
def test_no_digest_stops_the_check(member: str, value: object) -> None:
    import tempfile

    document = CASES["strings_to_sign"][0]["digest"] | {member: value}
    with tempfile.NamedTemporaryFile() as file:
        file.write(gzip.compress(json.dumps(document).encode(), 1))
        file.flush()
        found = digests.read(file.name, Object("b", "k"))
    assert (found.digest is None) == bool(found.fault)
    if found.digest is not None:
        found.digest.string_to_sign(found.sha256)
