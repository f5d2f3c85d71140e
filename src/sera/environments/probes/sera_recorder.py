"""Writes down what becomes of a run of tests while it runs, so that one that ends early has told all it did.

Lines of JSON, only ever added:

    {"begun": NAME}                                  a file is read in, or a test starts
    {"broken": FILE, "said": TEXT}                   a file that cannot be read in
    {"collected": N, "chosen": N}                    how many tests there are, and how many are to run
    {"place": [FILE, LINE]}                          a function; places are numbered as they come
    {"id": NAME, "outcome": …, "calls": [PLACE, …]}  a test is over; "same": N for the Nth list of calls
    {"end": WHY}                                     the runner is through; WHY: what made it stop before

Tests do things to their interpreter: they replace functions of modules and builtins, stop clocks, close
descriptors, fork. So what is called here later was taken before any of them ran.

Settings come from the environment: SERA_TASKS_ANSWER, the file that grows (when it is full, ANSWER.1 and so
on); SERA_TASKS_MOST, the size of an even sample; or else SERA_TASKS_WANTED, a JSON list of the tests to run
(empty: all), and SERA_TASKS_FILES, a JSON list of files to which they are confined; SERA_TASKS_TRACE,
whether to note functions; SERA_TASKS_EACH, the seconds that one test may take: the first that takes longer
ends the process; SERA_TASKS_APART, `forwards` or `backwards`: each test runs in a process of its own, forked
once all are read in, in that order.
"""

import builtins
import json
import os
import sys
import threading
import time
import warnings
from json.encoder import encode_basestring_ascii
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

globals()["__builtins__"] = dict(vars(builtins))
ROOT = os.getcwd() + os.sep  # noqa: PTH109  (every test pays for what is imported)
LATE = 77
"""Exit code after a test that did not end."""
_AFTERWARDS = 2.0
"""Seconds for what the runner does last; threads and exit handlers that tests left would hold it for ever."""
_PIECE = 1 << 20
"""Bytes of one file of the answer."""
_TOOL = 4
_MOST_CALLS = 100_000
"""Calls of one test that are looked at before Python 3.12, where each takes time."""
_Place = Tuple[str, int]


class Stream:
    """The answer. A process that a test forks off adds nothing to it."""

    def __init__(self, path: str) -> None:
        self._open, self._write, self._close = os.open, os.write, os.close
        self._fstat, self._getpid, self._access = os.fstat, os.getpid, os.access
        self._flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        self._quote = encode_basestring_ascii
        self._owner, self._path = os.getpid(), path
        self._piece = 0
        self._start()

    def take_over(self) -> None:
        """Let this process, which was forked off, add to it from now on."""
        self._owner = self._getpid()

    def add(self, facts: Dict[str, Any]) -> None:
        """Add a line."""
        if self._getpid() != self._owner:
            return
        line = (self._json(facts) + "\n").encode("ascii")
        if not self._is_open():
            self._start()
        while self._is_full(len(line)):
            self._close(self._file)
            self._piece += 1
            self._start()
        while line:
            line = line[self._write(self._file, line) :]

    def _start(self) -> None:
        self._file = self._open(self._name(self._piece), self._flags, 0o644)
        self._identity = self._fstat(self._file)[1:3]  # inode and device

    def _name(self, piece: int) -> str:
        return f"{self._path}.{piece}" if piece else self._path

    def _is_full(self, more: int) -> bool:
        """Whether a line has no room in this piece, or a test that ran apart has begun the next one."""
        size = self._fstat(self._file)[6]
        return (size > 0 and size + more > _PIECE) or self._access(self._name(self._piece + 1), os.F_OK)

    def _is_open(self) -> bool:
        """Whether the descriptor is ours, and of a file that can be found: a test may have closed it, and its
        number is then another's, or removed the file."""
        try:
            facts = self._fstat(self._file)
            return facts[1:3] == self._identity and facts[3] > 0
        except OSError:
            return False

    def _json(self, value: Any) -> str:
        """JSON of what is written here, without the module, which tests replace parts of."""
        if isinstance(value, str):
            return self._quote(value.encode("utf-8", "replace").decode("utf-8"))
        if isinstance(value, dict):
            return (
                "{" + ",".join([f"{self._quote(key)}:{self._json(one)}" for key, one in value.items()]) + "}"
            )
        if isinstance(value, (list, tuple)):
            return "[" + ",".join([self._json(one) for one in value]) + "]"
        return str(value).lower()  # numbers, True and False


class Trace:
    """The functions of the working tree that are called meanwhile, by file and first line."""

    def __init__(self) -> None:
        self._monitoring = getattr(sys, "monitoring", None)
        self._trace, self._trace_threads = sys.settrace, threading.settrace
        self._left = 0
        self._seen: Dict[int, Any] = {}  # by identity: to hash a code object takes long
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
            self._trace_threads(self._called)
            self._trace(self._called)

    def end(self) -> List[_Place]:
        """Look no more; what was seen, sorted."""
        if not self._monitoring:
            self._trace(None)
            self._trace_threads(None)
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
            self._trace(None)


