"""`skytrail prove`: that a record is in its transparency log, and that the log was only ever appended to.

What the server or a copy of a bucket says is not believed: each proof is checked here, with the log's key.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import msgspec
import typer

from .. import settings as settings_module
from ..errors import SettingsError, SkytrailError
from ..wire import arns
from . import operator

if TYPE_CHECKING:
    from ..verify.notes import Checkpoint, Key
    from ..verify.proofs import ProofFile
    from ..verify.proofs_asked import Question

PATH = "/_skytrail/prove"

_MOST_KEYS_BYTES = 1 << 20

T = TypeVar("T")


def _with(help_: str, metavar: str) -> Any:
    return typer.Option(help=help_, metavar=metavar, rich_help_panel="With what", show_default=False)


def _do(help_: str, metavar: str, *names: str) -> Any:
    return typer.Option(*names, help=help_, metavar=metavar, rich_help_panel="Instead of an event", show_default=False)


def prove(
    event_id: Annotated[
        str | None,
        typer.Argument(metavar="EVENT_ID", help="Prove that this event is in its log.", show_default=False),
    ] = None,
    check: Annotated[Path | None, _do("Check a proof file, without any server.", "FILE")] = None,
    consistency: Annotated[
        tuple[Path, Path] | None, _do("Prove that the log of one checkpoint grew into that of another.", "OLD NEW")
    ] = None,
    show_key: Annotated[bool, _do("Print the keys of the server's logs.", " ", "--show-key")] = False,
    directory: Annotated[
        Path | None, _with("A copy of the trail's bucket (`aws s3 sync`), instead of the server.", "DIR")
    ] = None,
    checkpoint: Annotated[Path | None, _with("Prove against this checkpoint, not the newest one.", "FILE")] = None,
    key: Annotated[
        str | None, _with("The log's key, NAME+HASH+KEY, or a file with such keys, one a line.", "KEY")
    ] = None,
    without_key: Annotated[
        bool,
        typer.Option(
            "--without-key",
            metavar=" ",
            help="Believe any checkpoint: this does not show who made it.",
            rich_help_panel="With what",
        ),
    ] = False,
    account: Annotated[str | None, _with("Account, where the event id does not tell.", "ACCOUNT")] = None,
    region: Annotated[str | None, _with("Region, where the event id does not tell.", "REGION")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the proof to this file.")
    ] = None,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Data directory.")] = None,
    endpoint_url: Annotated[
        str | None, typer.Option(metavar="URL", help="A server in open mode, instead of a data directory.")
    ] = None,
) -> None:
    """Prove that an event's record is in the log of its account and Region, or that a log was only appended to.

    The proof is a file that anyone who has the log's key can check, without a server: see --check.

    The exit status is 0 if it is proved, 1 if it is not, 2 if the command cannot be understood.
    """
    from ..verify.merkle import NotProved  # noqa: PLC0415 - only this command needs it

    asked = {"EVENT_ID": event_id, "--check": check, "--consistency": consistency, "--show-key": show_key or None}
    what = [name for name, given in asked.items() if given is not None]
    if len(what) != 1:
        raise typer.BadParameter(f"name an EVENT_ID, or one of {', '.join(list(asked)[1:])}")
    given = {
        "--directory": directory,
        "--checkpoint": checkpoint,
        "--key": key,
        "--without-key": without_key or None,
        "--account": account,
        "--region": region,
        "--output": output,
        "--data": data,
        "--endpoint-url": endpoint_url,
    }
    _refuse(what[0], given)
    if account is not None and not arns.is_account(account):
        raise typer.BadParameter(f"an account is 12 digits, not {account!r}", param_hint="--account")
    for name, text in (("EVENT_ID", event_id), ("--region", region)):
        _refuse_undecodable(name, text)
    try:
        keys = _keys(key) if key is not None else None
        server = _Server(data, endpoint_url)
        if check is not None:
            _check(check, keys)
        elif consistency is not None:
            _consistency(*consistency, directory, server, keys)
        elif show_key:
            _show_keys(server, account or "", region or "")
        else:
            assert event_id is not None
            kept = _checkpoint(checkpoint) if checkpoint is not None else None
            if directory is not None:
                _prove_from_copy(directory, event_id, account or "", region or "", keys, kept, output)
            else:
                _prove_by_server(server, event_id, account or "", region or "", keys, kept, output)
    except NotProved as error:
        _say(f"not proved: {error}", sys.stderr)
        raise typer.Exit(1) from None
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from error


#: What each of the things to do takes.
_SERVER = {"--data", "--endpoint-url"}
_WHERE = {"--account", "--region"}
_TAKES = {
    "EVENT_ID": {"--directory", "--checkpoint", "--key", "--without-key", "--output", *_WHERE, *_SERVER},
    "--check": {"--key", "--without-key"},
    "--consistency": {"--directory", "--key", "--without-key", *_SERVER},
    "--show-key": {*_WHERE, *_SERVER},
}


def _refuse(what: str, given: dict[str, Any]) -> None:
    names = {name for name, value in given.items() if value is not None}
    if wrong := sorted(names - _TAKES[what]):
        raise typer.BadParameter(f"{what} takes no {wrong[0]}")
    if "--directory" in names and names & _SERVER:
        raise typer.BadParameter("--directory needs no server: leave --data and --endpoint-url out")
    if names >= _SERVER:
        raise typer.BadParameter("--data and --endpoint-url exclude each other: leave one out")
    offline = what == "--check" or "--directory" in names
    if {"--key", "--without-key"} <= names:
        raise typer.BadParameter("give the log's --key, or say --without-key, not both", param_hint="--key")
    if offline and not names & {"--key", "--without-key"}:
        needs = "--check" if what == "--check" else "--directory"
        text = f"{needs} needs --key KEY (see prove --show-key), or --without-key"
        raise typer.BadParameter(text, param_hint="--key")
    if not offline and "--without-key" in names:
        raise typer.BadParameter("--without-key is for --check and --directory: the server says its key")


def _refuse_undecodable(name: str, text: str | None) -> None:
    try:
        (text or "").encode()
    except UnicodeEncodeError:
        raise typer.BadParameter(f"it is no UTF-8: {text!r}", param_hint=name) from None


# What is to be done


def _check(path: Path, keys: Sequence[Key] | None) -> None:
    from ..verify import proofs  # noqa: PLC0415

    file = proofs.parse_file(_read(path, proofs.MOST_FILE_BYTES))
    _proved(file, file.check(keys), sys.stdout)


def _prove_from_copy(
    directory: Path,
    event_id: str,
    account: str,
    region: str,
    keys: Sequence[Key] | None,
    kept: Checkpoint | None,
    output: Path | None,
) -> None:
    from ..verify import merkle_copy  # noqa: PLC0415
    from ..verify.merkle import NotProved  # noqa: PLC0415

    if not directory.is_dir():
        raise SettingsError(f"{directory}: there is no such directory")
    search = merkle_copy.search(directory.resolve(), event_id, account, region)
    for skipped in search.skipped:
        _say(f"left out: {skipped}", sys.stderr)
    if not search.found:
        raise NotProved(f"none of the {search.files} log files in {directory} has the event {event_id}")
    proved = []
    # Where files disagree about an event, one of them was changed: none of its texts may be taken for it.
    for record in search.found:
        try:
            proved.append(merkle_copy.prove(directory.resolve(), record, keys, kept))
        except NotProved as error:
            raise NotProved(f"the record in {record.path}: {error}") from error
    for further in proved[1:]:
        _say(f"a further record has this event id: leaf {further.parsed().leaf}", sys.stderr)
    _hand_out(proved[0], keys, output)


def _prove_by_server(
    server: _Server,
    event_id: str,
    account: str,
    region: str,
    keys: Sequence[Key] | None,
    kept: Checkpoint | None,
    output: Path | None,
) -> None:
    from ..verify.merkle import NotProved  # noqa: PLC0415
    from ..verify.proofs import said  # noqa: PLC0415
    from ..verify.proofs_asked import OfRecord, ProvedRecord  # noqa: PLC0415

    text = kept.note.encode().decode() if kept is not None else ""
    answer = server.ask_one(OfRecord(event_id, account, region, text), ProvedRecord)
    record = said(answer.file.record.encode())
    if record.event_id != event_id:
        raise NotProved(f"the server's proof is of another event: {record.event_id}")
    if kept is not None and answer.file.parsed().checkpoint != kept.note.encode():
        raise NotProved("the server's proof is for another checkpoint")
    if answer.others:
        _say(f"{answer.others} more records of the log have this event id: this is the first one", sys.stderr)
    _hand_out(answer.file, _of_server(keys, answer.key), output)


def _consistency(
    old_path: Path, new_path: Path, directory: Path | None, server: _Server, keys: Sequence[Key] | None
) -> None:
    from ..verify import merkle_copy  # noqa: PLC0415
    from ..verify.merkle import NotProved, check_consistency  # noqa: PLC0415
    from ..verify.proofs import parse_hashes  # noqa: PLC0415
    from ..verify.proofs_asked import OfCheckpoints, ProvedConsistency  # noqa: PLC0415

    old, new = _checkpoint(old_path), _checkpoint(new_path)
    if old.origin != new.origin:
        raise NotProved(f"the checkpoints are of two logs, {old.origin} and {new.origin}")
    if old.size > new.size:
        raise NotProved(f"OLD has {old.size} leaves, NEW only {new.size}: is it the other way round?")
    if directory is not None:
        path = tuple(merkle_copy.copy_of(directory.resolve(), new).tree(new.size).consistency(old.size))
    else:
        texts = [each.note.encode().decode() for each in (old, new)]
        answer = server.ask_one(OfCheckpoints(texts[0], texts[1]), ProvedConsistency)
        path = parse_hashes(answer.path)
        keys = _of_server(keys, answer.key)
    for file, each in ((old_path, old), (new_path, new)):
        try:
            if keys is not None:
                each.check(keys)
        except NotProved as error:
            raise NotProved(f"{file}: {error}") from error
    check_consistency(old.size, old.root, new.size, new.root, path)
    _say(f"proved: the first {old.size} of {new.size} leaves of {new.origin} are those of the older checkpoint")


def _show_keys(server: _Server, account: str, region: str) -> None:
    from ..verify.proofs_asked import OfKeys, ShownKey  # noqa: PLC0415

    shown = list(server.ask(OfKeys(account, region), ShownKey))
    for each in shown:
        _say(each.key)
    if not shown:
        _say("no log has been begun there yet; with --account and --region its key is shown all the same", sys.stderr)


# The server


class _Server:
    def __init__(self, data: Path | None, endpoint_url: str | None) -> None:
        self._data = data
        self._endpoint_url = endpoint_url

    def ask_one(self, question: Question, type_: type[T]) -> T:
        answers = list(self.ask(question, type_))
        if len(answers) != 1:
            raise SkytrailError("the answer broke off: it is not whole")
        return answers[0]

    def ask(self, question: Question, type_: type[T]) -> Iterator[T]:
        settings = settings_module.load(overrides={"storage.data": str(self._data) if self._data else None})
        body = msgspec.json.encode(question)
        for line in operator.stream(settings, PATH, body, endpoint_url=self._endpoint_url):
            try:
                answer = msgspec.json.decode(line)
                if "error" in answer:
                    _raise(str(answer["error"]["code"]), str(answer["error"]["message"]))
                yield msgspec.convert(answer, type_)
            except (ValueError, KeyError, TypeError) as error:
                raise SkytrailError(f"the server's answer cannot be read: {error}") from error


def _raise(code: str, message: str) -> NoReturn:
    from ..verify.merkle import NotProved  # noqa: PLC0415

    if code == "ValidationException":
        raise SettingsError(message)
    if code in ("NotProved", "ResourceNotFoundException"):
        raise NotProved(message)
    raise SkytrailError(message)


def _of_server(keys: Sequence[Key] | None, said: str) -> Sequence[Key]:
    """The keys that were given; else the one that the server says is its log's."""
    from ..verify.notes import parse_key  # noqa: PLC0415

    if keys is not None:
        return keys
    _say(f"checked with the key that the server says: {said}", sys.stderr)
    try:
        return [parse_key(said)]
    except ValueError as error:
        raise SkytrailError(f"the server's answer cannot be read: {error}") from error


