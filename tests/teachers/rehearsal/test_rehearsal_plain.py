"""How the rehearsal teacher finds and changes functions of languages that it does not parse."""

import pytest

from sera.teachers.rehearsal.dice import Dice, digest
from sera.teachers.rehearsal.edits import (
    PLAIN_MAKERS,
    Alteration,
    candidates,
    every_kind,
    kinds,
    make,
    plain_kinds,
)
from sera.teachers.rehearsal.sight import read_outline
from sera.teachers.rehearsal.source import PlainCode, read_code
from sera.teachers.rehearsal.tongues import named_by, tongue_of

DEFINITIONS = [
    ("export async function readAll(path) {", "readAll"),
    ("function* items() {", "items"),
    ("const add = async (a, b) => {", "add"),
    ("module.exports.open = function (a) {", "open"),
    ("  handler = (event: Event): void => {", "handler"),
    ("  static async load(name) {", "load"),
    ("  private async run<T>(x: Promise<T>): Promise<T> {", "run"),
    ("func New(n int) *Queue {", "New"),
    ("func (q *Queue[T]) Push(item T) error {", "Push"),
    ("func Map[K comparable, V any](m map[K]V) []V {", "Map"),
    ("    pub(crate) fn push<'a, T: Into<u8>>(&'a mut self) -> u8 {", "push"),
    ("pub async unsafe fn go() {", "go"),
    ("    public static <T> List<T> of(T one) throws IOException {", "of"),
    ("    @Override public String print(Names names) {", "print"),
]
OTHERS = [
    "if (a > 1) {",
    "} else if (x) {",
    "for (const a of b) {",
    "  while (true) {",
    "// fn old() {",
    "x = 1;",
]


@pytest.mark.parametrize(("line", "name"), DEFINITIONS)
def test_lines_that_define_a_function(line: str, name: str) -> None:
    assert named_by(line) == ("def", name)


@pytest.mark.parametrize("line", OTHERS)
def test_lines_that_define_nothing(line: str) -> None:
    assert named_by(line) is None


def test_an_outline_with_its_owners() -> None:
    found = [
        "4 src/lib.rs",
        "1:impl<T> Shape for Square<T> {",
        "2:    fn area(&self) -> f64 {",
        "9:fn area() {",
    ]
    outline = read_outline("\n".join(found), "src/lib.rs")
    inner = outline.find("area", 2)
    assert inner is not None
    assert outline.owner(inner) == "Square."
    assert outline.ambiguous("area")
    assert outline.find("Square", 1) is None


SOURCES: dict[str, tuple[str, str]] = {
    "name_number": ("a.go", "func f(n int) int {\n\tm := n\n\tif m > 10 {\n\t\treturn 1\n\t}\n\treturn m\n}"),
    "strict_comparison": ("a.ts", "function f(n) {\n  const m = n;\n  if (m == 1) {\n    return 2;\n  }\n}"),
    "constant_first": (
        "A.java",
        '  int f(String n) {\n    if (n.equals("x")) {\n      return 1;\n    }\n  }',
    ),
    "reason_to_expect": ("a.rs", "fn f(n: Option<i32>) -> i32 {\n    let m = n.unwrap();\n    m\n}"),
    "describe": ("a.js", "const f = (n) => {\n  return n;\n};"),
    "explain": ("a.js", "const f = (n) => {\n  return n;\n};"),
}
CHANGED = {
    "name_number": ["+\tconst limit = 10", "+\tif m > limit {"],
    "strict_comparison": ["+  if (m === 1) {"],
    "constant_first": ['+    if ("x".equals(n)) {'],
    "reason_to_expect": ['+    let m = n.expect("f: a value is present here");'],
}


def read(path: str, text: str) -> PlainCode:
    seen = dict(enumerate(["", *text.split("\n"), "", "rest"], 1))
    code = read_code(path, seen, 2, "f", len(seen))
    assert isinstance(code, PlainCode)
    assert "\n".join(code.lines) == text
    return code


def added(alteration: Alteration) -> list[str]:
    return [f"+{line}" for hunk in alteration.hunks for line in hunk.new if line not in hunk.old]


@pytest.mark.parametrize("kind", PLAIN_MAKERS)
def test_each_kind(kind: str) -> None:
    made = make(kind, read(*SOURCES[kind]))
    assert made is not None
    if kind in CHANGED:
        assert added(made) == CHANGED[kind]
    else:
        assert len(added(made)) == 2
        assert all(line.lstrip("+ ").startswith("//") for line in added(made)), "comments only"


def test_a_function_that_is_not_seen_to_its_end_is_left_alone() -> None:
    seen = {1: "function f(n) {", 2: "  return n;"}
    assert read_code("a.js", seen, 1, "f", 9) is None


def test_what_looks_alike_is_left_alone() -> None:
    """A number in a string or a comment, a comparison with null, code in the middle of a statement."""
    lines = ['  if (s === "a > 10") {', "  // x > 10", "  if (m == null) {", "  y = a ||", "  if (m > 10) {"]
    code = read("a.js", "\n".join(["function f(n) {", *lines, "}"]))
    assert make("name_number", code) is None
    assert make("strict_comparison", code) is None
    assert make("reason_to_expect", code) is None
    assert make("guard_none", code) is None, "a kind of edit to Python"


def test_every_kind_has_its_words() -> None:
    assert PLAIN_MAKERS.keys() == plain_kinds().keys() == SOURCES.keys()
    assert kinds().keys().isdisjoint(plain_kinds())
    assert every_kind() == kinds() | plain_kinds()
    order = candidates("null_safety", Dice(digest("x")), "a/b.java")
    assert sorted(order) == sorted(PLAIN_MAKERS)
    assert order[-1] in ("describe", "explain")
    assert tongue_of("a.py") is None
