"""What a kind of edit is made of, and the questions most kinds ask of a function."""

import ast
from collections.abc import Callable, Iterator

import msgspec

from sera.teachers.rehearsal.dice import digest
from sera.teachers.rehearsal.source import Change, Code

UNIT = "    "
"""One level of indentation in new code."""


class Edit(msgspec.Struct, frozen=True):
    """A change to one function, and what the file must import for it."""

    changes: tuple[Change, ...]
    target: str
    """The parameter, name or expression that it is about, for words."""
    imports: str = ""
    """A module that must be imported at the top, or nothing."""


Maker = Callable[[Code, int], Edit | None]
"""(function, flavour) → edit, or None if the kind does not apply. The edit depends on nothing else, so a
second rollout can make it again; another flavour words it differently where it has words."""


def choose(code: Code, kind: str, options: list[str]) -> str:
    """One of several targets: always the same one for the same function."""
    return min(options, key=lambda option: digest(code.name, kind, option))


def names_read(tree: ast.AST) -> set[str]:
    """Names that a tree mentions."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def names_bound(code: Code) -> set[str]:
    """Every name that is bound somewhere inside the function, parameters included."""
    bound = {
        node.id for node in code.nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
    }
    bound |= {node.arg for node in code.nodes if isinstance(node, ast.arg)}
    bound |= {node.name for node in code.nodes if isinstance(node, ast.ExceptHandler) and node.name}
    bound |= {
        node.name
        for node in code.nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    return bound | {
        (alias.asname or alias.name).split(".")[0]
        for node in code.nodes
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }


def is_generator(code: Code) -> bool:
    """Whether a call only makes a generator (or might)."""
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in code.nodes)


def has_strings_over_lines(code: Code, first: int, last: int) -> bool:
    """Whether a string crosses a line end within these source lines: indentation must stay then."""
    return any(
        isinstance(node, ast.Constant | ast.JoinedStr)
        and first <= node.lineno <= last
        and (node.end_lineno or 0) > node.lineno
        for node in code.nodes
    )


def insertion_point(code: Code) -> tuple[int, str] | None:
    """Offset and margin at which a statement can be put in front of the body, behind the docstring."""
    if not code.body:
        return None
    margin = code.margin(code.body[0])
    return (code.line_start(code.body[0]), margin) if margin is not None else None


def certain(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Nodes that are evaluated whenever the function runs, in order, as far as this is obvious."""
    for statement in body:
        match statement:
            case ast.If() | ast.While():
                yield from _evaluated(statement.test)
                return
            case ast.For():
                yield statement
                yield from _evaluated(statement.iter)
                return
            case ast.With():
                for item in statement.items:
                    yield from _evaluated(item.context_expr)
                yield from certain(statement.body)
                return
            case ast.Assign() | ast.AugAssign() | ast.Return() | ast.Expr() | ast.AnnAssign():
                yield from _evaluated(statement)
            case _:
                return


def _evaluated(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    match node:
        case ast.BoolOp():
            children: list[ast.AST] = [node.values[0]]
        case ast.IfExp():
            children = [node.test]
        case ast.Lambda() | ast.GeneratorExp():
            children = []
        case ast.ListComp() | ast.SetComp() | ast.DictComp():
            children = [node.generators[0].iter]
        case _:
            children = list(ast.iter_child_nodes(node))
    for child in children:
        yield from _evaluated(child)


def plain_words(name: str) -> str:
    """`read_first_line` → `read first line`."""
    return " ".join(part for part in name.split("_") if part)
