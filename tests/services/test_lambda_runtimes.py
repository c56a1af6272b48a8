"""Functions that run: Python, Node, their own bootstraps, HTTP addresses; what they answer, how they fail and end."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from skytrail.testing import DrivenClock, Server

from .lambda_house import ACCOUNT, REGION, Functions, archive, until

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function"


@pytest.fixture(scope="module")
def functions() -> Iterator[Functions]:
    with Server(environment={"SECRET_OF_THE_SERVER": "not for functions"}) as server:
        made = Functions(server)
        made.create("python", Timeout=10, Environment={"Variables": {"COLOUR": "grün"}})
        yield made


def test_python(functions: Functions) -> None:
    context = base64.b64encode(json.dumps({"custom": {"a": "ü"}, "client": {}}).encode()).decode()
    answer = functions.invoke("python", {"print": "hello"}, LogType="Tail", ClientContext=context)
    result, request_id = answer["Result"], answer["ResponseMetadata"]["RequestId"]
    assert (answer["StatusCode"], answer["ExecutedVersion"], answer.get("FunctionError")) == (200, "$LATEST", None)
    assert result["event"] == {"print": "hello"}
    assert result["arn"] == f"{ARN}:python"
    assert (result["id"], result["version"], result["memory"]) == (request_id, "$LATEST", "128")
    assert 9000 < result["left"] <= 10_000
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", result["stream"])
    assert result["custom"] == {"a": "ü"}
    lines = answer["Log"].splitlines()
    assert lines[0] == f"START RequestId: {request_id} Version: $LATEST"
    assert lines[1:3] == ["hello", f"END RequestId: {request_id}"]
    assert re.fullmatch(
        rf"REPORT RequestId: {request_id}\tDuration: [0-9.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB\t"
        r"Max Memory Used: \d+ MB\tInit Duration: [0-9.]+ ms\t",
        lines[3],
    )
    again = functions.invoke("python", {"stderr": "warm"}, LogType="Tail")
    assert (again["Result"]["pid"], again["Result"]["count"]) == (result["pid"], result["count"] + 1)
    assert "warm\n" in again["Log"]
    assert "Init Duration" not in again["Log"]
    assert functions.invoke("python")["Result"]["event"] == {}
    functions.create("echo", {"m.py": "handler = lambda event, context: event"})
    for event in ([1, "ü"], "text", 1.5, False, {"a": {"b": None}}):
        assert functions.invoke("echo", event)["Result"] == event


def test_the_environment(functions: Functions) -> None:
    found = functions.invoke("python", {"environment": True})["Result"]
    folder = functions.server.data / "functions"
    assert found["COLOUR"] == "grün"
    assert found["AWS_LAMBDA_FUNCTION_NAME"] == "python"
    assert found["AWS_REGION"] == found["AWS_DEFAULT_REGION"] == REGION
    assert found["AWS_ENDPOINT_URL"] == functions.server.endpoint
    assert found["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.11"
    assert found["_HANDLER"] == "m.handler"
    assert found["AWS_ACCESS_KEY_ID"] == ACCOUNT, "there is no such role, so it acts for its account"
    assert Path(found["LAMBDA_TASK_ROOT"]).parent == folder
    assert Path(found["TMPDIR"]).is_dir()
    assert not {"SECRET_OF_THE_SERVER", "XDG_DATA_HOME", "PYTEST_CURRENT_TEST"} & found.keys()


FAILURES: list[tuple[dict[str, Any], str, str]] = [
    ({"raise": "no"}, "ValueError", "no"),
    ({"exit": 0}, "Runtime.ExitError", "RequestId: {id} Error: Runtime exited without providing a reason"),
    ({"exit": 3}, "Runtime.ExitError", "RequestId: {id} Error: Runtime exited with error: exit status 3"),
    ({"signal": 9}, "Runtime.ExitError", "RequestId: {id} Error: Runtime exited with error: signal: killed"),
    ({"signal": 6}, "Runtime.ExitError", "RequestId: {id} Error: Runtime exited with error: signal: aborted"),
    ({"megabytes": 200}, "MemoryError", ""),
    ({"set": 1}, "Runtime.MarshalError", "Unable to marshal response: Object of type set is not JSON serializable"),
    ({"letters": 6291556}, "Function.ResponseSizeTooLarge",
     "Response payload size (6291558 bytes) exceeded maximum allowed payload size (6291556 bytes)."),
]  # fmt: skip


@pytest.mark.parametrize(("event", "kind", "message"), FAILURES, ids=lambda value: str(value)[:40])
def test_failures(functions: Functions, event: dict[str, Any], kind: str, message: str) -> None:
    answer = functions.invoke("python", event, LogType="Tail")
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert answer["Result"]["errorType"] == kind
    assert answer["Result"]["errorMessage"] == message.format(id=request_id)
    assert f"END RequestId: {request_id}" in answer["Log"]
    assert functions.invoke("python", {})["Result"]["event"] == {}, "the next one is none the worse"


def test_an_exception_is_told_whole(functions: Functions) -> None:
    answer = functions.invoke("python", {"raise": "because"}, LogType="Tail")
    (frame,) = answer["Result"]["stackTrace"]
    assert "m.py" in frame
    assert "in handler" in frame
    assert answer["Result"]["requestId"] == answer["ResponseMetadata"]["RequestId"]
    assert "[ERROR] ValueError: because\nTraceback (most recent call last):\n" in answer["Log"]


BROKEN = [
    ("import nothing_of_this_name", "m.handler", "Runtime.ImportModuleError",
     "Unable to import module 'm': No module named 'nothing_of_this_name'"),
    ("", "other.handler", "Runtime.ImportModuleError", "Unable to import module 'other': No module named 'other'"),
    ("", "m.handler", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'm'"),
    ("", "handler", "Runtime.MalformedHandlerName",
     "Bad handler 'handler': not enough values to unpack (expected 2, got 1)"),
    ("def", "m.handler", "Runtime.UserCodeSyntaxError", "Syntax error in module 'm': invalid syntax (m.py, line 1)"),
    ("raise KeyError('k')", "m.handler", "KeyError", "'k'"),
    ("import os; os._exit(4)", "m.handler", "Runtime.ExitError",
     "RequestId: {id} Error: Runtime exited with error: exit status 4"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "handler", "kind", "message"), BROKEN, ids=lambda value: str(value)[:30])
def test_what_cannot_begin(functions: Functions, code: str, handler: str, kind: str, message: str) -> None:
    name = f"broken-{BROKEN.index((code, handler, kind, message))}"
    functions.create(name, {"m.py": code}, Handler=handler)
    answer = functions.invoke(name, {}, LogType="Tail")
    assert (answer["FunctionError"], answer["Result"]["errorType"]) == ("Unhandled", kind)
    assert answer["Result"]["errorMessage"] == message.format(id=answer["ResponseMetadata"]["RequestId"])


def test_a_time_out_kills_all_that_was_started(functions: Functions, tmp_path: Path) -> None:
    code = """
