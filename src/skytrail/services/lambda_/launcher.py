"""Starts the process of a function, and sees to it that nothing of it stays.

A program of its own, run by path with `-I -S`, so it imports nothing of ours and little else. Its standard input is a
pipe that the server holds: when it closes, because the server says so or has died, everything that the function has
started is killed, also what has left its process group. What the function wrote comes out on standard output.

    launcher.py MEMORY_BYTES FILE_BYTES COMMAND...

The function's environment comes first on standard input, so that nothing in it works on this program: its length in
four bytes, and then NAME=VALUE, each ended by a NUL.
"""

import contextlib
import ctypes
import os
import resource
import select
import signal
import sys

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def main() -> None:
    memory, file_size, *command = sys.argv[1:]
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: None)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    environment = _environment()
    launcher = os.getpid()
    child = os.fork()
    if child == 0:
        _become(command, environment, int(memory), int(file_size), launcher)
    os.close(1)
    os.close(2)
    status = _wait(child, wake)
    _kill_all(child)
    _leave(status)


def _environment() -> dict[bytes, bytes]:
    size = int.from_bytes(_read(4), "big")
    found = {}
    for item in _read(size).split(b"\0")[:-1]:
        name, _, value = item.partition(b"=")
        found[name] = value
    return found


def _read(size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = os.read(0, size - len(data))
        if not piece:
            os._exit(0)
        data += piece
    return data


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _become(command: list[str], environment: dict[bytes, bytes], memory: int, file_size: int, launcher: int) -> None:
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != launcher:
            os._exit(127)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        descriptor = os.open(os.devnull, os.O_RDONLY)
        os.dup2(descriptor, 0)
        os.dup2(1, 2)
        os.closerange(3, 1024)
        for limit, wanted in (
            (resource.RLIMIT_DATA, memory),
            (resource.RLIMIT_FSIZE, file_size),
            (resource.RLIMIT_CORE, 0),
        ):
            _, hard = resource.getrlimit(limit)
            value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(limit, (value, value))
        os.execvpe(command[0], command, environment)
    except OSError as error:
        os.write(1, f"{command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _wait(child: int, wake: int) -> int:
    """The child's status; -1 where it was to end before."""
    while True:
        ready, _, _ = select.select([0, wake], [], [])
        if wake in ready:
            os.read(wake, 512)
            # Orphans of the function come here too.
            while True:
                try:
                    found, status = os.waitpid(-1, os.WNOHANG)
                except ChildProcessError:
                    return -1
                if found == child:
                    return status
                if found == 0:
                    break
        if 0 in ready and not os.read(0, 512):
            return -1


def _kill_all(child: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(child, signal.SIGKILL)
    while True:
        for process in _children():
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def _leave(status: int) -> None:
    """As the child has."""
    if status >= 0 and os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status) if status >= 0 else 0)


if __name__ == "__main__":
    main()
