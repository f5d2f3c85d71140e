"""The main job from a repository to a dataset, by the command line, and what a newcomer gets wrong."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from user_shell import Sera

from sera.records import State
from sera.runs import read_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory that the tests of this module share."""
    return tmp_path_factory.mktemp("work") / "run"


@pytest.fixture
def finished(sera: Sera, tiny_repo: Path, run: Path) -> Path:
    """The finished run; the second time there is nothing left to do."""
    sera("generate", tiny_repo, "--out", run, "--functions", 12, "--concurrency", 4)
    return run


def lines(file: Path) -> list[dict[str, Any]]:
    """The records without their seals, so that they can be changed and written again."""
    records = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return [{name: one[name] for name in one if name not in ("seq", "sum")} for one in records]


def test_functions(sera: Sera, tiny_repo: Path) -> None:
    told = json.loads(sera("functions", tiny_repo, "--json").stdout)
    names = {function["name"] for function in told["functions"]}
    assert {"shorten", "join_lines", "mean", "Tally.add", "Tally.report"} <= names
    assert "test_short" not in names
    assert "tiny/text.py" in sera("functions", tiny_repo).stdout


def test_every_task_is_accounted_for(sera: Sera, finished: Path) -> None:
    status = json.loads(sera("status", finished, "--json").stdout)
    assert status["tasks"] == 12
    assert status["owed"] == 0
    assert sum(status["states"].values()) == 12
    assert status["states"]["complete"] >= 9
    assert sum(status["recall_histogram"]) == status["states"]["complete"]
    assert status["usage"]["calls"] > 12 * 10
    assert "all ended" in sera("status", finished).stdout


def test_a_run_without_a_pair_has_failed(sera: Sera, tiny_repo: Path, tmp_path: Path) -> None:
    words = [
        "generate",
        tiny_repo,
        "--out",
        tmp_path / "run",
        "--functions",
        3,
        "--set",
        "agent.step_limit=2",
    ]
    told = sera(*words, code=1)
    assert "no task came to a pair (3 t1_unfinished" in told.stderr
    assert "done:" not in told.stdout
    assert "no task came to a pair" in sera(*words, code=1).stderr, "nothing is owed, and it has still failed"
    piloted = sera(*words, "--pilot", 2, code=1)
    assert "no task came to a pair (2 t1_unfinished" in piloted.stderr
    assert "the pilot is done" in piloted.stdout


def test_patches_apply_to_the_source(finished: Path, tiny_repo: Path, tmp_path: Path) -> None:
    """Every patch of a complete pair is a real diff of the user's own files."""
    opened = read_run(finished)
    patches = [r.patch for r in opened.rollouts if r.patch]
    assert len(patches) >= 18
    for patch in patches:
        check = ["git", "apply", "--check", "--directory", "", "-"]
        subprocess.run(check, cwd=tiny_repo, input=patch, text=True, check=True, timeout=20)
    different = [p for p in opened.pairs if p.agreement and p.agreement.recall < 1]
    assert different, "T2 never differs from T1"


def test_run_directory_can_be_read_without_sera(finished: Path) -> None:
    config = json.loads((finished / "run.json").read_text())
    assert config["config"]["functions"] == 12
    assert config["config"]["teacher"]["kind"] == "rehearsal"
    rollouts = lines(finished / "rollouts.jsonl")
    first = rollouts[0]
    assert first["category"]
    assert first["profile"]
    assert first["teacher"]
    assert {message["role"] for message in first["messages"]} == {"system", "user", "assistant", "tool"}


def test_show(sera: Sera, finished: Path) -> None:
    listed = sera("show", finished).stdout
    complete = next(p for p in read_run(finished).pairs if p.state is State.COMPLETE)
    assert complete.task in listed
    shown = sera("show", finished, complete.index).stdout
    for part in (
        "── system",
        "patch of t1",
        "pull request, in the style of",
        "patch of t2",
        "t1 found again in t2",
        "r = ",
    ):
        assert part in shown
    assert sera("show", finished, complete.task[:8], "--full").stdout
    assert "no pair 'zzz'" in sera("show", finished, "zzz", code=2).stderr


