"""No planted secret is in anything that a run writes, prints or sends: every byte is searched."""

import base64
import http.client
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from user_shell import SERA, Sera, environment

from sera.teachers.checkup.brief import WISH

TOKEN = "ghp_" + "Qx7Lm2Zr9" * 4
"""Planted in a file of the repository, with a known shape."""
HOST = "hV4-nothing.like+it"
"""Planted in the environment, and in a file of the repository."""
KEY = "kB93.a-key-of-no-shape"
"""The teacher's."""
BODY = "MIIEvQIBADANBgkqhkiG9w0BAQ" * 2
TREE = {
    "shop/__init__.py": "",
    "shop/client.py": f'''\
"""Talks to the warehouse."""


def connect(name, port=80):
    """Connect with {TOKEN} as the token."""
    token = "{TOKEN}"
    password = "{HOST}"
    if not name:
        raise ValueError("no name")
    return (name, port, token, password)


def prices(lines, token="{TOKEN}"):
    """Read prices, one a line."""
    found = []
    for line in lines:
        if line.strip():
            found.append(float(line))
    return found


class Order:
    """What somebody wants; paid with {HOST}."""

    def __init__(self):
        self.items = []

    def add(self, item, count=1):
        """Add an item."""
        for _ in range(count):
            self.items.append((item, "{HOST}"))
        return len(self.items)
''',
    "shop/server.key": f"-----BEGIN PRIVATE KEY-----\n{BODY}\n{BODY}\n-----END PRIVATE KEY-----\n",
    "README.md": f"# shop\n\nSet ACME_TOKEN to {HOST} and clone https://ci:{HOST}@example.com/shop.\n",
}
PLANTED = (TOKEN, HOST, KEY, BODY)
MORE = {"ACME_TOKEN": HOST, "SERA_API_KEY": KEY}
ARGUMENTS = ["--functions", "4", "--concurrency", "2"]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    root = tmp_path / "shop-repository"
    for name, text in TREE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def search(folder: Path, *printed: str) -> int:
    """Fails if a planted secret is in a file below `folder` or in what was printed; counts placeholders."""
    texts = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    texts |= {f"output {n}": text.encode() for n, text in enumerate(printed)}
    for name, content in texts.items():
        for secret in PLANTED:
            assert secret.encode() not in content, f"{secret} is in {name}"
    return sum(content.count(b"[redacted ") for content in texts.values())


def everything(sera: Sera, run: Path) -> list[str]:
    """Use all that reads a run; what was printed."""
    dataset = [
        "dataset",
        "build",
        run,
        "--out",
        run.parent / "data",
        "--min-recall",
        0,
        "--stages",
        "t1",
        "--stages",
        "t2",
    ]
    done = [
        sera("status", run, **MORE),
        sera("status", run, "--json", **MORE),
        sera("show", run, **MORE),
        sera("show", run, 0, "--full", **MORE),
        sera(*dataset, "--max-tool-tokens", 9999, **MORE),
    ]
    return [text for one in done for text in (one.stdout, one.stderr)]


