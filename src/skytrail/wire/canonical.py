"""Paths and query strings in the one canonical form that SigV4 signs."""

from __future__ import annotations

import re
from urllib.parse import quote_from_bytes, unquote_to_bytes

_PLAIN_PATH = re.compile(r"[A-Za-z0-9_.~/-]*")
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*")


def canonical_path(path: str, *, as_sent: bool) -> str:
    """S3 signs the path as it is; the others without empty and dot segments, and encoded once more."""
    if as_sent:
        if _PLAIN_PATH.fullmatch(path):
            return path or "/"
        return "/".join(quote_from_bytes(unquote_to_bytes(_bytes(part)), safe="~") for part in path.split("/"))
    if path == "/" or not path:
        return "/"
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del kept[-1:]
        elif part not in {"", "."}:
            kept.append(part)
    end = "/" if kept and path.endswith("/") else ""
    return quote_from_bytes(_bytes("/" + "/".join(kept) + end), safe="/~")


def canonical_query(query: str, *, leave_out: str = "") -> str:
    """The parameters, each encoded in the one canonical way, in the order of their encoded names and values."""
    if not query:
        return ""
    pairs = (
        (_encode(name), _encode(value))
        for name, value in (_split(part) for part in query.split("&") if part)
        if name != leave_out
    )
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _split(pair: str) -> tuple[str, str]:
    name, _, value = pair.partition("=")
    return name, value


def _encode(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    return quote_from_bytes(unquote_to_bytes(_bytes(text.replace("+", " "))), safe="~")


def query_pairs(query: str) -> list[tuple[str, str]]:
    return [
        (name, unquote_to_bytes(_bytes(value.replace("+", " "))).decode("utf-8", "replace"))
        for name, value in (_split(part) for part in query.split("&"))
    ]


def _bytes(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()