def test_what_a_run_holds_cannot_steer_the_terminal(sera: Sera, finished: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(finished, tmp_path / "run")
    hostile = "\x1b]0;title\x07\x1b[2J [/red]"
    rollouts = lines(copy / "rollouts.jsonl")
    for one in rollouts:
        for message in one["messages"]:
            message["content"] = f"{hostile}\n{message['content']}"
    (copy / "rollouts.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in rollouts))
    pairs = [one | {"reason": hostile} for one in lines(copy / "pairs.jsonl")]
    (copy / "pairs.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in pairs))
    listed, shown = sera("show", copy).stdout, sera("show", copy, 0, "--full").stdout
    assert "\x1b" not in listed + shown
    assert "– ␛]0;title" in shown
    assert "\n  ␛]0;title" in shown
    assert "[/red]" in shown


def test_recall(sera: Sera, finished: Path, tmp_path: Path) -> None:
    opened = read_run(finished)
    pair = next(p for p in opened.pairs if p.agreement)
    first, second = opened.rollouts.get(pair.t1), opened.rollouts.get(pair.t2)
    assert first
    assert second
    (tmp_path / "1.diff").write_text(first.patch)
    (tmp_path / "2.diff").write_text(second.patch)
    told = json.loads(sera("recall", tmp_path / "1.diff", tmp_path / "2.diff", "--json").stdout)
    assert pair.agreement
    assert told["recall"] == pair.agreement.recall
    assert "r = " in sera("recall", tmp_path / "1.diff", tmp_path / "2.diff").stdout


@pytest.mark.parametrize("style", ["hermes", "xml", "raw"])
def test_dataset(sera: Sera, finished: Path, tmp_path: Path, style: str) -> None:
    out = tmp_path / "data"
    told = sera(
        "dataset",
        "build",
        finished,
        "--out",
        out,
        "--format",
        style,
        "--min-recall",
        0,
        "--stages",
        "t1",
        "--stages",
        "t2",
    ).stdout
    rows, manifest = lines(out / "train.jsonl"), json.loads((out / "manifest.json").read_text())
    rejected = lines(out / "rejected.jsonl")
    assert len(rows) == manifest["rows"] > 0
    assert len(rows) + len(rejected) == len(lines(finished / "rollouts.jsonl"))
    assert str(manifest["rows"]) in told
    for row in rows:
        trained = {message["role"] for message in row["messages"] if message["train"]}
        assert trained == {"assistant"}
    assert str(out.parent) not in (out / "manifest.json").read_text()


def test_more_functions_extend_a_run(sera: Sera, tiny_repo: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    sera("generate", tiny_repo, "--out", out, "--functions", 2)
    before = lines(out / "pairs.jsonl")
    sera("generate", tiny_repo, "--out", out, "--functions", 4)
    assert lines(out / "pairs.jsonl")[:2] == before
    assert len(lines(out / "pairs.jsonl")) == 4


def test_run_goes_on_with_its_own_snapshot(sera: Sera, tmp_path: Path) -> None:
    """The user's repository may change under a run; the run does not."""
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "one.py").write_text("def one(x):\n    y = x + 1\n    z = y * 2\n    return z\n")
    sera("generate", repository, "--out", tmp_path / "run", "--functions", 1)
    (repository / "one.py").write_text("def other(x):\n    y = x + 1\n    z = y * 2\n    return z\n")
    sera("generate", repository, "--out", tmp_path / "run", "--functions", 2)
    names = {task["function"]["name"] for task in lines(tmp_path / "run" / "tasks.jsonl")}
    assert names == {"one"}


def test_users_repository_is_not_touched(sera: Sera, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "one.py").write_text("def one(x):\n    y = x + 1\n    z = y * 2\n    return z\n")
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in repository.rglob("*"))
    sera("generate", repository, "--out", tmp_path / "run", "--functions", 2)
    assert before == sorted((str(path), path.lstat().st_mtime_ns) for path in repository.rglob("*"))


# ── what a newcomer gets wrong ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["generate", "{repo}"], 2, "Missing option '--out'"),
        (["generate", "/nowhere", "--out", "{tmp}/r"], 1, "/nowhere"),
        (["generate", "{repo}", "--out", "{tmp}/r", "--teacher", "gpt"], 2, "neither 'rehearsal', 'local' nor a URL"),
        (["generate", "{repo}", "--out", "{tmp}/r", "--teacher", "http://127.0.0.1:9/v1"], 2, "needs --model"),
        (["generate", "{repo}", "--out", "{tmp}/r", "--teacher", "http://127.0.0.1:9/v1", "--model", "m"], 1,
         "Is the server running"),
        (["generate", "{repo}", "--out", "{tmp}/r", "--set", "agent.steps=3"], 2, "unknown field `steps`"),
        (["generate", "{repo}", "--out", "{tmp}/r", "--set", "agent.step_limit=many"], 2, "agent.step_limit"),
        (["generate", "{repo}", "--out", "{tmp}/r", "--set", "seed"], 2, "key=value"),
        (["generate", "{repo}", "--out", "{tmp}/r", "--config", "{tmp}/none.toml"], 2, "none.toml"),
        (["generate", "{repo}", "--out", "{repo}"], 1, "has no run.json"),
        (["generate", "{repo}", "--out", "/proc/none/r"], 1, "/proc/none/r"),
        (["status", "{tmp}"], 1, "no run.json"),
        (["show", "{tmp}"], 1, "no run.json"),
        (["dataset", "build", "{tmp}", "--out", "{tmp}/d"], 1, "no run.json"),
        (["recall", "{tmp}/a", "{tmp}/b"], 2, "does not exist"),
        (["specialise"], 2, "No such command"),
    ],
)  # fmt: skip
def test_wrong_use_is_answered_by_one_sentence(
    sera: Sera, tiny_repo: Path, tmp_path: Path, arguments: list[str], code: int, told: str
) -> None:
    filled = [part.format(repo=tiny_repo, tmp=tmp_path) for part in arguments]
    before = sorted(tiny_repo.rglob("*"))
    assert told in sera(*filled, code=code).stderr
    assert sorted(tiny_repo.rglob("*")) == before