import os, subprocess, time
def handler(event, context):
    mine = subprocess.Popen(["sleep", "1000"]).pid
    others = subprocess.Popen(["sleep", "1000"], start_new_session=True).pid
    open(event, "w").write(f"{os.getpid()} {mine} {others}")
    print("now it hangs")
    time.sleep(1000)
"""
    functions.create("slow", {"m.py": code}, Timeout=1)
    answer = functions.invoke("slow", str(tmp_path / "pids"), LogType="Tail")
    message = answer["Result"]["errorMessage"]
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT[0-9:.]+Z {request_id} Task timed out after 1.00 seconds", message)
    assert answer["FunctionError"] == "Unhandled"
    assert f"now it hangs\n{message}\nEND" in answer["Log"]
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 3
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_node(functions: Functions) -> None:
    functions.create(
        "module",
        {
            "index.mjs": """
export const handler = async (event, context) => {
  console.log("hi", event);
  console.error("two\\nlines");
  if (event.fail) throw new TypeError(event.fail);
  if (event.grow) for (const held = [0]; ; ) held.push(held.map((each) => [each]));
  return { event, left: context.getRemainingTimeInMillis(), name: context.functionName, id: context.awsRequestId };
};
"""
        },
        Runtime="nodejs22.x",
        Handler="index.handler",
    )
    answer = functions.invoke("module", {"a": "ü"}, LogType="Tail")
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert answer["Result"] | {"left": 0} == {"event": {"a": "ü"}, "left": 0, "name": "module", "id": request_id}
    assert f"\t{request_id}\tINFO\thi {{ a: 'ü' }}\n" in answer["Log"]
    assert f"\t{request_id}\tERROR\ttwo\rlines\n" in answer["Log"]
    failed = functions.invoke("module", {"fail": "bad"})
    assert (failed["FunctionError"], failed["Result"]["errorType"]) == ("Unhandled", "TypeError")
    assert failed["Result"]["errorMessage"] == "bad"
    assert failed["Result"]["trace"][0] == "TypeError: bad"
    full = functions.invoke("module", {"grow": 1})
    assert full["Result"]["errorType"] == "Runtime.ExitError"


def test_node_with_callbacks(functions: Functions) -> None:
    code = """
