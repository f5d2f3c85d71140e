"""Recall against an independent reading of its definition, and the diffs on which the figures part."""

import difflib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sera.generation.recall import compare, explain, verification


def plain_recall(a: str, b: str) -> tuple[int, int, int]:
    """The paper's measure, written a second time from the definition: lists, no multisets."""

    def read(diff: str) -> list[str]:
        kept = []
        for line in diff.split("\n"):
            header = line[:3] in ("+++", "---")
            if line[:1] in ("+", "-") and not header and not (line[1:] == "" or line[1:].isspace()):
                kept.append(line)
        return kept

    mine, theirs = read(a), read(b)
    remaining = list(theirs)
    common = 0
    for line in mine:
        if line in remaining:
            remaining.remove(line)
            common += 1
    return len(mine), len(theirs), common


def diff(before: str, after: str, path: str = "app/core.py") -> str:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{path}", f"b/{path}"
    )
    body = "".join(line if line.endswith("\n") else line + "\n" for line in lines)
    return f"diff --git a/{path} b/{path}\n{body}" if body else ""


code = st.lists(
    st.sampled_from(["x = 1", "    x = 1", "", "   ", "-- drop table", "++ odd", "return x", "ünï", "@@ x"]),
    max_size=8,
).map(lambda lines: "".join(line + "\n" for line in lines))
patches = st.tuples(code, code, st.sampled_from(["app/core.py", "a b.py"])).map(lambda parts: diff(*parts))
FRAGMENTS = """\
diff --git a/x b/x
diff --git x y
--- a/x
+++ b/x
+++ /dev/null
@@ -1 +1 @@
@@ -0,0 +1,2 @@
+x
-x
--- x
+++ y
rename from x
old mode 100644
new mode 100755
new file mode 100644
deleted file mode 100644
index 1..2 100644
Binary files a/x and b/x differ
Binary files x has changed
GIT binary patch
\\ No newline at end of file
"""
fragments = st.lists(st.sampled_from([*FRAGMENTS.splitlines(), "+", "-", "", "+\r"]), max_size=12).map(
    "\n".join
)
anything = st.one_of(patches, fragments, st.text(alphabet="+-@ ab/\n\r\t\x0c\u2028", max_size=60))


@given(anything, anything)
@example("", "")
@example("--- x\n+a", "+a\n+a")
def test_recall_is_the_definition(a: str, b: str) -> None:
    agreement = compare(a, b)
    mine, theirs, common = plain_recall(a, b)
    assert (agreement.lines_a, agreement.lines_b, agreement.common) == (mine, theirs, common)
    assert agreement.recall == (common / mine if mine else 0)
    assert agreement.precision == (common / theirs if theirs else 0)
    total = agreement.recall + agreement.precision
    harmonic = 2 * agreement.recall * agreement.precision / total if total else 0
    assert agreement.f1 == pytest.approx(harmonic)
    assert 0 <= agreement.file_recall <= 1


@given(anything, anything)
def test_the_explanation_adds_up(a: str, b: str) -> None:
    agreement, matches = compare(a, b), explain(a, b)
    assert len(matches) == agreement.lines_a
    assert sum(match.matched for match in matches) == agreement.common


@given(patches, patches)
def test_swapping_swaps_recall_and_precision(a: str, b: str) -> None:
    there, back = compare(a, b), compare(b, a)
    assert (there.recall, there.precision, there.f1) == (back.precision, back.recall, back.f1)


@given(patches)
def test_a_patch_agrees_with_itself(patch: str) -> None:
    agreement = compare(patch, patch)
    assert agreement.recall in (0, 1)
    assert agreement.recall == (1 if agreement.lines_a else 0)
    assert agreement.file_recall >= agreement.recall


def test_repeated_lines_count_as_often_as_both_have_them() -> None:
    agreement = compare("+x\n+x\n+x\n+y", "+x\n+x\n+z")
    assert (agreement.common, agreement.recall, agreement.precision) == (2, 2 / 4, 2 / 3)


