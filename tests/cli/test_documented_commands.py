"""Every command that README, docs and help show: run on a small project, or parsed where it needs more than that.

The lines of a block are read as a shell reads them. What takes a server, a GPU, real weights, a network or minutes
is held against the command's own options; everything else runs in a copy of one place, made by commands of the README.
"""

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from click.testing import CliRunner, Result
from environment_support import fill_index, only
from specialize_place import SHOP, write_tree
from user_shell import environment

from sera.cli import cli

ROOT = Path(__file__).parents[2]
PAGES = sorted({ROOT / "README.md", *ROOT.glob("docs/*.md")} - {ROOT / "docs/cli.md"})
BLOCK = re.compile(r"^```(?:sh)?\n(.*?)^```|((?:^ {4}\S.*\n(?: {5,}.*\n)*)+)", re.DOTALL | re.MULTILINE)
CHANGED = {"--functions": "2", "--pairs": "20", "--mutants": "1", "--pilot": "2"}
"""Numbers that stand for larger ones."""
HEAVY = {"doctor", "evaluate", "generate", "loss", "prepare", "tasks build", "tasks check", "train"}
"""Run once by the place itself, or tested elsewhere."""
SERVING = {"model fetch", "model serve", "rehearse", "teacher check"}
ASKING = {"pause", "resume", "stop"}
"""Of a run that somebody is working on."""
ELSEWHERE = {
    "--watch", "--state", "--benchmark", "--template", "./Qwen3-8B", "smollm2/tokenizer.json", "/dev/stdin",
    "student/checkpoint", "imported", "--run",
}  # fmt: skip
"""What no command of the place makes or waits for."""


class Line(NamedTuple):
    """A command as it is shown."""

    where: str
    words: tuple[str, ...]
    """After `sera`."""

    @property
    def command(self) -> str:
        """Its name, with that of its group."""
        second = self.words[1] if self.words[0] in ("dataset", "model", "tasks", "teacher") else ""
        if self.words[:2] == ("rehearse", "run"):
            second = "run"
        return f"{self.words[0]} {second}".strip()

    @property
    def runs(self) -> bool:
        """Whether it is quick and needs nothing but the place."""
        if self.command in HEAVY | SERVING | ASKING | {"dataset import", "dataset push"}:
            return False
        ids = any(re.fullmatch(r"(?=.*[a-f])[0-9a-f]{4}|\w+__\S+", word) for word in self.words)
        remote = any("://" in word or word.startswith("loop.toml") for word in self.words)
        return not ids and not remote and not ELSEWHERE & set(self.words)


def lines_of(text: str, where: str) -> Iterator[Line]:
    """The commands of `sera` in a block, without what they are piped into."""
    for line in text.replace("\\\n", " ").splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue  # prose with an apostrophe
        for number, word in enumerate(words):
            if Path(word).name == "sera" and (number == 0 or words[number - 1] == "|"):
                rest = words[number + 1 :]
                yield Line(where, tuple(rest[: rest.index("|")] if "|" in rest else rest))


def documented() -> list[Line]:
    """All of them, in order, each where it is shown first."""
    found: list[Line] = []
    for page in PAGES:
        for match in BLOCK.finditer(page.read_text("utf-8")):
            found += lines_of(match[1] or match[2], page.name)
    for name, command in every(cli, click.Context(cli), ""):
        shown = (line for line in (command.epilog or "").splitlines() if line.startswith("  "))
        found += lines_of("\n".join(shown), f"{name} --help")
    return list({line.words: line for line in reversed(found)}.values())[::-1]


def every(command: click.Command, context: click.Context, name: str) -> Iterator[tuple[str, click.Command]]:
    """All commands inside one, with their names."""
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            member = command.get_command(context, inner)
            assert member
            yield from every(member, context, f"{name} {inner}".strip())
    yield name, command


LINES = documented()
IDS = [f"{number}-{line.where.split()[0]}-{line.command}" for number, line in enumerate(LINES)]