exports.handler = (event, context, callback) => {
  if (event.nothing) return;
  if (event.reject) { Promise.reject(new Error("left alone")); setTimeout(() => {}, 1000); return; }
  if (event.throws) throw "a text";
  setTimeout(() => callback(event.fail ? new RangeError("late") : null, { ok: event.a }), 5);
};
"""
    functions.create("common", {"src/app.js": code}, Runtime="nodejs20.x", Handler="src/app.handler")
    assert functions.invoke("common", {"a": 1})["Result"] == {"ok": 1}
    assert functions.invoke("common", {"nothing": 1})["Result"] is None
    assert functions.invoke("common", {"fail": 1})["Result"]["errorType"] == "RangeError"
    assert functions.invoke("common", {"throws": 1})["Result"] == {
        "errorType": "string", "errorMessage": "a text", "trace": []
    }  # fmt: skip
    assert functions.invoke("common", {"reject": 1})["Result"]["errorType"] == "Runtime.UnhandledPromiseRejection"
    for number, (files, handler, kind) in enumerate(
        [
            ({"index.js": ""}, "other.handler", "Runtime.ImportModuleError"),
            ({"index.js": "import 'nothing'"}, "index.handler", "Runtime.ImportModuleError"),
            ({"index.js": ""}, "index.handler", "Runtime.HandlerNotFound"),
            ({"index.js": "}"}, "index.handler", "Runtime.UserCodeSyntaxError"),
            ({"index.js": ""}, "index", "Runtime.MalformedHandlerName"),
        ]
    ):
        functions.create(f"common-{number}", files, Runtime="nodejs20.x", Handler=handler)
        assert functions.invoke(f"common-{number}", {})["Result"]["errorType"] == kind


BOOTSTRAP = r"""#!/usr/bin/env python3
import json, os, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/"
open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
def ask(path, body=None):
    request = urllib.request.Request(api + path, body, {"Lambda-Runtime-Function-Error-Type": "Own.Error"})
    try:
        return open(request)
    except urllib.error.HTTPError as error:
        return error
while True:
    event = ask("invocation/next")
    given = json.load(event)
    request_id = event.headers["Lambda-Runtime-Aws-Request-Id"]
    if given.get("error"):
        ask(f"invocation/{request_id}/error", given["error"].encode())
    elif given.get("wrong"):
        statuses = [
            ask("invocation/next").status, ask("invocation/other/response", b"{}").status, ask("other").status,
            ask("init/error", b"{}").status, ask("invocation/other/error", b"{}").status,
        ]
        ask(f"invocation/{request_id}/response", json.dumps(statuses).encode())
    else:
        ask(f"invocation/{request_id}/response", json.dumps(dict(event.headers)).encode())
