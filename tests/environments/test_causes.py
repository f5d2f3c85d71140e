"""Causes, told by what programs say; summaries of runners that are not ours; other copies of the project."""

from pathlib import Path

import pytest
from environment_support import write_tree

from sera.environments.causes import Place, find_cause
from sera.environments.copies import replace_copies
from sera.environments.own_runners import OWN_RUNNERS, count_tests, read_failures, read_summary, sample

INDEX, CONTRADICT = "the package index cannot be reached", "the requirements contradict each other"
NETWORK = "it needs the network, which a sandbox does not have"
SAID = [
    ("sandbox", "foo.c:3:10: fatal error: libxml/tree.h: No such file or directory", "a C header is missing: libxml/tree.h"),
    ("sandbox", "x.c:1: fatal error: Python.h: No such file", "the headers of Python are missing"),
    ("sandbox", "error: command 'gcc' failed: No such file or directory", "there is no C compiler in the sandbox"),
    ("sandbox", "/usr/bin/ld: cannot find -lpq: No such file", "a system library is missing: pq"),
    ("sandbox", "ImportError: libGL.so.1: cannot open shared object file", "a system library is missing: libGL.so.1"),
    ("sandbox", "error: can't find Rust compiler", "it needs Rust, which the sandbox has not"),
    ("sandbox", "ModuleNotFoundError: No module named 'distutils'", "this Python is too new for the project (it uses distutils)"),
    ("sandbox", "ImportError: cannot import name 'Mapping' from 'collections' (/usr/lib/x)", "this Python is too new for the project (it uses Mapping)"),
    ("sandbox", "ModuleNotFoundError: No module named 'pkg_resources'", "it uses pkg_resources, which new setuptools no longer have"),
    ("sandbox", "ModuleNotFoundError: No module named 'requests_mock'", "a module is missing: requests_mock"),
    ("sandbox", "socket.gaierror: [Errno -3] Temporary failure in name resolution", NETWORK),
    ("sandbox", "urllib3.exceptions.MaxRetryError: HTTPSConnectionPool(host='example.org', port=443): Max retries exceeded with url: /", NETWORK),
    ("sandbox", "OSError: [Errno 101] Network is unreachable", NETWORK),
    ("sandbox", "fatal: unable to access 'https://example.org/': Could not resolve host: example.org", NETWORK),
    ("installer", "  cause: Failed to fetch: http://127.0.0.1:9/simple/flask/", INDEX),
    ("installer", "WARNING: Retrying after connection broken by 'NewConnectionError('<x>: Failed to establish a new connection')'", INDEX),
    ("sandbox", "OSError: [Errno 28] No space left on device", "the disk is full"),
    ("installer", "  Because docopt==0.6.2 has no usable wheels and", "a dependency has no wheel: docopt"),
    ("installer", "  Because markupsafe>=0.23,<2.0 has no usable wheels and jinja2==2.11.2", "a dependency has no wheel: markupsafe"),
    ("installer", "  cause: Because all versions of docopt have no usable wheels and you", "a dependency has no wheel: docopt"),
    ("installer", "hint: Wheels are required for `cffi` because building from source is disabled", "a dependency has no wheel: cffi"),
    ("installer", "building source distributions is disabled", "a dependency has no wheel"),
    ("installer", "  Because nosuch-thing was not found in the package registry and you", "the index does not have nosuch-thing"),
    ("installer", "  cause: Because there is no version of flask==99 and you require", "the index has no such release of flask"),
    ("installer", "hint: `httpx` was filtered by `exclude-newer` to only include packages", "no release that is asked for is as old as the packages are to be: httpx"),
    ("installer", "ERROR: ResolutionImpossible: for help", CONTRADICT),
    ("sandbox", "E   AssertionError: these types are incompatible", "an assertion of the test fails"),
    ("sandbox", "E   fixture 'mocker' not found", "a plugin of the test runner is missing (mocker)"),
    ("sandbox", "async def functions are not natively supported.", "a plugin of the test runner is missing: one for asynchronous tests"),
    ("sandbox", "AttributeError: module 'werkzeug' has no attribute '__version__'", "a package has another version than the project expects: __version__ is missing from it"),
    ("sandbox", "TypeError: set_cookie() got an unexpected keyword argument 'charset'", "a package has another version than the project expects: charset is missing from it"),
    ("sandbox", "E   pytest.PytestRemovedIn9Warning: Passing None has been deprecated.", "a package warns of something the project uses, and the tests take that as an error (PytestRemovedIn9Warning)"),
    ("sandbox", "subprocess.CalledProcessError: Command '['make', 'x']' returned non-zero exit status 1.", "a command that the test runs fails"),
    ("sandbox", "LookupError: setuptools-scm was unable to detect version for /x", "the build takes the version from tags, which a snapshot does not have"),
    ("sandbox", "all is well\nlast line", "the cause is not recognised"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "said", "cause"), SAID, ids=[said[:30] for _, said, _ in SAID])
