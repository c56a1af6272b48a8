"""Ways to tamper with what was delivered, each with the findings that it must lead to, and no others."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import zlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from .delivered import HOUR, START, Chain, SigningKey, compact, pack, signing_key


class Expected(NamedTuple):
    #: Any of these kinds.
    kinds: frozenset[str]
    file: str
    found: str = ""


def expected(kinds: str, file: str, found: str = "") -> Expected:
    return Expected(frozenset(kinds.split()), file, found)


class Tamperer:
    def __init__(self, root: Path, chains: list[Chain], draw: random.Random) -> None:
        self.root = root
        self.chains = chains
        self.draw = draw
        self.chain = draw.choice(chains)

    def _log(self) -> str:
        return self.draw.choice([log for logs in self.chain.logs.values() for log in logs])

    def _other_log(self, log: str) -> str:
        logs = [other for chain in self.chains for named in chain.logs.values() for other in named]
        return self.draw.choice([other for other in logs if other != log])

    def _digest(self) -> str:
        return self.draw.choice(self.chain.digests)

    def _path(self, key: str) -> Path:
        return self.root / key

    def _content(self, key: str) -> bytes:
        return gzip.decompress(self._path(key).read_bytes())

    def _flip(self, key: str) -> None:
        """A byte, so that what the file inflates to changes: some bytes of a gzip header say nothing about it."""
        path = self._path(key)
        before = path.read_bytes()
        while True:
            data = bytearray(before)
            data[self.draw.randrange(len(data))] ^= self.draw.randint(1, 255)
            if not _same(bytes(data), before):
                path.write_bytes(data)
                return

    def _move(self, key: str, name: str) -> str:
        """To another folder, or to another name, within the account's folders or outside of them."""
        folder, _, old = key.rpartition("/")
        where = self.draw.choice(
            [
                f"{folder}/{name}",
                f"{folder}/{old}.bak",
                f"{folder.rpartition('/')[0]}/28/{old}",
                f"elsewhere/{old}",
                f"elsewhere/{self.draw.randrange(10**6)}",
                f"AWSLogs/elb/{old}",
            ]
        )
        self._path(where).parent.mkdir(parents=True, exist_ok=True)
        self._path(key).rename(self._path(where))
        return where

    def _swap(self, one: str, other: str) -> None:
        a, b = self._path(one).read_bytes(), self._path(other).read_bytes()
        self._path(one).write_bytes(b)
        self._path(other).write_bytes(a)

    def _truncate(self, key: str) -> None:
        path = self._path(key)
        data = path.read_bytes()
        path.write_bytes(data[: self.draw.randrange(len(data))])

    def _append(self, key: str) -> None:
        after = self.draw.choice([pack(b"{}"), pack(b""), b"\0", b"garbage" * 50, self._path(key).read_bytes()])
        with self._path(key).open("ab") as file:
            file.write(after)

    # Log files

    def flip_log(self) -> list[Expected]:
        log = self._log()
        self._flip(log)
        magic = self._path(log).read_bytes()[:2] != b"\x1f\x8b"
        return [expected("log-not-gzip" if magic else "log-changed", log)]

    def rewrite_log(self) -> list[Expected]:
        log = self._log()
        content = bytearray(self._content(log))
        content[self.draw.randrange(len(content))] ^= self.draw.randint(1, 255)
        self._path(log).write_bytes(pack(bytes(content)))
        return [expected("log-changed", log)]

    def drop_log(self) -> list[Expected]:
        log = self._log()
        self._path(log).unlink()
        return [expected("log-missing", log)]

    def move_log(self) -> list[Expected]:
        log = self._log()
        return [expected("log-moved", log, self._move(log, self._new_log_name(log)))]

    def swap_logs(self) -> list[Expected]:
        one = self._log()
        other = self._other_log(one)
        self._swap(one, other)
        return [expected("log-swapped", one), expected("log-swapped", other)]

    def move_log_over_another(self) -> list[Expected]:
        one = self._log()
        other = self._other_log(one)
        self._path(one).replace(self._path(other))
        return [expected("log-moved", one, other), expected("log-changed", other)]

    def truncate_log(self) -> list[Expected]:
        log = self._log()
        self._truncate(log)
        return [expected("log-truncated", log)]

    def append_to_log(self) -> list[Expected]:
        log = self._log()
        self._append(log)
        return [expected("log-appended", log)]

    def append_a_member_to_log(self) -> list[Expected]:
        """Many a reader takes all members together for the file."""
        log = self._log()
        self._path(log).write_bytes(self._path(log).read_bytes() + pack(b'{"Records":[]}'))
        return [expected("log-appended", log)]

    def inflate_log(self) -> list[Expected]:
        log = self._log()
        self._path(log).write_bytes(self._content(log))
        return [expected("log-not-gzip", log)]

    def add_log(self) -> list[Expected]:
        log = self._log()
        key = f"{log.rpartition('/')[0]}/{self._new_log_name(log)}"
        self._path(key).write_bytes(pack(b'{"Records":[{}]}'))
        return [expected("log-added", key)]

    def copy_log(self) -> list[Expected]:
        log = self._log()
        key = f"{log.rpartition('/')[0]}/{self._new_log_name(log)}"
        shutil.copy(self._path(log), self._path(key))
        return [expected("log-added", key)]

    def _new_log_name(self, log: str) -> str:
        """Of the same account, kind and Region."""
        like = "_".join(log.rpartition("/")[2].split("_")[:3])
        at = START + timedelta(minutes=self.draw.randint(1, 60 * (len(self.chain.digests) - 1)))
        name = "".join(self.draw.choices("XYZxyz", k=16))
        return f"{like}_{at:%Y%m%dT%H%MZ}_{name}.json.gz"

    # Digests

    def flip_digest(self) -> list[Expected]:
        digest = self._digest()
        self._flip(digest)
        magic = self._path(digest).read_bytes()[:2] != b"\x1f\x8b"
        return [expected("digest-not-gzip" if magic else "digest-changed", digest)]

    def rewrite_digest(self) -> list[Expected]:
        digest = self._digest()
        document = self.chain.read_digest(digest)
        if document["logFiles"] and self.draw.random() < 0.5:
            document["logFiles"].pop()
        else:
            member = self.draw.choice(["awsAccountId", "digestStartTime", "newestEventTime", "previousDigestHashValue"])
            document[member] = "2026-01-31T00:00:00Z"
        self._path(digest).write_bytes(pack(json.dumps(document, separators=(",", ":")).encode()))
        return [expected("digest-changed", digest)]

    def drop_digest(self) -> list[Expected]:
        digest = self._digest()
        self._path(digest).unlink()
        return [expected("digest-missing", digest)]

    def move_digest(self) -> list[Expected]:
        digest = self._digest()
        at = START + timedelta(minutes=self.draw.randint(1, 10_000) * 2 + 1)
        name = digest.rpartition("/")[2].replace(digest[-24:-8], compact(at))
        return [expected("digest-moved", digest, self._move(digest, name))]

    def swap_digests(self) -> list[Expected]:
        one = self._digest()
        other = self.draw.choice([key for chain in self.chains for key in chain.digests if key != one])
        self._swap(one, other)
        return [expected("digest-swapped", one, other), expected("digest-swapped", other, one)]

    def truncate_digest(self) -> list[Expected]:
        digest = self._digest()
        self._truncate(digest)
        return [expected("digest-truncated", digest)]

    def append_to_digest(self) -> list[Expected]:
        digest = self._digest()
        self._append(digest)
        return [expected("digest-appended", digest)]

    def copy_digest(self) -> list[Expected]:
        digest = self._digest()
        at = START + timedelta(minutes=self.draw.randint(1, 10_000) * 2 + 1)
        key = digest.replace(digest[-24:-8], compact(at))
        shutil.copy(self._path(digest), self._path(key))
        return [expected("digest-added", key)]

    def copy_digest_over_another(self) -> list[Expected]:
        one = self._digest()
        other = self.draw.choice([key for chain in self.chains for key in chain.digests if key != one])
        shutil.copy(self._path(one), self._path(other))
        return [expected("digest-changed", other)]

    def insert_digest(self) -> list[Expected]:
        """A digest that nothing leads to, signed by whoever inserts it, under the name of the true key."""
        index = self.draw.randrange(len(self.chain.digests) - 1)
        document = self.chain.read_digest(self.chain.digests[index])
        end = START + (index + 1) * HOUR + timedelta(minutes=self.draw.randint(1, 59))
        key = self.chain.digest_key(end)
        document |= {"digestS3Object": key, "digestEndTime": f"{end:%Y-%m-%dT%H:%M:%SZ}", "logFiles": []}
        self.chain.put_digest(key, document, signing_key("forger"))
        return [expected("digest-added", key)]

    def re_sign_with_unknown_key(self) -> list[Expected]:
        """All digests from one on, each made anew, under the key's own fingerprint."""
        forger = signing_key("forger")
        return [expected("digest-unknown-key", key) for key in self._re_sign(forger, forger.fingerprint)]

    def re_sign_with_other_key(self) -> list[Expected]:
        """The same, but under the fingerprint of the true key."""
        fingerprint = signing_key(self.chain.region).fingerprint
        return [expected("digest-forged", key) for key in self._re_sign(signing_key("forger"), fingerprint)]

    def _re_sign(self, forger: SigningKey, fingerprint: str) -> list[str]:
        chain = self.chain
        forged = chain.digests[self.draw.randrange(len(chain.digests)) :]
        for key in forged:
            document = chain.read_digest(key)
            document["digestPublicKeyFingerprint"] = fingerprint
            if key != forged[0]:
                _, hash_value, signature = chain._previous  # type: ignore[misc]
                document |= {"previousDigestHashValue": hash_value, "previousDigestSignature": signature}
            chain.put_digest(key, document, forger)
        chain.keep_newest_signature()
        return forged

    def change_signature(self) -> list[Expected]:
        newest = self.chain.digests[-1]
        self.chain.signatures[newest] = f"{self.draw.getrandbits(2048):0512x}"
        self.chain.keep_newest_signature()
        return [expected("digest-forged", newest)]


def _same(data: bytes, before: bytes) -> bool:
    inflater = zlib.decompressobj(31)
    try:
        return inflater.decompress(data) == gzip.decompress(before) and inflater.eof and not inflater.unused_data
    except zlib.error:
        return False


def ways() -> list[Callable[[Tamperer], list[Expected]]]:
    return [way for name, way in vars(Tamperer).items() if callable(way) and not name.startswith("_")]