def test_unlike_data_are_refused(sera: Sera, finished: Path, tiny_repo: Path) -> None:
    problem = sera("generate", tiny_repo, "--out", finished, "--functions", 12, "--seed", 5, code=2).stderr
    assert "seed was 0 and is now 5" in problem


def test_settings_come_from_a_file(sera: Sera, tiny_repo: Path, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        'functions = 3\n[teacher]\nkind = "rehearsal"\nseed = 7\n[agent]\nstep_limit = 60\n'
    )
    sera("generate", tiny_repo, "--out", tmp_path / "r", "--config", tmp_path / "c.toml", "--functions", 1)
    config = json.loads((tmp_path / "r" / "run.json").read_text())["config"]
    assert (config["functions"], config["teacher"]["seed"], config["agent"]["step_limit"]) == (1, 7, 60)
    sera("generate", tiny_repo, "--out", tmp_path / "again", "--config", tmp_path / "r" / "run.json")
    again = json.loads((tmp_path / "again" / "run.json").read_text())["config"]
    assert again == config


def test_help_has_examples(sera: Sera) -> None:
    for name in ("functions", "generate", "dataset"):
        assert f"sera {name}" in sera(name, "--help").stdout.split("Examples:")[1]
    assert "Examples:" in sera("--help").stdout
