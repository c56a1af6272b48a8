"""The runtime of Python functions: takes events from the Runtime API and hands them to the handler.

It runs in the function's process, by path, so it imports nothing of the server's, and works on every Python from 3.8.
"""

from __future__ import annotations

import http.client
import importlib
import json
import logging
import os
import sys
import time
import traceback
from types import SimpleNamespace
from typing import Any

_ROOT = "/2018-06-01/runtime"
_TASK = os.environ["LAMBDA_TASK_ROOT"]
_JSON = {"Content-Type": "application/json"}


class _Failed(Exception):
    """An error with a name that AWS gives it."""

    def __init__(self, kind: str, message: str, trace: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.kind = kind
        self.trace = list(trace)


class _Api:
    def __init__(self, address: str) -> None:
        self._address = address
        self._connection: http.client.HTTPConnection | None = None

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """The API's side may close a connection between two requests, never within one."""
        last = False
        while True:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._address)
            try:
                self._connection.request(method, _ROOT + path, body, headers or {})
                response = self._connection.getresponse()
                return response, response.read()
            except (http.client.HTTPException, OSError):
                self._connection.close()
                self._connection = None
                if last:
                    raise
                last = True

    def fail(self, path: str, error: dict[str, Any]) -> None:
        kind = str(error.get("errorType", "Runtime.Unknown"))
        self.ask("POST", path, _dumped(error), {**_JSON, "Lambda-Runtime-Function-Error-Type": _safe(kind)})


class _Context:
    """What a handler is given beside its event."""

    def __init__(self, headers: Any, deadline: int) -> None:
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers.get("Lambda-Runtime-Invoked-Function-Arn")
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.client_context = _client_context(headers.get("Lambda-Runtime-Client-Context"))
        self.identity = SimpleNamespace(cognito_identity_id=None, cognito_identity_pool_id=None)
        self._deadline = deadline

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int(self._deadline - time.time() * 1000))

    def log(self, message: object) -> None:
        sys.stdout.write(str(message))


def _client_context(text: str | None) -> SimpleNamespace | None:
    if not text:
        return None
    given = json.loads(text)
    client = given.get("client") or {}
    names = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")
    return SimpleNamespace(
        custom=given.get("custom"),
        env=given.get("env"),
        client=SimpleNamespace(**{name: client.get(name) for name in names}),
    )


class _Lines(logging.Handler):
    """The root logger's lines, as Lambda writes them."""

    request_id = ""

    def emit(self, record: logging.LogRecord) -> None:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        text = self.format(record)
        sys.stdout.write(f"[{record.levelname}]\t{moment}.{int(record.msecs):03}Z\t{self.request_id}\t{text}\n")


def _handler() -> Any:
    """The handler that the function names."""
    name = os.environ["_HANDLER"]
    module_name, dot, function_name = name.rpartition(".")
    if not dot or not module_name:
        raise _Failed(
            "Runtime.MalformedHandlerName",
            f"Bad handler '{name}': not enough values to unpack (expected 2, got 1)",
        )
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        raise _Failed("Runtime.ImportModuleError", f"Unable to import module '{module_name}': {error}") from None
    except SyntaxError as error:
        line = (error.text or "").rstrip()
        trace = (f'  File "{error.filename}" Line {error.lineno}\n    {line}',)
        raise _Failed(
            "Runtime.UserCodeSyntaxError", f"Syntax error in module '{module_name}': {error}", trace
        ) from None
    try:
        return getattr(module, function_name)
    except AttributeError:
        raise _Failed(
            "Runtime.HandlerNotFound", f"Handler '{function_name}' missing on module '{module_name}'"
        ) from None


def _told(error: Exception, request_id: str | None = None) -> dict[str, Any]:
    """An error as the API takes it."""
    if isinstance(error, _Failed):
        told = {"errorMessage": str(error), "errorType": error.kind, "stackTrace": error.trace}
    else:
        # This file's own frames, and the import machinery's, tell the author nothing.
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename != __file__ and not frame.filename.startswith("<frozen importlib")
        ]
        told = {
            "errorMessage": str(error),
            "errorType": type(error).__name__,
            "stackTrace": traceback.format_list(frames),
        }
    if isinstance(error, _Failed) or request_id is not None:
        told["requestId"] = request_id or ""
    return told


def _show(error: dict[str, Any]) -> None:
    print(f"[ERROR] {error['errorType']}: {error['errorMessage']}")
    if error["stackTrace"]:
        print("Traceback (most recent call last):")
        print("".join(error["stackTrace"]).rstrip("\n"))
    sys.stdout.flush()


def _dumped(value: object) -> bytes:
    return json.dumps(value, default=_plain).encode()


def _plain(value: Any) -> float:
    if type(value).__name__ == "Decimal":
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _safe(text: str) -> str:
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)


def _answer(handler: Any, body: bytes, context: _Context) -> bytes:
    try:
        event = json.loads(body)
    except ValueError as error:
        raise _Failed("Runtime.UnmarshalError", f"Unable to unmarshal input: {error}") from None
    answer = handler(event, context)
    try:
        return _dumped(answer)
    except (TypeError, ValueError, RecursionError) as error:
        raise _Failed("Runtime.MarshalError", f"Unable to marshal response: {error}") from None


def _serve(api: _Api, handler: Any, lines: _Lines) -> None:
    while True:
        response, body = api.ask("GET", "/invocation/next")
        headers = response.headers
        request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        os.environ["_X_AMZN_TRACE_ID"] = headers.get("Lambda-Runtime-Trace-Id", "")
        lines.request_id = request_id
        try:
            answer = _answer(handler, body, _Context(headers, int(headers["Lambda-Runtime-Deadline-Ms"])))
        except Exception as error:
            told = _told(error, request_id)
            _show(told)
            api.fail(f"/invocation/{request_id}/error", told)
        else:
            sys.stdout.flush()
            sys.stderr.flush()
            api.ask("POST", f"/invocation/{request_id}/response", answer, _JSON)


def main() -> None:
    sys.path[0] = _TASK
    api = _Api(os.environ["AWS_LAMBDA_RUNTIME_API"])
    lines = _Lines()
    lines.setFormatter(logging.Formatter("%(message)s"))
    logging.getLogger().addHandler(lines)
    try:
        handler = _handler()
    except Exception as error:
        told = _told(error)
        _show(told)
        api.fail("/init/error", told)
        sys.exit(1)
    _serve(api, handler, lines)


if __name__ == "__main__":
    main()