def test_cause(place: Place, said: str, cause: str) -> None:
    found = find_cause(f"a first line\n{said}\nand more", place)
    assert found.cause == cause
    if found.cure:
        assert said.splitlines()[0].strip() in found.said
    else:
        assert found.said == "and more"


def test_summaries() -> None:
    unittest = "Ran 10 tests in 1.2s\n\nFAILED (failures=1, errors=2, skipped=3, expected failures=1)\n"
    assert read_summary(unittest) == {"passed": 4, "failed": 3, "skipped": 3}
    assert read_summary("Ran 4 tests in 0.1s\n\nOK\n") == {"passed": 4, "failed": 0, "skipped": 0}
    sympy = "== tests finished: 38 passed, 1 failed, 2 skipped, 1 expected to fail, 1 exceptions, in 1.2 seconds =="
    assert read_summary(sympy) == {"passed": 39, "failed": 2, "skipped": 2}
    pytest_of_sympy = "===== 114 passed, 2 deselected, 1 xfailed, 1 warning in 325.95s (0:05:25) ======"
    assert read_summary(pytest_of_sympy) == {"passed": 115, "failed": 0, "skipped": 0}
    assert read_summary("Segmentation fault") is None


def test_failures_by_name() -> None:
    output = "ERROR: test_a (x.T)\nKeyError: 3\n=====\nFAIL: test_b (x.T)\nAssertionError\n"
    assert [name for name, _ in read_failures(output)] == ["test_a (x.T)", "test_b (x.T)"]
    assert "KeyError" in read_failures(output)[0][1]
    assert read_failures("fine") == []


def test_a_sample_is_even(tmp_path: Path) -> None:
    text = "class T:\n    def test_a(self): pass\n    def help(self): pass\nasync def test_b(): pass\n"
    tree = write_tree(tmp_path, {f"tests/app{n:02}/tests.py": text for n in range(24)})
    units = sample(OWN_RUNNERS["django"], tree)
    assert units == ["app02", "app06", "app10", "app14", "app18", "app22"]
    assert count_tests(OWN_RUNNERS["django"], tree) == 48


def test_other_copies_lead_to_the_tree(tmp_path: Path) -> None:
    packages = "lib/python3.11/site-packages"
    write_tree(tmp_path, {
        f"{packages}/mine/__init__.py": "an older release",
        f"{packages}/pip/_vendor/mine/__init__.py": "a copy",
        f"{packages}/setuptools/_vendor/mine.py": "a copy",
        f"{packages}/other/mine/__init__.py": "only of that name",
        f"{packages}/linked/data.txt": "",
    })  # fmt: skip
    said = replace_copies(tmp_path, {"mine": "/testbed/src/mine"})
    assert len(said) == 3
    assert not (tmp_path / packages / "mine").exists()
    assert (tmp_path / packages / "other" / "mine").is_dir()
    for copy in ("pip/_vendor/mine", "setuptools/_vendor/mine.py"):
        assert (tmp_path / packages / copy).readlink() == Path("/testbed/src/mine")
    assert replace_copies(tmp_path, {"mine": "/testbed/src/mine"}) == []
