"""Kinds that write down what is not written down. They apply to nearly everything, so they come last."""

import ast

from sera.teachers.rehearsal.edits.base import Edit, insertion_point, is_generator, plain_words
from sera.teachers.rehearsal.source import Change, Code


def add_docstring(code: Code, flavour: int) -> Edit | None:
    """A docstring where there is none."""
    point = insertion_point(code)
    if code.docstring or point is None:
        return None
    offset, margin = point
    summary = (_summary(code), f"Carry out {plain_words(code.name)}.")[flavour]
    lines = [f'"""{summary}', "", *_parameter_lines(code, [p.arg for p in code.parameters]), *_end_line(code)]
    while lines[-1] == "":
        lines.pop()
    text = "".join(f"{margin}{line}".rstrip() + "\n" for line in [*lines, '"""'])
    return Edit((Change(offset, offset, text),), "docstring")


def complete_docstring(code: Code, flavour: int) -> Edit | None:
    """Parameters that the docstring is silent about."""
    docstring = code.docstring
    if docstring is None or (margin := code.margin(docstring)) is None:
        return None
    written = code.segment(docstring)
    if not written.endswith('"""') or not written.startswith('"""'):
        return None
    missing = [p.arg for p in code.parameters if p.arg not in written]
    if not missing:
        return None
    lines = ["", *_parameter_lines(code, missing, ("", " of the call")[flavour])]
    end = code.end(docstring) - 3
    stripped = len(code.text[:end].rstrip())
    text = "\n" + "".join(f"{margin}{line}".rstrip() + "\n" for line in lines) + margin
    return Edit((Change(stripped, end, text),), missing[0])


def remark(code: Code, flavour: int) -> Edit | None:
    """A comment above the most involved statement, for whoever reads on."""
    candidates = [s for s in code.body if code.margin(s) is not None and s.lineno > code.node.lineno]
    if not candidates:
        return None
    heaviest = max(candidates, key=lambda s: ((s.end_lineno or 0) - s.lineno, -s.lineno))
    margin = code.margin(heaviest)
    names = sorted({n.id for n in ast.walk(heaviest) if isinstance(n, ast.Name)})[:3]
    about = ", ".join(names) or code.name
    second = ("the order of the steps matters to the callers.", "callers rely on the order of the steps.")[
        flavour
    ]
    offset = code.line_start(heaviest)
    text = f"{margin}# This is the heart of {code.name}: it works on {about}, and\n{margin}# {second}\n"
    return Edit((Change(offset, offset, text),), about)


def _summary(code: Code) -> str:
    words = plain_words(code.name)
    return (
        f"{words[:1].upper()}{words[1:]}, given the arguments below."
        if code.parameters
        else f"{words.title()}."
    )


def _parameter_lines(code: Code, names: list[str], tail: str = "") -> list[str]:
    """One line for each of `names`."""
    return [f":param {name}: the {plain_words(name)}{tail} that `{code.name}` works with." for name in names]


def _end_line(code: Code) -> list[str]:
    if is_generator(code):
        return ["Yields one item at a time."]
    returns = [n for n in code.nodes if isinstance(n, ast.Return) and n.value is not None]
    return [f":return: {_kind(returns[-1].value)}."] if returns else ["Returns nothing."]


def _kind(value: ast.expr | None) -> str:
    match value:
        case ast.Name(id=name):
            return f"the {plain_words(name)}"
        case ast.List() | ast.ListComp():
            return "a list"
        case ast.Dict() | ast.DictComp():
            return "a dictionary"
        case ast.Tuple():
            return "a tuple"
        case ast.Compare() | ast.BoolOp() | ast.Constant(value=True | False):
            return "whether that is so"
        case ast.Constant() | ast.JoinedStr():
            return "a plain value"
    return "the result"
