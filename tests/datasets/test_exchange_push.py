"""Pushing: what is planned, what is refused, and what a hub on this machine is sent."""

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from made_datasets import make_dataset, talks

from sera.datasets.exchange.export import export_dataset
from sera.datasets.exchange.push import plan_push, push
from sera.errors import ConfigError, DatasetError

TOKEN = "hf_made_up_for_this_test"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, byte_tokenizer: str) -> Path:
    place = tmp_path_factory.mktemp("push")
    make_dataset(place / "data", byte_tokenizer, "hermes")
    export_dataset(place / "data", place / "hub", "hub")
    return place


class Recorder:
    """A client that notes what it is asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def create_repo(self, repo_id: str, **options: Any) -> None:
        self.calls.append(("create_repo", {"repo_id": repo_id, **options}))

    def upload_folder(self, **options: Any) -> None:
        self.calls.append(("upload_folder", options))


def test_a_plan_names_the_files_that_the_record_names(folder: Path) -> None:
    plan = plan_push(folder / "hub", "me/set", private=True)
    assert [file.path for file in plan.files] == [
        "README.md",
        "data/train-00000-of-00001.parquet",
        "manifest.json",
        "rejected.jsonl",
    ]
    assert plan.size == sum((folder / "hub" / file.path).stat().st_size for file in plan.files)
    client = Recorder()
    push(plan, client)
    (_, made), (_, sent) = client.calls
    assert made == {"repo_id": "me/set", "repo_type": "dataset", "private": True, "exist_ok": True}
    assert sent["allow_patterns"] == [file.path for file in plan.files]
    assert sent["repo_type"] == "dataset"


def test_a_dataset_goes_as_it_is(folder: Path) -> None:
    plan = plan_push(folder / "data", "me/set", private=False)
    assert [file.path for file in plan.files] == [
        "README.md",
        "manifest.json",
        "rejected.jsonl",
        "train.jsonl",
    ]


@pytest.mark.parametrize("as_hub", [False, True])
def test_a_rehearsal_goes_out_on_demand_only(tmp_path: Path, byte_tokenizer: str, as_hub: bool) -> None:
    played = [msgspec.structs.replace(one, teacher={"kind": "rehearsal"}) for one in talks()]
    make_dataset(tmp_path / "data", byte_tokenizer, "hermes", played)
    export_dataset(tmp_path / "data", tmp_path / "hub", "hub")
    folder = tmp_path / ("hub" if as_hub else "data")
    with pytest.raises(DatasetError, match=r"not pushed\. Rehearsal data.*--rehearsal"):
        plan_push(folder, "me/set", private=True)
    assert plan_push(folder, "me/set", private=True, rehearsal=True).files
    assert "**Rehearsal data: " in (folder / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["set", "me/", "me/a/b", "me/..", "-me/a", "https://x.invalid/me/a"])
def test_names_that_are_none(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="OWNER/NAME"):
        plan_push(folder / "hub", name, private=False)


def test_only_what_sera_wrote_goes_out(folder: Path, tmp_path: Path, byte_tokenizer: str) -> None:
    make_dataset(tmp_path / "data", byte_tokenizer, "hermes")
    for name in ("jsonl", "hub"):
        export_dataset(tmp_path / "data", tmp_path / name, name)
    with pytest.raises(DatasetError, match="only a dataset or an export --to hub"):
        plan_push(tmp_path / "jsonl", "me/set", private=False)
    (tmp_path / "hub" / "README.md").write_text("changed")
    with pytest.raises(DatasetError, match=r"README\.md is not what sera wrote"):
        plan_push(tmp_path / "hub", "me/set", private=False)
    (tmp_path / "data" / ".env").write_text("KEY=1")
    for place in (tmp_path / "data", tmp_path, tmp_path / "gone"):
        with pytest.raises(DatasetError, match="neither a dataset nor an export"):
            plan_push(place, "me/set", private=False)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"faults": {"mask": 2, "parity": 1}}, r"its proofs failed \(2 mask, 1 parity\)"),
        ({"settings": {"safety": {"secrets": "ignore"}}}, "nobody looked for secrets"),
        ({"row_tallies": {"scan/private-key/report/values": 3}}, r"left in its rows \(3 private-key\)"),
    ],
)
@pytest.mark.parametrize("name", ["data", "hub"])
def test_what_the_manifest_warns_of_stays_here(
    folder: Path, tmp_path: Path, name: str, said: dict[str, Any], message: str
) -> None:
    shutil.copytree(folder / name, tmp_path / name)
    manifest = json.loads((tmp_path / name / "manifest.json").read_text())
    changed = {**manifest, **said, "settings": manifest["settings"] | said.get("settings", {})}
    (tmp_path / name / "manifest.json").write_text(json.dumps(changed))
    with pytest.raises(DatasetError, match=message):
        plan_push(tmp_path / name, "me/set", private=False)


@pytest.mark.parametrize("tally", ["scan/private-key/redact/values", "scan/e-mail/report/values"])
def test_what_was_taken_out_or_may_stay_is_no_hindrance(folder: Path, tmp_path: Path, tally: str) -> None:
    shutil.copytree(folder / "data", tmp_path / "data")
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    (tmp_path / "data" / "manifest.json").write_text(json.dumps({**manifest, "row_tallies": {tally: 3}}))
    assert plan_push(tmp_path / "data", "me/set", private=False).rows == 6


def test_what_a_hub_refuses_is_one_sentence(folder: Path) -> None:
    class Refusing(Recorder):
        def upload_folder(self, **options: Any) -> None:
            raise RuntimeError("403 Forbidden")

    with pytest.raises(DatasetError, match=r"the hub did not take me/set: 403 Forbidden"):
        push(plan_push(folder / "hub", "me/set", private=False), Refusing())


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as an upload of small files takes."""

    files: dict[str, bytes]
    asked: list[tuple[str, str]]
    made: list[dict[str, Any]]
    tokens: set[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.tokens.add(self.headers.get("Authorization", ""))
        self.asked.append(("POST", self.path))
        if self.path == "/api/repos/create":
            self.made.append(json.loads(body))
            self._answer({"url": f"http://{self.headers['Host']}/datasets/me/set"})
        elif self.path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            self._answer(
                {
                    "files": [
                        {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in files
                    ]
                }
            )
        elif self.path.endswith("/commit/main"):
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    self.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            commit = f"http://{self.headers['Host']}/datasets/me/set/commit/{'1' * 40}"
            self._answer({"commitUrl": commit, "commitOid": "1" * 40, "success": True})
        else:
            self._answer({"errors": [], "warnings": []})

    def do_GET(self) -> None:
        self.asked.append(("GET", self.path))
        self._answer({"id": "me/set", "sha": "0" * 40, "siblings": []})

    def _answer(self, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[tuple[str, type[Hub]]]:
    """Address of a hub on this machine, and what it got."""

    class Fresh(Hub):
        files: dict[str, bytes] = {}  # noqa: RUF012 - one class a test
        asked: list[tuple[str, str]] = []  # noqa: RUF012
        made: list[dict[str, Any]] = []  # noqa: RUF012
        tokens: set[str] = set()  # noqa: RUF012

    with ThreadingHTTPServer(("127.0.0.1", 0), Fresh) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", Fresh
        server.shutdown()
        thread.join()


def run(home: Path, address: str, *arguments: str, token: str = TOKEN) -> "subprocess.CompletedProcess[str]":
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "HF_ENDPOINT": address,
        "HF_TOKEN": token,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
    }
    command = [sys.executable, "-m", "sera", "dataset", "push", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_sends_only_when_asked(folder: Path, hub: tuple[str, type[Hub]], tmp_path: Path) -> None:
    address, got = hub
    listed = run(tmp_path, address, str(folder / "hub"), "--repo", "me/set")
    assert (listed.returncode, got.asked) == (0, [])
    assert "--send would upload them to a public dataset me/set" in listed.stdout
    sent = run(tmp_path, address, str(folder / "hub"), "--repo", "me/set", "--private", "--send")
    assert sent.returncode == 0, sent.stderr
    assert got.files == {
        path: (folder / "hub" / path).read_bytes()
        for path in ("README.md", "data/train-00000-of-00001.parquet", "manifest.json", "rejected.jsonl")
    }
    (made,) = got.made
    assert (made["type"], made["name"], made["organization"]) == ("dataset", "set", "me")
    assert made.get("private") or made.get("visibility") == "private"
    assert got.tokens == {f"Bearer {TOKEN}"}
    for output in (listed.stdout, listed.stderr, sent.stdout, sent.stderr):
        assert TOKEN not in output


def test_without_a_token_nothing_is_tried(folder: Path, hub: tuple[str, type[Hub]], tmp_path: Path) -> None:
    address, got = hub
    refused = run(tmp_path, address, str(folder / "hub"), "--repo", "me/set", "--send", token="")
    assert (refused.returncode, got.asked) == (2, [])
    assert refused.stderr == "sera: the hub asks who you are: put a token with write access into HF_TOKEN\n"


def test_a_hub_that_is_not_there(folder: Path, tmp_path: Path) -> None:
    gone = run(tmp_path, "http://127.0.0.1:9", str(folder / "hub"), "--repo", "me/set", "--send")
    assert gone.returncode == 1
    assert gone.stderr.startswith("sera: the hub did not take me/set: ")
    assert "Traceback" not in gone.stderr