# Files


def _read(path: Path, most: int) -> bytes:
    from ..verify.merkle import NotProved  # noqa: PLC0415
    from ..verify.merkle_copy import read  # noqa: PLC0415

    try:
        return read(path, most)
    except NotProved as error:
        raise NotProved(f"{path}: {error}") from error
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error


def _checkpoint(path: Path) -> Checkpoint:
    from ..verify import notes  # noqa: PLC0415
    from ..verify.merkle import NotProved  # noqa: PLC0415

    try:
        return notes.parse_checkpoint(_read(path, notes.MOST_NOTE_BYTES))
    except NotProved as error:
        raise NotProved(f"{path}: {error}") from error


def _keys(text: str) -> list[Key]:
    """A key itself, or those in a file; lines that begin with # are left out."""
    from ..verify.notes import parse_key  # noqa: PLC0415

    lines = [text]
    if not text.count("+") or Path(text).is_file():
        content = _read(Path(text), _MOST_KEYS_BYTES).decode(errors="replace")
        lines = [line.strip() for line in content.splitlines() if line.strip() and not line.startswith("#")]
    try:
        keys = [parse_key(line) for line in lines]
    except ValueError as error:
        raise SettingsError(str(error)) from error
    if not keys:
        raise SettingsError(f"{text}: there are no keys in it")
    return keys


def _hand_out(file: ProofFile, keys: Sequence[Key] | None, output: Path | None) -> None:
    """The proof goes to its file, or to the standard output: then what is said of it goes to the other one."""
    checkpoint = file.check(keys)
    if output is None:
        sys.stdout.write(file.encode().decode())
        _proved(file, checkpoint, sys.stderr)
        return
    try:
        output.write_bytes(file.encode())
    except OSError as error:
        raise SettingsError(f"{output}: {error.strerror}") from error
    _proved(file, checkpoint, sys.stdout)


def _proved(file: ProofFile, checkpoint: Checkpoint, out: Any) -> None:
    from ..verify.proofs import said  # noqa: PLC0415

    record = said(file.record.encode())
    what = " ".join(part for part in (record.time, record.name, record.event_id) if part)
    where = f"leaf {file.parsed().leaf} of the {checkpoint.size} of {checkpoint.origin}"
    _say(f"proved: {what} is {where}", out)


def _say(text: str, out: Any = None) -> None:
    """On one line, and without power over a terminal: records and names may say anything."""
    shown = os.fsencode(text).decode("utf-8", "backslashreplace")
    print("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown), file=out or sys.stdout)
