import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from trillsson.errors import InputError
from trillsson.teachers.hub import local_path

COMMIT = "f" * 40
FILES = {"model.tflite": b"weights", "saved/saved_model.pb": b"graph", "saved/variables/data": b"more weights"}


class Hub(BaseHTTPRequestHandler):
    """The few answers of the Hugging Face Hub that a snapshot download needs: one repository, one revision `v1`."""

    def do_GET(self) -> None:
        if self.path.startswith("/api/models/owner/repo/revision/v1"):
            self.answer(json.dumps({"id": "owner/repo", "sha": COMMIT, "siblings": []}).encode())
        elif self.path.startswith(f"/api/models/owner/repo/tree/{COMMIT}"):
            rows = [{"type": "file", "path": name, "size": len(data), "oid": COMMIT} for name, data in FILES.items()]
            self.answer(json.dumps(rows).encode())
        elif self.path.startswith(f"/owner/repo/resolve/{COMMIT}/"):
            data = FILES[self.path.split(f"{COMMIT}/")[1]]
            self.answer(data, {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'})
        elif self.path.startswith("/api/models/owner/repo/"):
            self.answer(b"", {"X-Error-Code": "RevisionNotFound"}, status=404)
        else:
            self.answer(b"", {"X-Error-Code": "RepoNotFound"}, status=404)

    def do_HEAD(self) -> None:
        self.do_GET()

    def answer(self, data: bytes, headers: dict[str, str] | None = None, *, status: int = 200) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keeps the test's output clean."""


Ask = Callable[..., str]


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    """Calls `local_path` in a process of its own, for huggingface_hub reads its endpoint when it is imported."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    script = (
        "import sys; from trillsson.teachers.hub import local_path; from trillsson.errors import TrillssonError\n"
        "try: print(local_path(sys.argv[1]))\n"
        "except TrillssonError as error: print(type(error).__name__, error)\n"
    )

    def run(path: str, *, port: int = server.server_port) -> str:
        own = {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_TELEMETRY": "1"}
        command = [sys.executable, "-c", script, path]
        done = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    yield run
    server.shutdown()
    server.server_close()


def test_a_file_a_folder_and_a_whole_repository_are_downloaded(ask: Ask) -> None:
    assert Path(ask("hf://owner/repo@v1/model.tflite")).read_bytes() == b"weights"
    saved = Path(ask("hf://owner/repo@v1/saved"))
    assert {path.relative_to(saved).as_posix() for path in saved.rglob("*")} == {
        "saved_model.pb",
        "variables",
        "variables/data",
    }
    assert (Path(ask("hf://owner/repo@v1")) / "saved/variables/data").read_bytes() == b"more weights"


def test_what_the_hub_has_not_is_refused(ask: Ask) -> None:
    fix = "does not exist on the Hub; check the name and the revision, and log in where it is private"
    assert ask("hf://owner/none@v1/model.tflite") == f"InputError hf://owner/none@v1/model.tflite {fix}"
    assert ask("hf://owner/repo@v2") == f"InputError hf://owner/repo@v2 {fix}"
    assert ask("hf://owner/repo@v1/x").startswith("InputError hf://owner/repo@v1/x does not exist; give the path")


def test_a_hub_that_does_not_answer_is_transient(ask: Ask) -> None:
    message = ask("hf://owner/repo@v1/model.tflite", port=1)
    assert message.startswith("TransientError cannot download hf://owner/repo@v1/model.tflite: ")
    assert message.endswith("; run again")


@pytest.mark.parametrize("path", ["hf://owner/repo", "hf://owner/repo/file", "hf://owner@v1", "hf://owner/repo@/file"])
def test_a_revision_is_required(path: str) -> None:
    with pytest.raises(InputError) as caught:
        local_path(path)
    assert str(caught.value) == (f"{path!r} is not hf://owner/repo@revision/file; the revision (a commit) is required")


def test_the_extra_that_is_needed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"not installed; pip install 'trillsson\[huggingface\]'$"):
        local_path("hf://owner/repo@v1")


def test_a_local_path_is_itself(tmp_path: Path) -> None:
    assert local_path(str(tmp_path)) == tmp_path
