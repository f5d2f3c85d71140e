"""Go."""

import re

from sera.repositories.languages.grammar import Grammar
from sera.repositories.languages.scan import Syntax


def tidy(text: str) -> str:
    """`*Server[K, V]` → `Server`; other names stay as they are."""
    return text.partition("[")[0].strip("*() \t\n")


GO = Grammar(
    name="go",
    suffixes=(".go",),
    module="tree_sitter_go",
    syntax=Syntax(
        functions=("go",),
        marks="go.marks",
        tidy=tidy,
    ),
    test_path=re.compile(r"_test\.go$|(^|/)(testdata|testing|tests?|testutils?|internal/test\w*)/"),
    generated_name=re.compile(r"\.pb(\.gw)?\.go$|^zz_generated\.|_generated\.go$|^bindata\.go$"),
)
