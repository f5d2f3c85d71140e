"""Whatever a build, a module or a test leaves in the place of an answer: the environment says so, nothing ends."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from environment_support import PROJECT, fill_index, only, write_tree

from sera.environments import Environment, PrepareConfig, prepare
from sera.environments.own_runners import read_summary
from sera.environments.suite_answers import Answer
from sera.environments.versions import parse
from sera.repositories import open_snapshot
from sera.settings import load_config

ANSWER = "/tmp/sera/answer.json"
BACKEND, TESTS = PROJECT["backend/inhouse.py"], PROJECT["tests/test_double.py"]
ASKED = "def get_requires_for_build_wheel(settings=None):\n    {}\n"
AT_THE_END = f"import atexit, os, shutil\nANSWER = {ANSWER!r}\nLINES = os.environ.get('SERA_TASKS_ANSWER')\natexit.register(lambda: {{}})\n"
BUILDS = {
    "numbers": ASKED.format("return [1, None]"),
    "deep": ASKED.format("found = []\n    for _ in range(900): found = [found]\n    return found"),
    "no list": ASKED.format("return {'a': 'b'}"),
    "long": ASKED.format("return ['a' * 1000] * 2000"),
    "ever more": "import random\n" + ASKED.format("return [f'pip<{random.random() + 99}']"),
    "torn": AT_THE_END.format("open(ANSWER, 'w').write('[\"a')"),
    "not UTF-8": AT_THE_END.format("open(ANSWER, 'wb').write(b'[\"\\xff\"]')"),
    "a pipe": AT_THE_END.format("(os.remove(ANSWER), os.mkfifo(ANSWER))"),
    "a directory": AT_THE_END.format("(os.remove(ANSWER), os.mkdir(ANSWER))"),
    "a device": AT_THE_END.format("(os.remove(ANSWER), os.symlink('/dev/zero', ANSWER))"),
    "nothing": AT_THE_END.format("shutil.rmtree('/tmp/sera')"),
    "another file": BACKEND.replace('return "tinycalc-1.5-py3-none-any.whl"', "return '../../etc/passwd'"),
    "no wheel": BACKEND.replace('return "tinycalc-1.5-py3-none-any.whl"', "return 'build.py'"),
    "no text": BACKEND.replace('return "tinycalc-1.5-py3-none-any.whl"', "return 7"),
    "a wheel of pipes": BACKEND.replace(
        'return "tinycalc-1.5-py3-none-any.whl"', "os.mkfifo(folder + '/x.whl')\n    return 'x.whl'"
    ),
}
PLACE_GONE = "import os, shutil\nif os.path.isdir('/tmp/sera'):\n    shutil.rmtree('/tmp/sera')\n    open('/tmp/sera', 'w').close()\n"
FULL = "import os\ntry:\n    with open('/tmp/full', 'wb') as file:\n        while file.write(bytes(1 << 20)): pass\nexcept OSError: pass\n"
CHECKS = {
    "place gone": {"src/tinycalc/__init__.py": PLACE_GONE},
    "disk full": {"src/tinycalc/__init__.py": FULL},
    "pip of its own": {"pip/__init__.py": "", "pip/__main__.py": "print('[' * 1_000_000)"},
    "packages without names": {"pip/__init__.py": "", "pip/__main__.py": "print('[{\"version\": \"1\"}]')"},
    "counts below 0": {"tests/test_double.py": TESTS + AT_THE_END.format(
        "open(LINES, 'w').write('{\"collected\":-1,\"chosen\":1}\\n')")},
    "brackets": {"tests/test_double.py": TESTS + AT_THE_END.format("open(LINES, 'w').write('[' * 1_000_000 + '\\n')")},
    "a pipe": {"tests/test_double.py": TESTS + AT_THE_END.format("(os.remove(LINES), os.mkfifo(LINES))")},
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def index(tmp_path_factory: pytest.TempPathFactory) -> object:
    """The only packages there are, and a cache."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("index") / "wheels"
        fill_index(folder)
        for name, value in only(folder).items():
            patch.setenv(name, value)
        patch.setenv("SERA_CACHE", str(tmp_path_factory.mktemp("answers")))
        yield


