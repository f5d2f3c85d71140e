"""What is found in sources of other languages than Python, and what is left out."""

import shutil
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repository_support import write

from sera.errors import UsageError
from sera.records import Function
from sera.repositories import FunctionIndex, IndexRules, index_functions, plan_tasks
from sera.repositories.languages import LANGUAGES, MISSING, Language, language_of
from sera.repositories.languages.go import tidy as go_name
from sera.repositories.languages.javascript import tidy as script_name
from sera.repositories.languages.rust import tidy as rust_name

SAMPLES = Path(__file__).parent / "languages"
BODIES = {
    "js": "function {name}(a) {{\n  const b = a;\n  use(b);\n  return b;\n}}\n",
    "ts": "function {name}(a: number): number {{\n  const b = a;\n  use(b);\n  return b;\n}}\n",
    "go": "func {name}(a int) int {{\n\tb := a\n\tuse(b)\n\treturn b\n}}\n",
    "rs": "fn {name}(a: i32) -> i32 {{\n    let b = a;\n    consume(b);\n    b\n}}\n",
    "java": "class C {{\n  int {name}(int a) {{\n    int b = a;\n    use(b);\n    return b;\n  }}\n}}\n",
}
AROUND = {
    "js": (
        "{}",
        "class X {{\n{}\n}}",
        "x = {{\n{}\n}}",
        "const x = {{ y: {{\n{}\n}} }}",
        "(\n{}\n)",
        "x = { {}",
    ),
    "go": ("package p\n{}",),
    "rs": ("{}", "impl X {{\n{}\n}}", "trait X {{\n{}\n}}", 'extern "C" {{\n{}\n}}'),
    "java": (
        "class X {{\n{}\n}}",
        "interface X {{\n{}\n}}",
        "enum X {{ A {{\n{}\n}} }}",
        "record X() {{\n{}\n}}",
    ),
}