def test_a_whole_run(sera: Sera, shop: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    made = sera("generate", shop, "--out", work / "run", *ARGUMENTS, **MORE)
    printed = everything(sera, work / "run")
    assert search(work, made.stdout, made.stderr, *printed) > 20, "the secrets were never met"
    rollouts = [json.loads(line) for line in (work / "run" / "rollouts.jsonl").read_text().splitlines()]
    assert any(rollout["redactions"].get("github-token") for rollout in rollouts)
    assert any(
        "[redacted" in json.loads(line)["function"]["docstring"]
        for line in (work / "run" / "tasks.jsonl").open()
    )
    assert (work / "data" / "train.jsonl").read_bytes().count(b"[redacted ") > 0


def test_a_run_that_fails_and_goes_on(sera: Sera, shop: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    failing = [*ARGUMENTS, "--set", "teacher.fail_rate=0.05", "--set", "again=0"]
    printed = []
    for _ in range(8):
        done = subprocess.run(
            [SERA, "generate", shop, "--out", work / "run", *failing],
            env=environment(tmp_path / "cache", **MORE), capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        printed += [done.stdout, done.stderr]
        search(work, *printed)
        if not done.returncode:
            break
    assert "failed" in "".join(printed), "nothing has failed"
    search(work, *everything(sera, work / "run"))


def test_a_run_that_is_killed_and_goes_on(sera: Sera, shop: Path, tmp_path: Path) -> None:
    work, whole = tmp_path / "work", tmp_path / "whole"
    slow = [*ARGUMENTS, "--set", "teacher.latency=0.03"]
    command = [str(SERA), "generate", str(shop), "--out", str(work / "run"), *slow]
    met = 0
    for seconds in (1.5, 2.0, 2.5):
        process = subprocess.Popen(
            command, env=environment(tmp_path / "cache", **MORE), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )  # fmt: skip
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        met += search(work)
    sera("generate", shop, "--out", work / "run", *slow, **MORE)
    sera("generate", shop, "--out", whole / "run", *slow, **MORE)
    assert met, "it was killed before it met a secret"
    search(work, *everything(sera, work / "run"))
    everything(sera, whole / "run")
    assert (work / "data" / "train.jsonl").read_bytes() == (whole / "data" / "train.jsonl").read_bytes()


# ── a teacher elsewhere ───────────────────────────────────────────────────────────────────────────


class Ear(ThreadingHTTPServer):
    """Passes requests on to a server, and keeps them; the first few it refuses, repeating the key."""

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = urlsplit(behind)
        self.heard: list[tuple[str, dict[str, str], bytes]] = []
        self.refusals = 2
        self.prefix = ""
        """A part of the path that this server wants, and the one behind it does not."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{self.prefix}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Ear

    def do_GET(self) -> None:
        self.pass_on()

    def do_POST(self) -> None:
        self.pass_on()

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.heard.append((self.path, dict(self.headers.items()), body))
        first = WISH.encode() in body  # the check before the tasks, which passes
        if body and self.server.refusals and not first:
            self.server.refusals -= 1
            told = json.dumps(
                {"error": {"message": f"bad {self.headers['authorization']} in {body[:9000]!r}"}}
            )
            self.answer(500, told.encode())
            return
        behind = http.client.HTTPConnection(self.server.behind.netloc, timeout=30)
        behind.request(
            self.command,
            self.path.removeprefix(self.server.prefix),
            body,
            {"content-type": "application/json"},
        )
        response = behind.getresponse()
        self.answer(response.status, response.read())

    def answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def listening(cache: Path) -> Iterator[Ear]:
    """The rehearsal teacher as a server, with an ear before it."""
    teacher = subprocess.Popen(
        [SERA, "rehearse", "--port", "0"], env=environment(cache), stdout=subprocess.PIPE, text=True
    )
    try:
        assert teacher.stdout
        with Ear(teacher.stdout.readline().strip()) as ear:
            threading.Thread(target=ear.serve_forever, daemon=True).start()
            yield ear
            ear.shutdown()
    finally:
        teacher.terminate()
        teacher.wait(10)
        assert teacher.stdout
        teacher.stdout.close()


def test_a_teacher_elsewhere(sera: Sera, shop: Path, cache: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    with listening(cache) as ear:
        teacher = [
            "--teacher",
            ear.url,
            "--model",
            "rehearsal",
            "--set",
            "teacher.retries=0",
            "--set",
            "again=0",
        ]
        first = sera("generate", shop, "--out", work / "run", *ARGUMENTS, *teacher, code=1, **MORE)
        search(work, first.stdout, first.stderr)
        again = sera("generate", shop, "--out", work / "run", *ARGUMENTS, *teacher, **MORE)
    assert search(work, again.stdout, again.stderr, *everything(sera, work / "run")) > 20
    bodies = [body for _, _, body in ear.heard if body]
    assert len(bodies) > 40
    for path, headers, body in ear.heard:
        rest = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        for secret in PLANTED:
            assert secret not in path + json.dumps(rest)
            assert secret.encode() not in body
        assert not body or headers["authorization"] == f"Bearer {KEY}"
    assert any(b"[redacted " in body for body in bodies)


def test_a_key_by_another_name_is_known(sera: Sera, shop: Path, cache: Path, tmp_path: Path) -> None:
    """Its variable sounds like nothing secret, and the repository holds it."""
    (shop / "shop" / "client.py").write_text(TREE["shop/client.py"].replace(HOST, KEY))
    more = {"WAREHOUSE": KEY, "ACME_TOKEN": HOST}
    with listening(cache) as ear:
        ear.refusals = 0
        teacher = ["--teacher", ear.url, "--model", "rehearsal", "--set", "teacher.key_env=WAREHOUSE"]
        done = sera("generate", shop, "--out", tmp_path / "work" / "run", *ARGUMENTS, *teacher, **more)
    assert search(tmp_path / "work", done.stdout, done.stderr) > 20
    assert not any(KEY.encode() in body for _, _, body in ear.heard)


def test_refusing_in_a_whole_run(sera: Sera, shop: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    refusing = ["--set", "redaction.mode=refuse"]
    sera("generate", shop, "--out", work / "run", *ARGUMENTS, *refusing, code=1, **MORE)  # no pair is left
    search(work)
    assert "is withheld because" in (work / "run" / "rollouts.jsonl").read_text()
    problem = sera("generate", shop, "--out", work / "run", *ARGUMENTS, code=2, **MORE).stderr
    assert "redaction was" in problem


def test_secrets_among_the_settings(sera: Sera, shop: Path, cache: Path, tmp_path: Path) -> None:
    """A variable of the sandbox that commands print, and a token in the path of the teacher's address: neither
    is kept, the run goes on with another token, and settings taken from its record say what to give again."""
    deploy, gate = "pQ7-wLm2RtKz94v", "Gt5Rw8Yk2Nc6Xb"
    with (shop / "README.md").open("a") as file:
        file.write(f"Deployed with {deploy}, or {base64.b64encode(deploy.encode()).decode()}.\n")
    out, variable = tmp_path / "work" / "run", f"sandbox.environment.DEPLOY={deploy}"
    with listening(cache) as ear:
        ear.refusals, ear.prefix = 0, f"/{gate}"
        teacher = ["--teacher", ear.url, "--model", "rehearsal"]
        first = sera("generate", shop, "--out", out, "--functions", 1, *teacher, "--set", variable)
        ear.prefix = "/Zz8-another4Token9"
        teacher[1] = ear.url
        again = sera("generate", shop, "--out", out, "--functions", 2, *teacher, "--set", variable)
        config = ["--config", out / "run.json", "--set", "functions=1"]
        lacking = sera("generate", shop, "--out", tmp_path / "other", *config, "--set", variable, code=2)
        given = ["--teacher", ear.url, "--model", "rehearsal", "--set", variable]
        sera("generate", shop, "--out", tmp_path / "other", *config, *given)
    assert "teacher.base_url stands in" in lacking.stderr
    kept = json.loads((out / "run.json").read_bytes())["config"]
    assert kept["sandbox"]["environment"] == {"DEPLOY": "[redacted]"}
    assert kept["teacher"]["base_url"].endswith("/[redacted]/v1")
    written = [file.read_text(errors="replace") for file in (tmp_path / "work").rglob("*") if file.is_file()]
    for text in (*written, first.stdout, first.stderr, again.stdout, again.stderr, lacking.stderr):
        assert not any(secret in text for secret in (deploy, gate, "another4Token9", "cFE3LXdMbTJSdEt6OTR2"))
    assert not any(deploy.encode() in body for _, _, body in ear.heard)
