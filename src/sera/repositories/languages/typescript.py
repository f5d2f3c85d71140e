"""TypeScript, with TSX; a file of declarations only holds no functions."""

import re

from sera.repositories.languages.grammar import Grammar
from sera.repositories.languages.javascript import (
    GENERATED_NAME,
    OTHERS,
    TEST_PATH,
    tidy,
)
from sera.repositories.languages.scan import Syntax

TYPESCRIPT = Grammar(
    name="typescript",
    suffixes=(".ts", ".tsx", ".mts", ".cts"),
    module="tree_sitter_typescript",
    dialects={".tsx": "language_tsx"},
    default_dialect="language_typescript",
    syntax=Syntax(
        functions=("ecmascript", "typescript"),
        marks="ecmascript.marks",
        constructors=frozenset({"constructor"}),
        tidy=tidy,
    ),
    test_path=TEST_PATH,
    generated_name=GENERATED_NAME,
    declarations_name=re.compile(r"\.d\.[cm]?ts$|\.d\.\w+\.ts$"),
    other_content=b"<",
    vendored=OTHERS,
)