def body(suffix: str, name: str = "work") -> str:
    return BODIES[suffix].format(name=name)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample files, in a place that is no directory of tests."""
    return Path(shutil.copytree(SAMPLES, tmp_path_factory.mktemp("samples") / "code"))


def told(found: FunctionIndex) -> list[str]:
    lines: list[str] = []
    for function in found.functions:
        if f"# {function.path}" not in lines:
            lines.append(f"# {function.path}")
        flag = " async" if function.is_async else ""
        reason = found.refused.get(function.id, "")
        place = f"{function.line}-{function.end_line}"
        lines.append(f"{place} {function.name} {function.kind}{flag} {function.statements} {reason}".rstrip())
    return lines


def test_every_function_of_the_samples(samples: Path) -> None:
    """Lines, names, kinds, statements and reasons, as a person counts them in the files."""
    found = index_functions(samples)
    assert told(found) == (SAMPLES / "expected.txt").read_text("utf-8").splitlines()
    assert {f.language for f in found.functions} == {"java", "go", "javascript", "typescript", "rust"}
    assert found.files == 6


def test_what_stands_before_a_function(samples: Path) -> None:
    by_name = {(f.language, f.name): f for f in index_functions(samples).functions}
    assert by_name["javascript", "read"].docstring == "Reads the thing."
    assert by_name["javascript", "join"].docstring == "Joins parts."
    assert by_name["go", "New"].docstring == "New makes one."
    assert by_name["go", "Map.Get"].docstring == ""
    assert by_name["rust", "add"].docstring == "Adds."
    assert by_name["rust", "add"].decorators == ("#[inline]", "#[must_use]")
    assert by_name["typescript", "C.m"].decorators == ("@Input()", "@dec({ a: 1 })")
    assert by_name["java", "Sample.run"].decorators == ("@Override", '@SuppressWarnings("unchecked")')
    assert by_name["java", "Sample.run"].docstring == "Runs it."


def test_callers_by_name(samples: Path, tmp_path: Path) -> None:
    by_name = {(f.language, f.name): f for f in index_functions(samples).functions}
    assert by_name["go", "New"].callers == ("sample.go:Handler", "sample.go:T.Do")
    assert by_name["rust", "Shape.area"].callers == ("sample.rs:Shape.twice",)
    files = {f"{n}.go": f"package p\nfunc Caller{n}() {{ Target() }}\n" for n in range(30)}
    twice = {"x.go": "package p\nfunc Target() {}\nfunc get() {}\nfunc a() { get() }\n"}
    found = {f.name: f for f in index_functions(write(tmp_path, files | twice)).functions}
    assert len(found["Target"].callers) == 20
    assert found["get"].callers == (), "a name that libraries use says nothing"


def stands_alone(text: str, function: Function, tmp_path: Path) -> bool:
    """Whether the lines of a function, and nothing else, read as that function again."""
    lines = text.split("\n")[function.line - 1 : function.end_line]
    suffix = Path(function.path).suffix
    kind = "js" if language_of(function.path).name.endswith("script") else suffix[1:]  # type: ignore[union-attr]
    own = function.name.rpartition(".")[2]
    for around in AROUND[kind]:
        wrapped = around.replace("{{", "{").replace("}}", "}").replace("{}", "\n".join(lines), 1)
        again = index_functions(write(tmp_path / own.strip("#"), {f"again{suffix}": wrapped}))
        if any(f.name.rpartition(".")[2] == own and f.lines == function.lines for f in again.functions):
            return True
    return False


def test_a_range_holds_its_function(samples: Path, tmp_path: Path) -> None:
    checked = 0
    for function in index_functions(samples).functions:
        text = (samples / function.path).read_text("utf-8")
        assert 1 <= function.line <= function.end_line <= text.count("\n") + 1
        if function.lines > 1 and not function.name.startswith("Sample.run.<"):
            checked += 1
            assert stands_alone(text, function, tmp_path), function
    assert checked >= 6


LEFT_OUT = [
    ("js", "a/node_modules/x/a.js", "vendored"),
    ("js", "dist/a.js", "generated"),
    ("js", "a.min.js", "generated"),
    ("js", "a_pb.js", "generated"),
    ("ts", "a.d.ts", "declarations"),
    ("go", "vendor/a.go", "vendored"),
    ("go", "a.pb.go", "generated"),
    ("rs", "target/a.rs", "generated"),
    ("java", "build/a/A.java", "generated"),
    ("java", "module-info.java", "declarations"),
]
TESTS = [
    ("js", "a.test.js"),
    ("js", "src/__tests__/a.js"),
    ("ts", "a.spec.ts"),
    ("ts", "test/a.ts"),
    ("go", "a_test.go"),
    ("rs", "tests/a.rs"),
    ("rs", "benches/a.rs"),
    ("java", "src/test/java/A.java"),
    ("java", "src/main/ATest.java"),
]


@pytest.mark.parametrize(("suffix", "path", "reason"), LEFT_OUT)
def test_files_left_out_by_name(suffix: str, path: str, reason: str, tmp_path: Path) -> None:
    found = index_functions(write(tmp_path, {path: body(suffix), f"src/build/ours.{suffix}": body(suffix)}))
    assert found.skipped == {reason: (path,)}
    assert [f.path for f in found.sampleable] == [f"src/build/ours.{suffix}"]


@pytest.mark.parametrize(("suffix", "path"), TESTS)
def test_tests_are_left_out(suffix: str, path: str, tmp_path: Path) -> None:
    found = index_functions(write(tmp_path, {path: body(suffix)}))
    assert found.left_out == {"test": 1}
    assert all(f.is_test for f in found.functions)


def test_files_left_out_by_content(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "made.go": "// Code generated by x. DO NOT EDIT.\n\npackage p\n" + body("go"),
        "made.js": "/*\n * @generated\n */\n" + body("js"),
        "dense.js": "x = 1;" + body("js").replace("\n", " ") * 200,
        "latin.rs": b"// caf\xe9\n" + body("rs").encode(),
        "null.js": body("js") + "\0",
        "large.js": body("js") + "// " + "x " * 20_000,
        "translation.ts": '<?xml version="1.0"?>\n<TS></TS>\n',
        "torn.js": "{" * 3000,
        "signs.js": "x = [" + "," * 40_000 + "]\n",
        "bom.js": b"\xef\xbb\xbf" + body("js").replace("\n", "\r\n").encode(),
        "old.ts": body("ts").replace("\n", "\r"),
    }
    found = index_functions(write(tmp_path, files), IndexRules(max_file_bytes=80_000))
    reasons = {path: reason for reason, paths in found.skipped.items() for path in paths}
    assert reasons == {
        "made.go": "generated",
        "made.js": "generated",
        "dense.js": "minified",
        "latin.rs": "bad encoding",
        "null.js": "bad encoding",
        "translation.ts": "other content",
        "torn.js": "syntax error",
        "signs.js": "minified",
        "large.js": "minified",
    }
    assert {(f.path, f.line, f.end_line) for f in found.functions} == {("bom.js", 1, 5), ("old.ts", 1, 5)}


@pytest.mark.parametrize("suffix", sorted(BODIES))
def test_broken_functions_are_left_out_and_their_neighbours_are_not(suffix: str, tmp_path: Path) -> None:
    broken = body(suffix, "broken").replace("return b", "return (b").replace("    b\n", "    b +\n")
    found = index_functions(write(tmp_path, {f"a.{suffix}": f"{body(suffix, 'fine')}\n{broken}"}))
    reasons = {f.name.rpartition(".")[2]: found.refused.get(f.id, "") for f in found.functions}
    assert reasons == {"fine": "", "broken": "syntax error"}


@pytest.mark.parametrize("suffix", sorted(BODIES))
def test_length_is_judged_as_in_python(suffix: str, tmp_path: Path) -> None:
    write(tmp_path, {f"a.{suffix}": body(suffix)})
    assert index_functions(tmp_path).left_out == {}
    assert index_functions(tmp_path, IndexRules(min_statements=4)).left_out == {"too short": 1}
    assert index_functions(tmp_path, IndexRules(max_lines=4)).left_out == {"too long": 1}


NESTS = [
    ("js", "function a(){", "}"),
    ("js", "[", "]"),
    ("ts", "(a,b)=>(", ")"),
    ("go", "func a(){if x{", "}}"),
    ("rs", "fn a(){", "}"),
    ("java", "class A{void m(){", "}}"),
]


@pytest.mark.parametrize(("suffix", "opening", "closing"), NESTS)
def test_deep_nesting_neither_crashes_nor_takes_long(
    suffix: str, opening: str, closing: str, tmp_path: Path
) -> None:
    depth = 4000
    text = f"{opening}\n" * depth + f"{closing}\n" * depth
    started = time.monotonic()
    found = index_functions(
        write(tmp_path, {f"whole.{suffix}": text, f"torn.{suffix}": f"{opening}\n" * depth})
    )
    assert time.monotonic() - started < 20
    assert all(f.end_line <= 2 * depth for f in found.functions)


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(alphabet="{}()[]<>;=`'\"/*#@ \nab.0fn=>class", max_size=120),
    suffix=st.sampled_from(sorted(BODIES)),
)
def test_no_text_is_too_strange(text: str, suffix: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    tree = tmp_path_factory.mktemp("strange")
    found = index_functions(write(tree, {f"a.{suffix}": body(suffix) + text}))
    lines = (body(suffix) + text).count("\n") + 1
    assert all(1 <= f.line <= f.end_line <= lines for f in found.functions)


# ── without the grammars ──────────────────────────────────────────────────────────────────────────


@pytest.fixture
def without_grammars(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the extra were not installed."""
    monkeypatch.setitem(sys.modules, "tree_sitter", None)


