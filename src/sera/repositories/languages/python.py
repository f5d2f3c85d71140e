"""Python: read by `ast`, with callers resolved through imports and classes (`modules`, `callers`)."""

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from sera.records import Function
from sera.repositories.callers import find_callers
from sera.repositories.languages.made import make_function
from sera.repositories.modules import Module, RawFunction, read_module, skip_by_name

_TEST_DIRECTORIES = frozenset({"tests", "testing"})
_TEST_FILE = re.compile(r"(test_.*|.*_test|tests|conftest)\.py")
_TEST_NAME = re.compile(r"(^|\.)(test_\w*|Test[A-Z]\w*|\w+Tests?|\w+TestCase)(\.|$)")


class Python:
    """The language of the project's own; needs no grammar."""

    name = "python"
    suffixes = (".py",)

    def available(self) -> bool:
        """Always."""
        return True

    def skip(self, path: str) -> str:
        """By path: vendored, generated, a name that is not UTF-8."""
        return skip_by_name(path)

    def read(self, path: str, content: bytes) -> Module | str:
        """The module, or why not."""
        return read_module(path, content)

    def functions(self, files: Sequence[Any]) -> Iterator[tuple[Function, str]]:
        """Every `def`, with its callers."""
        modules: Sequence[Module] = files
        tests = {raw for module in modules for raw in module.functions if _is_test(module, raw)}
        callers = find_callers(list(modules), tests)
        for module in modules:
            for raw in module.functions:
                found = callers.get((module.path, raw.qualname), ())
                function = make_function(module.path, raw, raw in tests, found, self.name)
                yield function, _refusal(raw, function)


PYTHON = Python()


def _refusal(raw: RawFunction, function: Function) -> str:
    """Why a function is not sampled, or empty."""
    decorators = {text.partition("(")[0].rpartition(".")[2] for text in raw.decorators}
    name = raw.qualname.rpartition(".")[2]
    reasons = {
        "test": function.is_test,
        "overload": "overload" in decorators,
        "abstract": bool(decorators & {"abstractmethod", "abstractproperty"}),
        "stub": raw.stub,
        "dunder": name.startswith("__") and name.endswith("__") and not raw.branches,
    }
    return next((reason for reason, applies in reasons.items() if applies), "")


def _is_test(module: Module, function: RawFunction) -> bool:
    path = PurePosixPath(module.path)
    in_tests = bool(_TEST_DIRECTORIES.intersection(path.parts[:-1])) or path.parts[:-1][:1] == ("test",)
    if in_tests or _TEST_FILE.fullmatch(path.name):
        return True
    return module.tests_inside and bool(_TEST_NAME.search(function.qualname))
