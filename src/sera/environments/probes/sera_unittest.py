"""Runs tests with unittest, all or those wanted, and has what became of them written down.

usage: sera_unittest.py START      tests are named as pytest would: path::Class::method
"""

import doctest
import sys
import traceback
import unittest
from pathlib import Path
from typing import Any, Dict, Iterator, List

from sera_recorder import ROOT, Recorder  # type: ignore[import-not-found]

RECORDER = Recorder()


class Loader(unittest.TestLoader):
    """Tells which file is read in."""

    def _get_module_from_name(self, name: str) -> Any:
        RECORDER.read_in(file_of_module(Path(getattr(self, "_top_level_dir", None) or "."), name))
        return super()._get_module_from_name(name)  # type: ignore[misc]


def discover(start: Path) -> Iterator[Any]:
    """Every test below a directory; files that cannot be read in are told."""
    for test in flat(Loader().discover(str(start), "*test*.py", str(top_of(start)))):
        if type(test).__name__ == "_FailedTest":
            RECORDER.broken(file_of_module(start, test._testMethodName), str(test._exception))
        else:
            yield test


def flat(suite: Any) -> Iterator[Any]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


def top_of(folder: Path) -> Path:
    """The directory from which the tests are imported: above the packages that they lie in."""
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


class Telling(unittest.TestResult):
    """Hands each end of a test on."""

    def __init__(self, tests: List[Any]) -> None:
        super().__init__()
        self._waiting: Dict[str, Any] = {name_of(test): test for test in tests}
        self._last: Any = None

    def startTest(self, test: Any) -> None:
        self._waiting.pop(name_of(test), None)
        self._last = test
        RECORDER.begin(name_of(test))

    def stopTest(self, _: Any) -> None:
        RECORDER.end(RECORDER.seen())

    def addSuccess(self, _: Any) -> None:
        RECORDER.passed()

    def addSkip(self, test: Any, _: str) -> None:
        for _ in self._meant(test):
            RECORDER.skipped()

    def addExpectedFailure(self, *_: Any) -> None:
        RECORDER.skipped()

    def addUnexpectedSuccess(self, _: Any) -> None:
        RECORDER.failed("", "unexpected success", 0, False)

    def addError(self, test: Any, error: Any) -> None:
        for one in self._meant(test):
            self._failed(one, error)

    def addFailure(self, test: Any, error: Any) -> None:
        self._failed(test, error)

    def addSubTest(self, test: Any, _: Any, error: Any) -> None:
        if error:
            self._failed(test, error)

    def _meant(self, test: Any) -> Iterator[Any]:
        """The tests of which something is said: of the set-up of a class or module, those of it that have not
        run; of what takes it down, the last one."""
        if isinstance(test, unittest.TestCase):
            yield test
            return
        what, _, rest = test.id().partition(" (")
        owner = rest.rstrip(")")
        waiting = [one for one in self._waiting.values() if owner in (module_of(one), class_of(one))]
        for one in waiting if what.startswith("setUp") else filter(None, [self._last]):
            self.startTest(one)
            yield one
            self.stopTest(one)

    def _failed(self, test: Any, error: Any) -> None:
        own = file_of(test)
        frames = [
            (frame.filename, frame.lineno or 0)
            for frame in traceback.extract_tb(error[2])
            if "unittest" not in Path(frame.filename).parts
        ]
        line = next((number for path, number in reversed(frames) if path == own), 0)
        last = frames[-1][0] if frames else ""
        inside = last != own and any(path != own and path.startswith(ROOT) for path, _ in frames)
        said = "".join(traceback.format_exception_only(error[0], error[1])).strip()
        RECORDER.failed(error[0].__name__, said, line, inside)


def module_of(test: Any) -> str:
    return str(type(test).__module__)


def class_of(test: Any) -> str:
    return f"{type(test).__module__}.{type(test).__qualname__}"


def file_of(test: Any) -> str:
    return str(getattr(sys.modules.get(module_of(test)), "__file__", "") or "")


def name_of(test: Any) -> str:
    path = file_of(test)
    place = path[len(ROOT) :] if path.startswith(ROOT) else path
    return "::".join([place, *test.id()[len(module_of(test)) + 1 :].split(".")])


def file_of_module(start: Path, name: str) -> str:
    """The file that could not be read in as a module; the name itself if there is no such file."""
    path = name.replace(".", "/") + ".py"
    for folder in (start, *start.parents):
        if (folder / path).is_file() and str(folder / path).startswith(ROOT):
            return str(folder / path)[len(ROOT) :]
    return name


def is_example(test: Any) -> bool:
    return isinstance(test, doctest.DocTestCase) or not file_of(test).startswith(ROOT)


def main(start: Path) -> None:
    chosen = RECORDER.choose(list(discover(start)), name_of, is_example)
    RECORDER.chosen([name_of(test) for test in chosen])
    why = ""
    try:
        if not RECORDER.apart:
            unittest.TestSuite(chosen).run(Telling(chosen))
        for one in chosen if RECORDER.apart else ():
            RECORDER.alone(name_of(one), lambda test=one: unittest.TestSuite([test]).run(Telling([test])))
    except BaseException as error:
        why = "".join(traceback.format_exception_only(type(error), error)).strip()
        raise
    finally:
        RECORDER.finish(why)


sys.path[0] = str(Path.cwd())
folder = Path(sys.argv[1]).resolve()
sys.argv[1:] = []
main(folder)
