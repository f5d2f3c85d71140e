"""Kinds about names and small expressions: constants, locals, comparisons."""

import ast

from sera.teachers.rehearsal.edits.base import Edit, names_bound
from sera.teachers.rehearsal.edits.signatures import fixed_numbers
from sera.teachers.rehearsal.source import Change, Code

_CLEARER = {
    "a": "first", "b": "second", "c": "current", "d": "mapping", "e": "element", "f": "handle", "g": "group",
    "h": "header", "i": "index", "j": "inner_index", "k": "key", "l": "items", "m": "match", "n": "count",
    "o": "candidate", "p": "path_part", "q": "query", "r": "result", "s": "text", "t": "token", "u": "unit",
    "v": "value", "w": "word", "x": "item", "y": "other", "z": "last", "ret": "result", "res": "result",
    "tmp": "intermediate", "val": "value", "kw": "options", "fn": "function", "fp": "handle", "kv": "pair",
    "obj": "instance", "cls_": "class_", "msg": "message", "cur": "current", "idx": "index", "num": "number",
}  # fmt: skip
_MOST_LINES = 12


def rename_local(code: Code, flavour: int) -> Edit | None:
    """A local of one or two letters gets a name that says what it is."""
    bound, used = names_bound(code), {n.id for n in code.nodes if isinstance(n, ast.Name)}
    barred = _not_renamable(code)
    for name, clearer in _CLEARER.items():
        new = (clearer, f"{clearer}_")[flavour]
        places = [n for n in code.nodes if isinstance(n, ast.Name) and n.id == name]
        stored = any(isinstance(n.ctx, ast.Store) for n in places)
        taken = new in bound | used or name in barred
        if stored and not taken and code.whole and len({n.lineno for n in places}) in range(2, _MOST_LINES):
            return Edit(tuple(Change(code.start(n), code.end(n), new) for n in places), name)
    return None


def _not_renamable(code: Code) -> set[str]:
    """Names bound by something other than an assignment, or mentioned where positions are unreliable."""
    barred = {node.arg for node in code.nodes if isinstance(node, ast.arg)}
    for node in code.nodes:
        match node:
            case ast.ExceptHandler(name=str(name)):
                barred.add(name)
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                barred.update(names)
            case ast.JoinedStr():
                barred |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            case ast.Call(func=ast.Name(id="locals" | "vars" | "eval" | "exec")):
                barred.update(_CLEARER)
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.MatchAs(name=str(name)):
                barred.add(name)
            case ast.alias(name=name, asname=short):
                barred.add(short or name)
    return barred


def extract_constant(code: Code, flavour: int) -> Edit | None:
    """A number in the body gets a name above the function, or in the class."""
    if (code.indent and not code.receiver) or not code.room:
        return None
    for name, constant in fixed_numbers(code):
        label = f"_{code.name.strip('_')}_{name}".upper() if not flavour else f"{name}_default".upper()
        used = f"{code.receiver}.{label}" if code.receiver else label
        separator = "\n" if code.indent else "\n\n"
        line = Change(0, 0, f"{code.indent}{label} = {code.segment(constant)}\n{separator}")
        return Edit((line, Change(code.start(constant), code.end(constant), used)), code.segment(constant))
    return None


def compare_none(code: Code, flavour: int) -> Edit | None:
    """`== None` asks for identity, as it means to."""
    for node in code.nodes:
        match node:
            case ast.Compare(left=left, ops=[(ast.Eq() | ast.NotEq()) as operator], comparators=[right]):
                if isinstance(right, ast.Constant) and right.value is None:
                    word = "is" if isinstance(operator, ast.Eq) else "is not"
                    change = Change(code.end(left), code.end(right), f" {word} None")
                    plain = (code.segment(left), f"({code.segment(left)})")[flavour]
                    return Edit((change, Change(code.start(left), code.end(left), plain)), code.segment(left))
    return None


def membership(code: Code, flavour: int) -> Edit | None:
    """`x == a or x == b` asks once whether x is one of them."""
    for node in code.nodes:
        if not isinstance(node, ast.BoolOp) or not isinstance(node.op, ast.Or):
            continue
        subjects, values = set(), []
        for part in node.values:
            match part:
                case ast.Compare(left=left, ops=[ast.Eq()], comparators=[ast.Constant() as value]):
                    subjects.add(code.segment(left))
                    values.append(code.segment(value))
                case _:
                    subjects.add("")
        subject = subjects.pop() if len(subjects) == 1 else ""
        if subject and "(" not in subject and all("\n" not in v for v in values):
            brackets = ("()", "[]")[flavour]
            text = f"{subject} in {brackets[0]}{', '.join(values)}{brackets[1]}"
            return Edit((Change(code.start(node), code.end(node), text),), subject)
    return None
