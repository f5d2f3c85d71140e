"""Whether a run goes on is decided by which repository is meant, not by how it is named."""

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from sera.errors import ConfigError, RunError, UsageError
from sera.generation.job import GenerateConfig, Job, plan_job
from sera.generation.svg import ended
from sera.harness import Profile
from sera.records import Message, Replied, State, Usage
from sera.runs import open_run, read_run
from sera.runs.folder import read_manifest, write_manifest
from sera.settings import load_config

FILES = (
    "def shorten(text, width=10):\n    if len(text) <= width:\n        return text\n    return text[:width]\n"
)
Begin = Callable[..., Job]


@pytest.fixture
def begin(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    """Begins the run `run`, or goes on with it, and does nothing of it but record that its first task failed."""
    monkeypatch.setenv("SERA_CACHE", str(cache))

    def begun(repository: str, out: Path = tmp_path / "run", recorded: bool = True, **given: object) -> Job:
        job = plan_job(repository, out, load_config(GenerateConfig, given={"functions": 1} | given))
        with open_run(out, job.manifest, job.profile, job.tasks) as run:
            if recorded:
                run.end(ended(job.tasks[0], State.FAILED, "nobody answered"))
            return job

    return begun


def project(place: Path, more: str = "") -> Path:
    place.mkdir()
    (place / "text.py").write_text(FILES + more)
    return place


def test_the_same_line_in_another_directory_is_another_repository(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = project(tmp_path / "one"), project(tmp_path / "other", "x = 1\n")
    monkeypatch.chdir(one)
    begin(".")
    monkeypatch.chdir(other)
    with pytest.raises(RunError, match=r"another repository.*another --out") as failure:
        begin(".")
    assert str(one) in str(failure.value)
    assert str(other) in str(failure.value)
    assert read_run(tmp_path / "run").manifest.source["source"] == str(one)


def test_another_way_to_name_it_goes_on_whatever_has_happened_to_it(
    begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project(tmp_path / "one")
    (tmp_path / "link").symlink_to("one")
    monkeypatch.chdir(tmp_path)
    first = begin("one").snapshot
    (root / "text.py").write_text("changed = True\n")
    for name in ("./one", str(root), "link", root.as_posix() + "/"):
        assert begin(name).snapshot == first
    shutil.rmtree(root)
    assert begin("./one").snapshot == first


def test_a_repository_that_has_moved_is_the_same_while_its_files_are(begin: Begin, tmp_path: Path) -> None:
    first = begin(str(project(tmp_path / "one"))).snapshot
    (tmp_path / "one").rename(tmp_path / "two")
    moved = begin(str(tmp_path / "two")).snapshot
    assert (moved.commit, moved.source) == (first.commit, str(tmp_path / "two"))
    (tmp_path / "two/text.py").write_text("changed = True\n")
    assert begin(str(tmp_path / "two")).snapshot == moved


def test_another_revision_is_refused(begin: Begin, tmp_path: Path) -> None:
    root = str(project(tmp_path / "one"))
    begin(root)
    with pytest.raises(ConfigError, match=r"with no revision .*'v2'.*none again, or choose another --out"):
        begin(root, revision="v2")
    file = tmp_path / "run/run.json"
    known = read_manifest(file)
    write_manifest(file, msgspec.structs.replace(known, config=known.config | {"revision": "v1"}))
    for other, said in (("v2", "revision 'v2'"), ("", "no revision")):
        with pytest.raises(ConfigError, match=f"revision 'v1' .*{said}.*--set revision=v1"):
            begin(root, revision=other)
    assert read_run(tmp_path / "run").manifest.config["revision"] == "v1"
    assert begin(root, revision="v1")


def test_what_is_left_out_belongs_to_the_run(begin: Begin, tmp_path: Path) -> None:
    root = project(tmp_path / "one")
    for name in ("docs/conf.py", "data.bin"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(FILES)
    asked = {"functions": 4, "leave_out": ["*.bin"], "index.exclude": ["docs"]}
    job = begin(str(root), **asked)
    assert {task.function.path for task in job.tasks} == {"text.py"}
    assert not (job.snapshot.tree / "data.bin").exists()
    assert (job.snapshot.tree / "docs/conf.py").exists()
    assert read_run(tmp_path / "run").manifest.config["leave_out"] == ["*.bin"]
    assert begin(str(root), **asked).tasks == job.tasks
    with pytest.raises(ConfigError, match=r"begun with leave_out=\['\*\.bin'\]"):
        begin(str(root), **asked | {"leave_out": []})
    with pytest.raises(ConfigError, match="exclude"):
        begin(str(root), **asked | {"index.exclude": []})


def test_a_pattern_for_nothing_is_told(begin: Begin, tmp_path: Path) -> None:
    root = project(tmp_path / "one")
    job = begin(str(root), **{"index.exclude": ["dosc"]})
    assert job.notice == "no source file is matched by dosc"
    assert "include" not in job.manifest.identity["index"]
    with pytest.raises(UsageError, match=r"1 not included.*no source file is matched by src"):
        begin(str(root), tmp_path / "other", **{"index.include": ["src"]})


def test_a_run_in_its_own_repository_is_no_part_of_it(begin: Begin, tmp_path: Path) -> None:
    root = project(tmp_path / "one")
    first = begin(str(root), root / "run").snapshot
    second = begin(str(root), root / "second", seed=1).snapshot
    assert second.tree_hash == first.tree_hash
    assert second.skipped == {"made by sera": 1}


def test_a_run_of_a_path_that_is_not_utf8(begin: Begin, tmp_path: Path) -> None:
    root = project(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")))
    first = begin(str(root)).snapshot
    source = read_run(tmp_path / "run").manifest.source
    assert source["source"] == source["repository"] == f"{tmp_path}/caf\\xe9"
    (root / "text.py").write_text("changed = True\n")
    assert begin(str(root)).snapshot == first


def begun_with_other_words(job: Job, out: Path) -> Profile:
    """As by a sera whose profile of that name lacked a sentence and had another."""
    words = {name: said for name, said in job.profile.observations.items() if name != "undo_changed"}
    old = msgspec.structs.replace(job.profile, observations=words | {"empty": "Nothing was printed."})
    manifest = msgspec.structs.replace(job.manifest, identity=job.manifest.identity | {"profile": old.hash})
    with open_run(out, manifest, old, job.tasks) as run:
        run.end(ended(job.tasks[0], State.FAILED, "nobody answered"))
        return old


def test_a_run_goes_on_with_the_words_it_was_begun_with(begin: Begin, tmp_path: Path) -> None:
    root = str(project(tmp_path / "one"))
    old = begun_with_other_words(begin(root, tmp_path / "new"), tmp_path / "run")
    for name in ("auto", "sera-1"):
        assert begin(root, profile=name).profile == old
    assert read_run(tmp_path / "run").profile.hash == old.hash
    (tmp_path / "run/harness.json").write_text("{}")
    with pytest.raises(ConfigError, match="profile was"):
        begin(root)


def test_the_changed_words_of_a_folder_are_another_profile(begin: Begin, tmp_path: Path) -> None:
    root, words = str(project(tmp_path / "one")), tmp_path / "words"
    words.mkdir()
    (words / "base").write_text("sera-1\n")
    (words / "system.md").write_text("Be brief.\n")
    begin(root, profile=str(words))
    (words / "system.md").write_text("Be thorough.\n")
    with pytest.raises(ConfigError, match="profile was"):
        begin(root, profile=str(words))


# ── a folder in which nothing was recorded ────────────────────────────────────────────────────────


def test_where_nothing_was_recorded_anything_may_be_begun(begin: Begin, tmp_path: Path) -> None:
    one, other = str(project(tmp_path / "one")), str(project(tmp_path / "other", "x = 1\n"))
    begin(one, recorded=False)
    (tmp_path / "run/ledger.jsonl").write_text("")
    job = begin(other, recorded=False, seed=7, leave_out=["*.bin"], **{"agent.step_limit": 3})
    opened = read_run(tmp_path / "run")
    assert opened.manifest.source["source"] == other
    assert opened.manifest.identity == read_manifest_of(job)
    begin(other, seed=7, leave_out=["*.bin"], **{"agent.step_limit": 3})
    with pytest.raises(ConfigError, match="seed was 7"):
        begin(other, seed=8, leave_out=["*.bin"], **{"agent.step_limit": 3})


def read_manifest_of(job: Job) -> object:
    return msgspec.json.decode(msgspec.json.encode(job.manifest.identity))


def test_a_repaired_profile_goes_on_where_nothing_was_recorded_under_it(begin: Begin, tmp_path: Path) -> None:
    root, words = str(project(tmp_path / "one")), tmp_path / "words"
    words.mkdir()
    (words / "base").write_text("sera-1\n")
    (words / "review.md").write_text("Look at it: {{diff}}\n")
    begin(root, recorded=False, profile=str(words))
    (words / "review.md").write_text("Look at all of it: {{diff}}\n")
    profile = begin(root, recorded=False, profile=str(words)).profile
    assert read_run(tmp_path / "run").profile == profile
    (words / "review.md").write_text("Look!\n")
    with pytest.raises(ConfigError, match=r"review\.md lacks \{\{diff\}\}"):
        begin(root, profile=str(words))


def test_a_step_that_was_paid_for_makes_it_a_run(begin: Begin, tmp_path: Path) -> None:
    root = str(project(tmp_path / "one"))
    job = begin(root, recorded=False)
    with read_run(tmp_path / "run").trail(job.tasks[0].id) as trail:
        trail.begin("a")
        begin(root, recorded=False, seed=3)
        begin(root, recorded=False)
        said = Message(role="assistant", content="hi")
        asyncio.run(trail.remember(Replied(number=0, message=said, finish_reason="stop", usage=Usage())))
        with pytest.raises(ConfigError, match="seed was 0"):
            begin(root, seed=3)