PYTHON = "def work(a):\n    b = a\n    use(b)\n    return b\n"


@pytest.mark.usefixtures("without_grammars")
def test_without_the_extra_python_is_read_and_the_rest_is_told(tmp_path: Path) -> None:
    files = {"a.py": PYTHON, "b.go": body("go"), "c.go": body("go"), "d.rs": body("rs"), "vendor/e.go": ""}
    found = index_functions(write(tmp_path, files))
    assert [f.path for f in found.sampleable] == ["a.py"]
    assert found.skipped == {MISSING: ("b.go", "c.go", "d.rs"), "vendored": ("vendor/e.go",)}
    assert found.notice == (
        'source files that were not read: 2 go, 1 rust. To read them: pip install "sera[languages]"'
    )


@pytest.mark.usefixtures("without_grammars")
def test_without_the_extra_other_languages_ask_for_it(tmp_path: Path) -> None:
    found = index_functions(write(tmp_path, {"b.go": body("go")}))
    with pytest.raises(UsageError, match=r'1 go\. To read them: pip install "sera\[languages\]"'):
        plan_tasks(found, "s", ["c"], ["d"], 1, 0)


def test_a_mixed_repository_in_the_order_of_its_files(tmp_path: Path) -> None:
    files = {"b/a.py": PYTHON, "a.go": body("go"), "c.rs": body("rs"), "b/z.ts": body("ts")}
    found = index_functions(write(tmp_path, files))
    assert [f.path for f in found.functions] == ["a.go", "c.rs", "b/a.py", "b/z.ts"]
    assert found.languages == {"go": 1, "rust": 1, "python": 1, "typescript": 1}
    assert found.notice == ""
    only = index_functions(tmp_path, IndexRules(languages=("python", "rust")))
    assert only.languages == {"rust": 1, "python": 1}
    assert only.skipped == {}


def test_a_language_of_which_there_is_little_is_left_aside(tmp_path: Path) -> None:
    body = "(a):\n    b = a + 1\n    c = b * 2\n    return c\n"
    (tmp_path / "most.py").write_text("".join(f"def f{n}{body}" for n in range(20)))
    (tmp_path / "page.js").write_text("function g(a) {\n  let b = a;\n  b += 1;\n  return b;\n}\n")
    found = index_functions(tmp_path)
    assert found.languages == {"python": 20}
    assert found.left_out == {"javascript beside the main language": 1}
    asked = index_functions(tmp_path, IndexRules(languages=("python", "javascript")))
    assert asked.languages == {"python": 20, "javascript": 1}


def test_no_suffix_belongs_to_two_languages() -> None:
    suffixes = [suffix for language in LANGUAGES for suffix in language.suffixes]
    assert len(suffixes) == len(set(suffixes))
    for language in LANGUAGES:
        whole: Language = language
        assert all(language_of(f"a/b.c{suffix}") is whole for suffix in language.suffixes)
    assert language_of("Makefile") is None
    assert language_of("a.js/b") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (script_name("module.exports.read"), "read"),
        (script_name("Parser . prototype\n.next"), "Parser.next"),
        (script_name("this"), "this"),
        (script_name("['a-b']"), "a-b"),
        (script_name("[a + b]"), ""),
        (go_name("*Server[K, V]"), "Server"),
        (rust_name("&'a mut io::Reader<Vec<T>>"), "Reader"),
        (rust_name("[T; N]"), "slice"),
        (rust_name("r#try"), "try"),
        (rust_name("dyn Shape + Send"), "Shape"),
    ],
)
def test_names(name: str, expected: str) -> None:
    assert name == expected
