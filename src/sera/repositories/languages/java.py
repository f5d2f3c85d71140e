"""Java."""

import re

from sera.repositories.languages.grammar import Grammar
from sera.repositories.languages.scan import Syntax


def tidy(text: str) -> str:
    """`java.util.Comparator<String>` → `Comparator`."""
    return text.partition("<")[0].strip().rpartition(".")[2]


JAVA = Grammar(
    name="java",
    suffixes=(".java",),
    module="tree_sitter_java",
    syntax=Syntax(
        functions=("java",),
        marks="java.marks",
        tests=re.compile(
            r"^@([\w.]*\.)?(Test|ParameterizedTest|RepeatedTest|TestFactory|TestTemplate|RunWith"
            r"|(Before|After)(Each|All|Class|Method)?|ExtendWith|SpringBootTest|QuarkusTest)\b"
        ),
        constructors=frozenset({"constructor_declaration", "compact_constructor_declaration"}),
        tidy=tidy,
    ),
    test_path=re.compile(
        r"(^|/)(src/\w*[tT]est\w*|tests?|testing|jmh)/|(^|/)(Test\w+|\w+(Tests?|TestCase|IT|Benchmark))\.java$"
    ),
    declarations_name=re.compile(r"^(package|module)-info\.java$"),
)
