"""Writes down what became of each test, a line of JSON as each ends, and which functions it called.

Settings come from the environment: SERA_TASKS_ANSWER, the file that grows; SERA_TASKS_WANTED, a JSON list of
the tests to run (empty: all); SERA_TASKS_FILES, files with commas between to which they are confined;
SERA_TASKS_TRACE, whether to note functions; SERA_TASKS_EACH, the seconds that one test may take: the first
that takes longer ends the process; SERA_TASKS_APART, `forwards` or `backwards`: each test runs in a process
of its own, forked once all are read in, in that order.
"""

import json
import os
import sys
import threading
import time
import warnings
from typing import Any, Callable, Dict, List, Set, Tuple  # noqa: UP035  (as Python 3.7 has them)

ROOT = os.getcwd() + os.sep  # noqa: PTH109  (every test pays for what is imported)
LATE = 77
"""Exit code after a test that did not end."""
_TOOL = 4
_MOST_CALLS = 100_000
"""Calls of one test that are looked at before Python 3.12, where each takes time."""
_Place = Tuple[str, int]  # noqa: UP006


class Trace:
    """The functions of the working tree that are called meanwhile, by file and first line."""

    def __init__(self) -> None:
        self._monitoring = getattr(sys, "monitoring", None)
        self._left = 0
        self._seen: Dict[int, Any] = {}  # noqa: UP006  (by identity: to hash a code object takes long)
        if self._monitoring:
            events = self._monitoring.events.PY_START
            self._monitoring.use_tool_id(_TOOL, "sera")
            self._monitoring.register_callback(_TOOL, events, self._started)
            self._monitoring.set_events(_TOOL, events)

    def begin(self) -> None:
        """Forget what was seen, and look again."""
        self._seen.clear()
        self._left = _MOST_CALLS
        if self._monitoring:
            self._monitoring.restart_events()
        else:
            threading.settrace(self._called)
            sys.settrace(self._called)

    def end(self) -> List[_Place]:  # noqa: UP006
        """Look no more; what was seen, sorted."""
        if not self._monitoring:
            sys.settrace(None)
            threading.settrace(None)
        own = [code for code in list(self._seen.values()) if code.co_filename.startswith(ROOT)]
        return sorted({(code.co_filename[len(ROOT) :], code.co_firstlineno) for code in own})

    def _started(self, code: Any, _: int) -> Any:
        self._seen[id(code)] = code
        return self._monitoring.DISABLE if self._monitoring else None

    def _called(self, frame: Any, _event: str, _: Any) -> None:
        """Told of calls alone: lines are told to whoever this would return."""
        code = frame.f_code
        if id(code) not in self._seen:
            self._seen[id(code)] = code
        self._left -= 1
        if self._left < 0:
            sys.settrace(None)


class Recorder:
    """One run of tests."""

    def __init__(self) -> None:
        answer = os.environ["SERA_TASKS_ANSWER"]
        self._file = open(answer, "a", encoding="utf-8", errors="replace")  # noqa: SIM115, PTH123
        wanted = os.environ.get("SERA_TASKS_WANTED", "")
        if wanted:
            with open(wanted, encoding="utf-8") as file:  # noqa: PTH123
                self._wanted: Set[str] = set(json.load(file))  # noqa: UP006
        else:
            self._wanted = set()
        self._files = [name for name in os.environ.get("SERA_TASKS_FILES", "").split(",") if name]
        self._trace = Trace() if os.environ.get("SERA_TASKS_TRACE") else None
        self._each = float(os.environ.get("SERA_TASKS_EACH") or 0)
        self.apart = os.environ.get("SERA_TASKS_APART", "")
        self._numbers: Dict[_Place, int] = {}  # noqa: UP006
        self._timer: Any = None
        self._facts: Dict[str, Any] = {}  # noqa: UP006
        self._since = 0.0

    def wants(self, name: str) -> bool:
        """Whether a test is to run."""
        if self._files and name.partition("::")[0] not in self._files:
            return False
        return not self._wanted or name in self._wanted

    def in_order(self, tests: List[Any]) -> List[Any]:  # noqa: UP006
        """The tests as they are to run."""
        return tests[::-1] if self.apart == "backwards" else tests

    def alone(self, name: str, run: Callable[[], Any]) -> None:
        """Run a test in a process of its own, so that it leaves nothing to the next one's memory."""
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a fork of a process with threads, from Python 3.12 on
            child = os.fork()
        if not child:
            try:
                run()
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        if status and os.WEXITSTATUS(status) != LATE:
            self._write({"id": name, "outcome": "failed", "said": "it ends its process"})

    def broken(self, path: str, said: str) -> None:
        """A file that could not be collected."""
        self._write({"broken": path, "said": said[-1500:]})

    def begin(self, name: str) -> None:
        """A test starts."""
        self._facts = {"id": name, "outcome": "passed"}
        self._since = time.perf_counter()
        if self._each:
            self._timer = threading.Timer(self._each, self._late)
            self._timer.daemon = True
            self._timer.start()
        if self._trace:
            self._trace.begin()

    def failed(self, kind: str, said: str, line: int, inside: bool) -> None:
        """The test failed. `line` is where in its own file, `inside` whether the project itself raised."""
        if self._facts.get("outcome") != "failed":
            facts = {"outcome": "failed", "kind": kind, "said": said[:4000], "line": line, "inside": inside}
            self._facts.update(facts)

    def skipped(self) -> None:
        """The test was skipped, or its failure was expected."""
        if self._facts.get("outcome") == "passed":
            self._facts["outcome"] = "skipped"

    def end(self) -> None:
        """The test is over."""
        if self._timer:
            self._timer.cancel()
        if self._trace:
            seen = self._trace.end()
            for place in seen:
                if place not in self._numbers:
                    self._numbers[place] = len(self._numbers)
                    self._write({"place": place})
            self._facts["calls"] = [self._numbers[place] for place in seen]
        self._facts["seconds"] = round(time.perf_counter() - self._since, 4)
        self._write(self._facts)

    def _late(self) -> None:
        self._write(dict(self._facts, outcome="late", seconds=self._each))
        os._exit(LATE)

    def _write(self, facts: Dict[str, Any]) -> None:  # noqa: UP006
        self._file.write(json.dumps(facts, ensure_ascii=False) + "\n")
        self._file.flush()