class Recorder:
    """One run of tests."""

    def __init__(self) -> None:
        self._stream = Stream(os.environ["SERA_TASKS_ANSWER"])
        most = os.environ.get("SERA_TASKS_MOST", "")
        self._most = int(most) if most else None
        self._wanted: Set[str] = set()
        if os.environ.get("SERA_TASKS_WANTED"):
            with open(os.environ["SERA_TASKS_WANTED"], encoding="utf-8") as file:  # noqa: PTH123
                self._wanted.update(json.load(file))
        self._files: List[str] = json.loads(os.environ.get("SERA_TASKS_FILES") or "[]")
        self._trace = Trace() if os.environ.get("SERA_TASKS_TRACE") else None
        self._each = float(os.environ.get("SERA_TASKS_EACH") or 0)
        self._clock, self._exit, self._make_timer = time.perf_counter, os._exit, threading.Timer
        self._is_backwards = os.environ.get("SERA_TASKS_APART") == "backwards"
        self.apart = bool(os.environ.get("SERA_TASKS_APART"))
        self._collected: Optional[int] = None
        self._places: Dict[_Place, int] = {}
        self._sets: Dict[Tuple[int, ...], int] = {}
        self._timer: Any = None
        self._facts: Dict[str, Any] = {}
        self._since = 0.0

    def read_in(self, path: str) -> None:
        """A file is about to be read in."""
        self._stream.add({"begun": path})

    def broken(self, path: str, said: str) -> None:
        """A file could not be read in."""
        self._stream.add({"broken": path, "said": said[-1500:]})

    def choose(
        self,
        tests: List[Any],
        name_of: Callable[[Any], str],
        is_example: Callable[[Any], bool],
    ) -> List[Any]:
        """Those of all tests that are to run. Examples in docstrings stand in what a task is about: they are
        only part of a sample."""
        self._collected = count = len(tests)
        if self._most is not None:
            most = min(self._most, count)
            return [tests[number * count // most] for number in range(most)]
        chosen = [test for test in tests if not is_example(test) and self._wants(name_of(test))]
        return chosen[::-1] if self._is_backwards else chosen

    def _wants(self, name: str) -> bool:
        if self._files and name.partition("::")[0] not in self._files:
            return False
        return not self._wanted or name in self._wanted

    def chosen(self, names: List[str]) -> None:
        """All is read in, and these tests follow; but for what ended the reading."""
        if self._collected is not None:
            self._stream.add({"collected": self._collected, "chosen": len(set(names))})

    def alone(self, name: str, run: Callable[[], Any]) -> None:
        """Run a test in a process of its own, so that it leaves nothing to the next one's memory."""
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a fork of a process with threads, from Python 3.12 on
            child = os.fork()
        if not child:
            self._stream.take_over()
            try:
                run()
                self._exit(0)
            finally:
                self._exit(1)
        _, status = os.waitpid(child, 0)
        if status and os.WEXITSTATUS(status) != LATE:
            self._stream.add({"id": name, "outcome": "failed", "said": "it ends its process"})

    def begin(self, name: str) -> None:
        """A test starts."""
        self._facts = {"id": name}
        self._stream.add({"begun": name})
        self._since = self._clock()
        if self._each:
            self._timer = self._make_timer(self._each, self._late)
            self._timer.daemon = True
            self._timer.start()
        if self._trace:
            self._trace.begin()

    def passed(self) -> None:
        """The test passed, as far as it got."""
        self._facts.setdefault("outcome", "passed")

    def failed(self, kind: str, said: str, line: int, inside: bool) -> None:
        """The test failed. `line` is where in its own file, `inside` whether the project itself raised."""
        if self._facts.get("outcome") != "failed":
            facts = {"outcome": "failed", "kind": kind, "said": said[:4000], "line": line, "inside": inside}
            self._facts.update(facts)

    def skipped(self) -> None:
        """The test was skipped, or its failure was expected."""
        if self._facts.get("outcome") != "failed":
            self._facts["outcome"] = "skipped"

    def seen(self) -> Optional[List[_Place]]:
        """The functions that the test has called, if they are noted."""
        return self._trace.end() if self._trace else None

    def end(self, seen: Optional[List[_Place]] = None) -> None:
        """The test is over. One of which nothing was said has not ended."""
        if self._timer:
            self._timer.cancel()
        if "outcome" not in self._facts:
            return
        if seen:
            numbers = tuple([self._number(place) for place in seen])
            if numbers in self._sets:
                self._facts["same"] = self._sets[numbers]
            else:
                self._sets[numbers] = len(self._sets)
                self._facts["calls"] = numbers
        self._facts["seconds"] = round(self._clock() - self._since, 4)
        self._stream.add(self._facts)

    def finish(self, why: str) -> None:
        """The runner is through; `why` it stopped before its last test, if it did."""
        self._stream.add({"end": why[:1500]})
        last = self._make_timer(_AFTERWARDS, self._exit, [0])
        last.daemon = True
        last.start()

    def _number(self, place: _Place) -> int:
        if place not in self._places:
            self._places[place] = len(self._places)
            self._stream.add({"place": place})
        return self._places[place]

    def _late(self) -> None:
        self._stream.add(dict(self._facts, outcome="late", seconds=self._each))
        self._exit(LATE)
