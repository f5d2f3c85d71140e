"""What many tests share: a small repository, its snapshot, sandboxes over it, and a tokenizer of bytes."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings

from sera.processors import wait_without_spinning
from sera.repositories import Snapshot, open_snapshot
from sera.sandboxes import NamespacesConfig, Sandbox, make_backend

settings.register_profile("shared machine", deadline=None)  # what is slow there is not wrong
settings.load_profile("shared machine")
wait_without_spinning()
os.environ.setdefault("OMP_NUM_THREADS", "1")  # models of tests are so small that threads only wait
if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # a shell's background job; what tests start inherits it
    signal.signal(signal.SIGINT, signal.default_int_handler)

T = TypeVar("T")
InSandbox = Callable[[Callable[[Sandbox], Awaitable[T]]], T]

TINY = {
    "tiny/__init__.py": "",
    "tiny/text.py": '''\
"""Text helpers."""


def shorten(text, width=10):
    """Cut text to width characters."""
    if len(text) <= width:
        return text
    head = text[: width - 1]
    return head + "…"


def join_lines(lines, sep="\\n"):
    """Join lines, blank ones left out."""
    kept = []
    for line in lines:
        if line.strip():
            kept.append(shorten(line, 40))
    return sep.join(kept)
''',
    "tiny/numbers.py": '''\
"""Number helpers."""


def mean(values):
    """Arithmetic mean."""
    total = 0
    for value in values:
        total += value
    return total / len(values)


class Tally:
    """Counts things."""

    def __init__(self):
        self.counts = {}

    def add(self, name, amount=1):
        """Count a name."""
        before = self.counts.get(name, 0)
        self.counts[name] = before + amount
        return self.counts[name]

    def report(self):
        """Lines, one a name."""
        lines = []
        for name in self.counts:
            lines.append("%s: %d" % (name, self.counts[name]))
        return lines
''',
    "tests/test_text.py": "from tiny.text import shorten\n\n\ndef test_short():\n    assert shorten('a') == 'a'\n",
    "README.md": "# tiny\n",
}


def write_tree(root: Path, files: dict[str, str]) -> Path:
    """Write files below a directory and return it."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    return root


@pytest.fixture(scope="session")
def tiny_repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a small package."""
    return write_tree(tmp_path_factory.mktemp("tiny"), TINY)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot cache of the test session, in the place of the user's."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def tiny_snapshot(tiny_repo: Path, cache: Path) -> Snapshot:
    """The snapshot of the small package."""
    return open_snapshot(str(tiny_repo), cache=cache)


@pytest.fixture(scope="session")
def byte_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a tokenizer with one token for each byte, and one for each mark of the template."""
    from tokenizers import AddedToken, Tokenizer, decoders
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel

    vocabulary = {letter: number for number, letter in enumerate(sorted(ByteLevel.alphabet()))}
    tokenizer = Tokenizer(BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|im_start|>"), AddedToken("<|im_end|>")])
    path = str(tmp_path_factory.mktemp("tokenizer") / "tokenizer.json")
    tokenizer.save(path)
    return path


@pytest.fixture
def in_sandbox(tiny_snapshot: Snapshot) -> InSandbox[object]:
    """Runs an async function with a fresh sandbox over the small package."""

    def run(work: Callable[[Sandbox], Awaitable[T]]) -> T:
        async def main() -> T:
            async with (
                make_backend(NamespacesConfig(), tiny_snapshot.layer) as backend,
                backend.sandbox() as sandbox,
            ):
                return await work(sandbox)

        return asyncio.run(asyncio.wait_for(main(), 60))

    return run