"""


def test_a_bootstrap_of_its_own(functions: Functions) -> None:
    functions.create("own", {"bootstrap": BOOTSTRAP}, Runtime="provided.al2023", Handler="any")
    answer = functions.invoke("own", {})
    headers = answer["Result"]
    assert headers["Lambda-Runtime-Aws-Request-Id"] == answer["ResponseMetadata"]["RequestId"]
    assert headers["Lambda-Runtime-Invoked-Function-Arn"] == f"{ARN}:own"
    assert re.fullmatch(r"\d{13}", headers["Lambda-Runtime-Deadline-Ms"])
    assert re.fullmatch(
        r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0", headers["Lambda-Runtime-Trace-Id"]
    )
    assert functions.invoke("own", {"wrong": 1})["Result"] == [403, 400, 404, 403, 400]
    told = functions.invoke("own", {"error": '{"errorType": "E", "errorMessage": "m"}'})
    assert (told["FunctionError"], told["Result"]) == ("Unhandled", {"errorType": "E", "errorMessage": "m"})
    plain = functions.invoke("own", {"error": "no JSON"})
    assert plain["Result"] == {"errorType": "Own.Error", "errorMessage": "no JSON"}


def test_nothing_to_run(functions: Functions) -> None:
    for name, code, message in (
        ("none", archive({"other": ""}), "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"),
        ("plain", archive({"bootstrap": ""}, 0o644), "fork/exec /var/task/bootstrap: permission denied"),
    ):
        functions.create(name, Runtime="provided", Code={"ZipFile": code})
        answer = functions.invoke(name, {}, LogType="Tail")
        request_id = answer["ResponseMetadata"]["RequestId"]
        assert answer["Result"] == {
            "errorType": "Runtime.InvalidEntrypoint", "errorMessage": f"RequestId: {request_id} Error: {message}"
        }  # fmt: skip


class _Address(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"event": event, "arn": self.headers["Lambda-Runtime-Invoked-Function-Arn"]}).encode()
        if event.get("hang"):
            threading.Event().wait(1.5)
        if event.get("status"):
            body = event["body"].encode()
        self.send_response(event.get("status", 200))
        if event.get("kind"):
            self.send_header("Lambda-Runtime-Function-Error-Type", event["kind"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        pass


def test_an_http_address(functions: Functions) -> None:
    with HTTPServer(("127.0.0.1", 0), _Address) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            url = f"http://127.0.0.1:{listening.server_port}/function"
            made = functions.create(
                "address", Runtime="provided", Code={}, Tags={"skytrail:http": url}, Timeout=1, Publish=True
            )
            assert made["CodeSize"] == 0
            answer = functions.invoke("address", {"a": 1}, LogType="Tail")
            assert answer["Result"] == {"event": {"a": 1}, "arn": f"{ARN}:address"}
            assert answer["Log"].startswith("START RequestId: ")
            failed = functions.invoke("address", {"status": 500, "body": "broken"})
            assert failed["Result"] == {"errorType": "Runtime.HttpError", "errorMessage": "HTTP status 500: broken"}
            told = functions.invoke("address", {"status": 200, "kind": "E", "body": '{"errorType": "E"}'})
            assert (told["FunctionError"], told["Result"]) == ("Unhandled", {"errorType": "E"})
            late = functions.invoke("address", {"hang": 1})
            assert late["Result"]["errorMessage"].endswith("Task timed out after 1.00 seconds")
        finally:
            listening.shutdown()
            thread.join()
    gone = functions.invoke("address", {"a": 1})
    assert (gone["FunctionError"], gone["Result"]["errorType"]) == ("Unhandled", "Runtime.Unreachable")
    functions.api.untag_resource(Resource=f"{ARN}:address", TagKeys=["skytrail:http"])
    assert functions.invoke("address", {})["Result"]["errorType"] == "Runtime.InvalidEntrypoint"


def test_settings() -> None:
    """The sandbox command; the limit of what is stored."""
    command = "env 'SANDBOX={memory} megabytes' FOLDER={code} WRITABLE={tmp}"
    given = {"SKYTRAIL_FUNCTIONS_SANDBOX": command, "SKYTRAIL_FUNCTIONS_STORAGE_BYTES": "2500"}
    with Server(environment=given) as server:
        functions = Functions(server)
        functions.create("boxed", MemorySize=200)
        found = functions.invoke("boxed", {"environment": True})["Result"]
        large = {"m.py": "".join(map(chr, range(32, 1500)))}
        with pytest.raises(functions.api.exceptions.CodeStorageExceededException, match="Code storage limit exceeded"):
            functions.create("more", large)
        assert functions.api.get_account_settings()["AccountLimit"]["TotalCodeSize"] == 2500
    assert found["SANDBOX"] == "200 megabytes"
    assert (found["FOLDER"], found["WRITABLE"]) == (found["LAMBDA_TASK_ROOT"], found["TMPDIR"])


def test_idle_processes_end(functions: Functions) -> None:
    functions.create("idle")
    pid = functions.invoke("idle", {})["Result"]["pid"]
    clock = DrivenClock(functions.server.endpoint)
    clock.advance(200)
    assert functions.invoke("idle", {})["Result"]["pid"] == pid
    clock.advance(400)
    assert not Path(f"/proc/{pid}").exists()
    assert functions.invoke("idle", {})["Result"]["count"] == 1
    functions.api.delete_function(FunctionName="idle")
    functions.create("idle")
    assert functions.invoke("idle", {})["Result"]["count"] == 1, "it is another one"


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_processes_end_with_the_server(how: str, tmp_path: Path) -> None:
    server = Server(data=tmp_path / "data").start()
    try:
        functions = Functions(server)
        functions.create("python")
        pids = [functions.invoke("python", {})["Result"]["pid"]]
        for session in (False, True):
            file = tmp_path / f"started-{session}"
            pids.append(functions.invoke("python", {"child": str(file), "session": session})["Result"])
            until(file.exists)
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
        if how == "stop":
            server.stop()
            assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
        else:
            server.kill()
            until(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()])
    finally:
        server.kill()