def prepared(root: Path, files: dict[str, str], *pairs: str) -> Environment:
    config = load_config(PrepareConfig, pairs=["check.seconds=20", *pairs])
    return prepare(open_snapshot(str(write_tree(root, {**PROJECT, **files}))), config)


@pytest.mark.parametrize("case", BUILDS)
def test_a_build_that_answers_otherwise_has_failed(tmp_path: Path, case: str) -> None:
    text = BUILDS[case]
    backend = text if "def build_wheel" in text else BACKEND + "\n" + text
    environment = prepared(tmp_path, {"backend/inhouse.py": backend}, "check.tests=0")
    assert not environment.built
    assert "the project's build failed" in environment.warnings[0]
    assert environment.checked.imports == {"tinycalc": True}


@pytest.mark.parametrize("case", CHECKS)
def test_a_check_that_is_answered_otherwise_has_troubles(tmp_path: Path, case: str) -> None:
    environment = prepared(tmp_path, CHECKS[case], "environment.build=false")
    assert not environment.works or case.startswith(("pip", "packages"))
    assert environment.checked.troubles
    assert "tinycalc==0.0.0" in environment.checked.packages


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for task in tasks for word in task.read_text().split()]


@contextmanager
def killing(word: bytes) -> Iterator[list[int]]:
    """Kill process 1 of every sandbox in which a program with that word runs, as the kernel does where memory is out."""
    killed: list[int] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            for first in [one for spawner in children(os.getpid()) for one in children(spawner)]:
                try:
                    lines = [Path(f"/proc/{one}/cmdline").read_bytes() for one in children(first)]
                except OSError:
                    continue
                if first not in killed and any(word in line for line in lines):
                    os.kill(first, signal.SIGKILL)
                    killed.append(first)
            time.sleep(0.05)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield killed
    finally:
        ended.set()
        watcher.join()


@pytest.mark.parametrize("word", [b"build.py", b"imports.py"])
def test_what_ends_its_sandbox_has_failed_and_ends_nothing_else(tmp_path: Path, word: bytes) -> None:
    slow = f"import sys, time\nif '{word.decode()}' in sys.argv[0]: time.sleep(20)\n"
    files = {name: slow + PROJECT[name] for name in ("backend/inhouse.py", "src/tinycalc/__init__.py")}
    with killing(word) as killed:
        environment = prepared(tmp_path, files)
    assert killed
    assert environment.built == (word != b"build.py")
    assert environment.checked.imports == {"tinycalc": word == b"build.py"}
    said = [*environment.warnings, *(one.said for one in environment.checked.troubles)]
    assert any("the sandbox is gone" in one for one in said)


def test_files_that_come_before_a_build(tmp_path: Path) -> None:
    """Commands of the user make what the repository's code tells them to."""
    odd = "mkdir -p a/b && mkfifo a/pipe && echo x > a/b/kept.txt && printf x > $'a/new\\nline'"
    environment = prepared(tmp_path, {}, f'environment.before_build=["""{odd}"""]', "check.tests=0")
    assert environment.checked.imports == {"tinycalc": True}
    assert not environment.built or "a/b/kept.txt" in environment.made


@pytest.mark.parametrize("number", ["-1", "1.5", "1e400", '"1"', "null", "9" * 5000, "[]", "true"])
def test_numbers_of_tests_are_numbers_of_tests(number: str) -> None:
    text = '{"collected":%s,"chosen":%s}'
    answer = Answer()
    answer.add((text % (5, 4)).encode())
    assert (answer.collected, answer.chosen) == (5, 4)
    for line in (text % (number, 5), text % (5, number)):
        with pytest.raises(ValueError, match=r"^line"):
            answer.add(line.encode())


def test_numbers_without_end_are_none() -> None:
    many = "9" * 5000
    assert read_summary(f"Ran {many} tests in 1s\n") is None
    assert read_summary(f"Ran 3 tests in 1s\nFAILED (failures={many})\n") == {
        "passed": 3,
        "failed": 0,
        "skipped": 0,
    }
    assert read_summary(f"== {many} passed in 1.0s\n") == {"passed": 0, "failed": 0, "skipped": 0}
    assert parse(f"3.{many}") == (3, 999_999_999)
