"""Bytes of a run cut, altered, zeroed, inserted, lines lost and doubled: nothing ends in a traceback, what is not
whole is done again and nothing else, and the dataset is then what it was."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sera.cli import cli
from sera.errors import SeraError
from sera.runs import LEDGER, read_ledger, read_run

FILES = (
    "rollouts.jsonl",
    "verdicts.jsonl",
    "pull_requests.jsonl",
    "pairs.jsonl",
    "ledger.jsonl",
    "tasks.jsonl",
    "harness.json",
    "run.json",
    "control.jsonl",
)


def cut(data: bytes, at: int, draw: random.Random) -> bytes:
    return data[:at] + data[at + draw.choice((1, 7, 300)) :]


def cut_off(data: bytes, at: int, draw: random.Random) -> bytes:
    return data[:at]


def flip(data: bytes, at: int, draw: random.Random) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]


def zero(data: bytes, at: int, draw: random.Random) -> bytes:
    size = min(draw.choice((1, 512)), len(data) - at)
    return data[:at] + bytes(size) + data[at + size :]


def insert(data: bytes, at: int, draw: random.Random) -> bytes:
    return data[:at] + draw.choice((b"\n", b"\xff", b'"', b"}\n{", b"[" * 5000)) + data[at:]


def lose(data: bytes, at: int, draw: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    del lines[at % len(lines)]
    return b"".join(lines)


def double(data: bytes, at: int, draw: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join([*lines[: at % len(lines) + 1], *lines[at % len(lines) :]])


def swap(data: bytes, at: int, draw: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    other = draw.randrange(len(lines))
    lines[at % len(lines)], lines[other] = lines[other], lines[at % len(lines)]
    return b"".join(lines)


HOWS: tuple[Callable[[bytes, int, random.Random], bytes], ...] = (
    cut, cut_off, flip, zero, insert, lose, double, swap,
)  # fmt: skip


class Work:
    """The commands over one run, without processes of their own."""

    def __init__(self, repository: Path, place: Path, tokenizer: str) -> None:
        self.repository, self.place, self.tokenizer = repository, place, tokenizer
        self.run, self.dataset = place / "run", place / "dataset"

    def status(self) -> Result:
        return self._call("status", self.run)

    def generate(self) -> Result:
        return self._call(
            "generate", self.repository, "--out", self.run, "--functions", 3, "--concurrency", 3,
            "--max-tokens", 10**9,
        )  # fmt: skip

    def build(self) -> Result:
        shutil.rmtree(self.dataset, ignore_errors=True)
        return self._call(
            "dataset", "build", self.run, "--out", self.dataset, "--tokenizer", self.tokenizer,
            "--workers", 1, "--stages", "t1", "--stages", "t2", "--set", "min_recall=0",
        )  # fmt: skip

    def rows(self) -> bytes:
        return (self.dataset / "train.jsonl").read_bytes()

    def tokens(self) -> int:
        """That the run has used at most."""
        return read_ledger(self.run / LEDGER, read_run(self.run).proven).total.tokens

    def _call(self, *arguments: object) -> Result:
        return CliRunner().invoke(cli, [*map(str, arguments)])


@pytest.fixture(scope="module")
def whole(
    tiny_repo: Path, cache: Path, byte_tokenizer: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Work]:
    """A run that is finished, with a ledger, and its dataset."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERA_CACHE", str(cache))
        work = Work(tiny_repo, tmp_path_factory.mktemp("whole"), byte_tokenizer)
        for done in (work.generate(), work.build()):
            assert done.exit_code == 0, done.output
        yield work


def attack(whole: Work, place: Path, name: str, how: Callable[..., bytes], seed: int) -> None:
    work, draw = (
        Work(whole.repository, place, whole.tokenizer),
        random.Random(f"{name} {how.__name__} {seed}"),
    )
    shutil.copytree(whole.run, work.run)
    before = (work.run / name).read_bytes()
    if not before:
        return
    (work.run / name).write_bytes(how(before, draw.randrange(len(before)), draw))
    for done in (work.status(), work.build(), work.generate()):
        problem = done.exception
        if isinstance(problem, SeraError):
            assert name in str(problem) or "tasks are owed" in done.output, problem
        elif not isinstance(problem, SystemExit | None):
            raise problem
    if isinstance(problem, SeraError):
        return  # what the run was begun with is gone, and was named
    assert done.exit_code == 0, done.output
    assert read_run(work.run).owed() == []
    assert work.build().exit_code == 0
    assert work.rows() == whole.rows()
    assert work.status().exit_code == 0
    assert work.tokens() >= whole.tokens()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("how", HOWS, ids=lambda how: how.__name__)
def test_damage_is_named_and_done_again(
    whole: Work, tmp_path: Path, name: str, how: Callable[..., bytes]
) -> None:
    attack(whole, tmp_path, name, how, seed=0)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1, 40))
def test_damage_anywhere(whole: Work, tmp_path: Path, seed: int) -> None:
    for name in FILES:
        for how in HOWS:
            attack(whole, tmp_path / f"{name}-{how.__name__}", name, how, seed)