def test_sign_and_indentation_matter() -> None:
    assert compare("+x", "-x").recall == 0
    assert compare("+x", "+ x").recall == 0


def test_a_removed_sql_comment_is_lost_to_recall_only() -> None:
    patch = diff("-- old\nselect 1\n", "select 1\n", "q.sql")
    agreement = compare(patch, patch)
    assert (agreement.recall, agreement.lines_a, agreement.file_recall) == (0, 0, 1)


def test_the_same_lines_in_another_file_count_for_recall_only() -> None:
    agreement = compare(diff("", "x = 1\n", "one.py"), diff("", "x = 1\n", "two.py"))
    assert (agreement.recall, agreement.file_recall) == (1, 0)


RENAME = """diff --git a/old.py b/new.py
similarity index 90%
rename from old.py
rename to new.py
--- a/old.py
+++ b/new.py
@@ -1 +1 @@
-x = 1
+x = 2
"""
MODE = "diff --git a/run.sh b/run.sh\nold mode 100644\nnew mode 100755\n"
BINARY = (
    "diff --git a/i.png b/i.png\nindex 12ab34c..98fe76d 100644\nBinary files a/i.png and b/i.png differ\n"
)
LITERAL = (
    "diff --git a/i.png b/i.png\nindex 12ab34c..98fe76d 100644\n"
    "GIT binary patch\nliteral 4\nLcmZQzWMT#Y01f~L\n\nliteral 0\nHcmV?d00001\n\n"
)
CREATED = "diff --git a/p/__init__.py b/p/__init__.py\nnew file mode 100644\nindex 0000000..e69de29\n"
DELETED = "diff --git a/p/__init__.py b/p/__init__.py\ndeleted file mode 100644\nindex e69de29..0000000\n"


@pytest.mark.parametrize("patch", [MODE, BINARY, LITERAL, CREATED, DELETED])
def test_changes_without_lines_are_one_item_each(patch: str) -> None:
    line = diff("", "x = 1\n", "one.py")
    agreement = compare(patch + line, line)
    assert (agreement.recall, agreement.file_recall) == (1, 1 / 2)
    assert compare(patch, patch).file_recall == 1
    assert compare(patch, patch).recall == 0


def test_creating_and_deleting_are_not_the_same() -> None:
    assert compare(CREATED, DELETED).file_recall == 0


def test_a_rename_is_one_item_and_its_lines_stand_in_the_new_path() -> None:
    in_place = diff("x = 1\n", "x = 2\n", "new.py")
    agreement = compare(RENAME, in_place)
    assert (agreement.recall, agreement.file_recall) == (1, 2 / 3)
    assert {match.file for match in explain(RENAME, in_place)} == {"new.py"}


def test_a_malformed_diff_still_has_the_papers_recall() -> None:
    broken = "--- a/x\n+++ b/x\n@@ -1,9 +1,9 @@\n+x = 1\n"
    agreement = compare(broken, broken)
    assert (agreement.recall, agreement.file_recall) == (1, 0)
    assert [match.file for match in explain(broken, broken)] == [""]


def test_the_explanation_names_each_line() -> None:
    a = diff("x = 1\n", "x = 2\n\n    y = 3\n", "app/one.py")
    matches = explain(a, diff("x = 1\n", "x = 2\n", "app/one.py"))
    assert [(m.sign, m.text, m.file, m.matched) for m in matches] == [
        ("-", "x = 1", "app/one.py", True),
        ("+", "x = 2", "app/one.py", True),
        ("+", "    y = 3", "app/one.py", False),
    ]


@pytest.mark.parametrize(
    ("recall", "name"), [(1.0, "hard"), (0.99, "soft"), (0.01, "soft"), (0.0, "unverified")]
)
def test_the_classes_of_verification(recall: float, name: str) -> None:
    assert verification(recall) == name
