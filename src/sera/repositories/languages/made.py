"""The record of a function, made of what a parser found."""

from sera.records import Function, content_id
from sera.repositories.languages.scan import Found
from sera.repositories.modules import RawFunction


def make_function(
    path: str, found: RawFunction | Found, is_test: bool, callers: tuple[str, ...], language: str
) -> Function:
    """The record of a function of a file, once its callers are known."""
    return Function(
        id=content_id(path, found.qualname, found.line),
        name=found.qualname,
        path=path,
        line=found.line,
        end_line=found.end_line,
        kind=found.kind,
        is_async=found.is_async,
        is_test=is_test,
        docstring=found.docstring,
        decorators=found.decorators,
        statements=max(found.statements, 0),
        callers=callers,
        language=language,
    )