def sera(*words: str) -> Result:
    """Run a command in this process; `AssertionError` unless it ends well."""
    done = CliRunner().invoke(cli, list(words))
    assert done.exit_code == 0, f"{shlex.join(words)}\n{done.output}\n{done.exception}"
    return done


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a project, and what the commands of the README make of it."""
    folder = tmp_path_factory.mktemp("documented")
    place = folder / "place"
    for name in ("project", "my-project"):
        write_tree(place / name, SHOP)
    fill_index(folder / "wheels")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(folder / "cache", **only(folder / "wheels")).items():
            patch.setenv(name, value)
        patch.chdir(place)
        shutil.copyfile(os.environ["SERA_TOKENIZER"], "tokenizer.json")
        shutil.make_archive("boltons-25.0.0", "gztar", ".", "project")
        for name in ("first.diff", "second.diff"):
            Path(name).write_text("--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n")
        for name in ("first/preds.json", "second/preds.json", "t1.jsonl", "t2.jsonl"):
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_text(
                '{"instance_id": "a", "model_patch": "' + r"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n" + '"}\n'
            )
        readme = [line for line in LINES if line.where == "README.md" and "./project" in line.words]
        for command in ("prepare", "generate", "tasks build"):
            sera(*scaled(next(line for line in readme if line.command == command)))
        Path("run").rename("recorded")
        for seed, name in enumerate(("run", "run-1", "run-2", "demo-run/run")):
            sera("rehearse", "run", "recorded", name, "--pairs", "20", "--seed", str(seed))
        shutil.rmtree("recorded")
        sera("dataset", "build", "run", "--out", "data", "--min-recall", "0")
        sera("dataset", "export", "data", "--to", "hub", "--out", "folder")
        yield place


def scaled(line: Line) -> list[str]:
    """A command with small numbers, the rehearsal teacher, and nothing that only much data gives."""
    words = list(line.words)
    for before, at in [(word, number + 1) for number, word in enumerate(words)]:
        if before in CHANGED:
            words[at] = CHANGED[before]
        elif before in ("--teacher", "--model") and line.command == "generate":
            words[at - 1 : at + 1] = ["", ""]
    words = [word for word in words if word]
    more = {
        "prepare": ["--set", "check.tests=1"],
        "tasks build": ["--mutants", "1", "--history", "0"],
        "dataset build": ["--allow-short"],
        "specialize": ["--plan"],
    }
    return words + more.get(line.command, [])


def test_the_documents_are_read() -> None:
    assert len(LINES) > 100
    named = {line.command for line in LINES}
    own = {
        name for name, command in every(cli, click.Context(cli), "") if not isinstance(command, click.Group)
    }
    assert not own - named - {"rehearse"}, "a command that no page shows"
    assert sum(line.runs for line in LINES) > 40


@pytest.mark.parametrize("line", LINES, ids=IDS)
def test_a_command_is_one(line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It parses, with files in the place of those it names."""
    monkeypatch.chdir(tmp_path)
    command: click.Command = cli
    context, words = click.Context(cli), list(line.words)
    while isinstance(command, click.Group) and words and command.get_command(context, words[0]):
        found = command.get_command(context, words.pop(0))
        assert found
        command = found
    for _ in words:
        try:
            command.make_context("sera", list(words), parent=context)
            return
        except click.BadParameter as problem:
            absent = re.search(r"'([^']+)' does not exist", problem.message)
            if not absent:
                raise
            Path(absent[1]).parent.mkdir(parents=True, exist_ok=True)
            Path(absent[1]).touch()


RUN = [(line, id_) for line, id_ in zip(LINES, IDS, strict=True) if line.runs]


@pytest.mark.parametrize("line", [line for line, _ in RUN], ids=[id_ for _, id_ in RUN])
def test_a_command_runs(line: Line, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "place"
    shutil.copytree(made, here)
    monkeypatch.chdir(here)
    for before, word in zip(line.words, line.words[1:], strict=False):
        if before == "--out":
            shutil.rmtree(word, ignore_errors=True)
    sera(*scaled(line))


def test_tasks_of_the_place_are_resolved_by_their_gold_patches(made: Path) -> None:
    line = next(line for line in LINES if line.command == "evaluate" and "gold" in line.words)
    assert "resolved: 100.0 %" in sera(*line.words).output
