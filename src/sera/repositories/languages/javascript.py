"""JavaScript, with JSX."""

import re

from sera.repositories.languages.grammar import Grammar
from sera.repositories.languages.scan import Syntax
from sera.repositories.modules import VENDORED

TEST_PATH = re.compile(
    r"(^|/)(tests?|testing|spec|specs|e2e|cypress|__tests__|__mocks__|__fixtures__|fixtures)/"
    r"|[._-](test|tests|spec|e2e|bench|cy|stories)\.[cm]?[jt]sx?$"
    r"|(^|/)(tests?|spec|(jest|vitest|karma|playwright|cypress)\.(config|setup))\.[cm]?[jt]sx?$"
)
GENERATED_NAME = re.compile(r"[.-](min|bundle|generated|gen)\.[cm]?[jt]sx?$|_pb\.[jt]s$|\.g\.[jt]s$")
OTHERS = VENDORED | {"bower_components", "jspm_packages", ".yarn"}

_DROPPED = frozenset({"module", "exports", "this", "prototype", "window", "global", "globalThis", "self"})
_PART = re.compile(r"#?[\w$-]+|[^\W\d][\w$-]*")


def tidy(text: str) -> str:
    """`module.exports.read` → `read`, `Parser.prototype.next` → `Parser.next`, `['a-b']` → `a-b`."""
    plain = "".join(text.split()).replace("?.", ".").strip("[]")
    parts = [part.strip("'\"`") for part in plain.split(".")]
    kept = [part for n, part in enumerate(parts) if part not in _DROPPED or len(parts) == 1]
    return ".".join(kept) if all(map(_PART.fullmatch, kept)) else ""


JAVASCRIPT = Grammar(
    name="javascript",
    suffixes=(".js", ".jsx", ".mjs", ".cjs"),
    module="tree_sitter_javascript",
    syntax=Syntax(
        functions=("ecmascript", "javascript"),
        marks="ecmascript.marks",
        constructors=frozenset({"constructor"}),
        tidy=tidy,
    ),
    test_path=TEST_PATH,
    generated_name=GENERATED_NAME,
    vendored=OTHERS,
)
