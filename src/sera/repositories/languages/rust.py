"""Rust. A block's last expression counts as a statement, as does every arm of a match."""

import re

from sera.repositories.languages.grammar import Grammar
from sera.repositories.languages.scan import Syntax

_GENERIC = re.compile(r"<[^<>]*>")
_REFERENCE = re.compile(r"^&?\s*('\w+\s+)?((mut|dyn|impl|r#)\s*)*")


def tidy(text: str) -> str:
    """`&'a mut module::Reader<T>` → `Reader`; a type without a name, such as `[T]`, is `slice` or `tuple`."""
    while (shorter := _GENERIC.sub("", text)) != text:
        text = shorter
    text = _REFERENCE.sub("", text.strip())
    if text.startswith(("[", "(", "fn", "*")) and not text.isidentifier():
        return {"[": "slice", "(": "tuple", "*": "pointer"}.get(text[0], "fn")
    return text.rpartition("::")[2].partition(" ")[0].strip()


RUST = Grammar(
    name="rust",
    suffixes=(".rs",),
    module="tree_sitter_rust",
    syntax=Syntax(
        functions=("rust",),
        marks="rust.marks",
        tests=re.compile(
            r"^#\[\s*(cfg\s*\(\s*((all|any)\s*\(\s*)?test\b|([\w:]+::)?test\b|bench\b|test_case|rstest)"
        ),
        tidy=tidy,
    ),
    test_path=re.compile(r"(^|/)(tests|benches|testdata|fuzz)/|(^|/)tests?\.rs$|_tests?\.rs$"),
    generated_name=re.compile(r"^bindings\.rs$|\.generated\.rs$|_generated\.rs$"),
)
