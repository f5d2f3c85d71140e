"""What a snapshot leaves out though nobody has told git to ignore it: histories, and what sera has made."""

import json
from pathlib import Path

import msgspec
import pytest
from repository_support import git, names, repository, write

from sera.datasets import manifest as dataset
from sera.datasets.exchange import export, imported
from sera.environments import Environment
from sera.environments.store import RECORD as ENVIRONMENT
from sera.errors import SourceError
from sera.evaluation.folder import EVALUATION, HARNESS
from sera.evaluation.tasks import record as tasks
from sera.repositories import open_snapshot
from sera.repositories.not_source import is_ours
from sera.runs import Manifest
from sera.runs.run import MANIFEST
from sera.specialize.stage import RECORDS, Done
from sera.training import finish, folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(params=["git", "plain"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A project with one file, as a checkout and as a directory without git."""
    root = write(tmp_path / "project", {"a.py": "x = 1\n"})
    return repository(root, {}) if request.param == "git" else root


def record(of: type[msgspec.Struct]) -> str:
    """A record with every field that a struct has, and the kind that it says it is."""
    fields = {field.encode_name: field.default for field in msgspec.structs.fields(of)}
    return json.dumps({name: value if isinstance(value, str) else None for name, value in fields.items()})


MADE = {
    "run": {MANIFEST: record(Manifest), HARNESS: "{}", "rollouts.jsonl": "the answer"},
    "evaluation": {EVALUATION: record(Manifest), "outcomes.jsonl": "the answer"},
    "killed at its start": {HARNESS: "{}", ".lock": ""},
    "dataset": {dataset.MANIFEST: record(dataset.Manifest), dataset.ROWS: "the answer"},
    "dataset under way": {"key": "k", "spool.jsonl": "the answer", "decided.jsonl": ""},
    "export": {export.RECORD: record(export.ExportRecord), "train.jsonl": "the answer"},
    "import": {imported.RECORD: record(imported.ImportRecord), imported.SAMPLES: "the answer"},
    "tasks": {tasks.MANIFEST: record(tasks.Manifest), tasks.ROWS: "the answer"},
    "tasks under way": {"work/identity": "i", "work/lock": "", "work/mutants.jsonl": "the answer"},
    "training": {folder.ASKED: record(folder.Asked), "tokens/rows.bin": "the answer"},
    "checkpoint": {finish.RECORD: record(finish.Finished), "model.safetensors": "the answer"},
    "specialize": {f"{RECORDS}/tasks.json": record(Done), "report.html": "the answer"},
    "begun": {".lock": ""},
    "environment": {ENVIRONMENT: record(Environment), "tree/a.py": "x = 1\n"},
}


@pytest.mark.parametrize("kind", MADE)
def test_what_sera_has_made_stays_out(project: Path, cache: Path, kind: str) -> None:
    before = open_snapshot(str(project), cache)
    write(project / "out" / kind, MADE[kind])
    after = open_snapshot(str(project), cache)
    assert (after.tree_hash, after.skipped.get("made by sera")) == (before.tree_hash, 1)
    assert not after.dirty


def test_what_is_merely_called_so_does_not(project: Path, cache: Path) -> None:
    own: dict[str, str | bytes] = {
        "one/run.json": record(Manifest),
        "two/run.json": "[1, 2]",
        "two/harness.json": "{}",
        "three/manifest.json": '{"kind": "another"}',
        "three/train.jsonl": "",
        "four/export.json": b'{"kind": "sera-\xff"}',
        "five/stages/one.json": '{"stage": 1}',
        "six/.lock": "of a package manager",
        "seven/train.json": "[" * 100_000,
        "eight/HEAD": "",
        "eight/refs/a.py": "",
    }
    write(project, own)
    snapshot = open_snapshot(str(project), cache)
    assert names(snapshot.tree) == {"a.py", *own}
    assert "made by sera" not in snapshot.skipped


def test_what_is_tracked_is_source(tmp_path: Path, cache: Path) -> None:
    made = {f"fixtures/run/{name}": text for name, text in MADE["run"].items()}
    bare = {"fixtures/bare/HEAD": "", "fixtures/bare/objects/x": "", "fixtures/bare/refs/x": ""}
    root = repository(tmp_path / "project", {**made, **bare, "fixtures/.hg/store": ""})
    write(root, {"fixtures/bare/new": "", "fixtures/.hg/new": ""})
    snapshot = open_snapshot(str(root), cache)
    assert names(snapshot.tree) == {*made, *bare, "fixtures/.hg/store", "fixtures/bare/new"}
    assert snapshot.skipped == {"version control": 1}


def test_the_cache_is_no_part_of_a_source(project: Path) -> None:
    first = open_snapshot(str(project), project / "kept")
    again = open_snapshot(str(project), project / "kept")
    assert (names(again.tree), again.skipped) == ({"a.py"}, {"made by sera": 1})
    assert again.tree_hash == first.tree_hash


@pytest.mark.parametrize("name", [".jj", ".sl", ".pijul", "_darcs", "CVS", ".hg", ".svn"])
def test_histories_of_other_programs_stay_behind(project: Path, cache: Path, name: str) -> None:
    write(project, {f"{name}/store/patches": "the answer", f"lib/{name}/Entries": "the answer"})
    snapshot = open_snapshot(str(project), cache)
    assert names(snapshot.tree) == {"a.py"}
    assert list(snapshot.skipped.values()) == [2]


def test_bare_repositories_of_any_name_stay_behind(project: Path, cache: Path, tmp_path: Path) -> None:
    past = repository(tmp_path / "past", {"a.py": "the answer\n"})
    git(past, "clone", "--quiet", "--mirror", ".", str(project / "backup.git"))
    git(past, "clone", "--quiet", "--bare", ".", str(project / "deep/er/kept"))
    snapshot = open_snapshot(str(project), cache)
    assert names(snapshot.tree) == {"a.py"}
    assert snapshot.skipped["version control"] == 2


def test_a_folder_of_worktrees_beside_their_repository_has_no_files(tmp_path: Path, cache: Path) -> None:
    past = repository(tmp_path / "past", {"a.py": "x = 1\n"})
    parent = tmp_path / "parent"
    git(past, "clone", "--quiet", "--bare", ".", str(parent / ".bare"))
    write(parent, {".git": "gitdir: ./.bare\n"})
    git(parent, "worktree", "add", "--quiet", "here", "main")
    with pytest.raises(SourceError, match="check out the files, or name a revision"):
        open_snapshot(str(parent), cache)
    assert names(open_snapshot(str(parent), cache, revision="main").tree) == {"a.py"}
    assert names(open_snapshot(str(parent / "here"), cache).tree) == {"a.py"}


def test_a_folder_that_is_not_there_is_not_ours(tmp_path: Path) -> None:
    assert not is_ours(tmp_path / "none")
