"""Settings: typed structs filled from defaults, a TOML file and `key=value` pairs, in that order.

Every component declares its knobs as a `Config` beside the code that they turn, with a docstring
under each field (unit, meaning, reason of the default). This module fills such structs, and refuses
a key that none of them knows. What is filled can be saved and filled again: `to_tree`.
"""

import ast
import inspect
import itertools
import os
import re
import textwrap
import tomllib
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from sera.errors import ConfigError, boundary


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all settings: immutable, unknown keys refused."""


C = TypeVar("C")
Count = Annotated[int, msgspec.Meta(ge=1)]
"""A whole number from 1."""
Listed = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
"""A whole number from 1 of things that are held in memory one by one."""
Seconds = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]
"""A time above 0. Eleven days at most: system calls that wait do not take more than twice that."""
LARGEST = 10**15
"""The largest number that a setting may be: all that is reckoned from it can be counted and stored."""
Tree = dict[str, Any]
ARGUMENTS = "SERA_ARGUMENTS"
"""Variable with the arguments of a command that one of ours starts, as a JSON list, where some of them are
secret."""
REDACTED = "[redacted]"
"""Stands in a record of settings for what was secret in a value. A value with it is none: see
`load_config`."""


def load_config(
    kind: type[C],
    file: Path | None = None,
    pairs: Iterable[str] = (),
    given: Mapping[str, object] | None = None,
) -> C:
    """Fill `kind`: defaults, then `file`, then `given`, then `pairs`.

    `given` are values by dotted key, None for those not given. A pair is `dotted.key=value`; the value
    is read as TOML, and taken as text if it is not TOML.
    Raises `ConfigError` that names the key and where it came from, also where the record of a run, given as
    `file`, has left out a secret that nothing else gives.
    """
    tree = _read_file(file) if file else {}
    for key, value in (given or {}).items():
        if value is not None:
            _put(tree, key.split("."), value)
    for pair in pairs:
        key, separator, text = pair.partition("=")
        if not separator:
            raise ConfigError(f"--set {pair}: write it as key=value, e.g. --set agent.step_limit=50")
        _put(tree, key.strip().split("."), _read_value(text.strip()))
    if lacking := next(_redacted_in(tree), ""):
        raise ConfigError(
            f"{lacking} stands in {file} without what is secret in it: give it again, with "
            f"--set {lacking}=VALUE or in a file of settings"
        )
    _name_default_kinds(tree, kind)
    return convert(tree, kind, f"settings ({file})" if file else "settings")


def convert(tree: object, kind: type[C], where: str) -> C:
    """Check a plain tree against `kind`; `ConfigError` names the key and lists the known ones."""
    _refuse_uncountable(tree, "", where)
    try:
        return msgspec.convert(tree, kind, dec_hook=_read_path)
    except msgspec.ValidationError as problem:
        form = (
            ' A list is written in brackets, as --set \'KEY=["a", "b"]\'.'
            if "Expected `array" in str(problem)
            else ""
        )
        raise ConfigError(f"{where}: {problem}.{form} `docs/configuration.md` lists every key") from problem


def check_numbers(config: Config) -> None:
    """For `__post_init__` of settings that money hangs on: values that are given directly, not by `convert`,
    are held to their types as well. `ValueError` names the field."""
    for field in msgspec.structs.fields(config):
        value = getattr(config, field.name)
        try:
            msgspec.convert(value, field.type)
        except msgspec.ValidationError as problem:
            raise ValueError(f"{field.name} is {value!r:.40}: {problem}") from problem


def _refuse_uncountable(value: object, key: str, where: str) -> None:
    """`ConfigError` for a number without end or beyond all use, wherever it stands."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _refuse_uncountable(inner, f"{key}.{name}" if key else str(name), where)
    elif isinstance(value, list | tuple):
        for place, inner in enumerate(value):
            _refuse_uncountable(inner, f"{key}[{place}]", where)
    elif isinstance(value, int | float) and not -LARGEST <= value <= LARGEST:
        if key.rpartition(".")[2] == "seed" and isinstance(value, int) and -(2**63) <= value < 2**64:
            return  # nothing is reckoned with it
        shown = repr(value) if isinstance(value, float) else f"a number of {len(f'{abs(value):x}') * 4} bits"
        raise ConfigError(
            f"{where}: {key} is {shown}, which nothing can be reckoned with: give a number up to "
            f"{LARGEST:.0e}, or leave it out"
        )


def to_tree(config: msgspec.Struct) -> Tree:
    """Settings as plain values, for a record or a file; `convert` reads them again."""
    tree: Tree = msgspec.to_builtins(config, enc_hook=str)
    return tree


def default_cache() -> Path:
    """Where what can be made again is kept: `$SERA_CACHE`, or `$XDG_CACHE_HOME/sera`, or `~/.cache/sera`."""
    if own := os.environ.get("SERA_CACHE"):
        return Path(own)
    if general := os.environ.get("XDG_CACHE_HOME"):
        return Path(general) / "sera"
    return Path.home() / ".cache" / "sera"


def _read_path(kind: type, text: object) -> object:
    if kind is Path and isinstance(text, str):
        return Path(text).expanduser()
    raise ValueError(f"expected {kind.__name__}")


def _read_file(file: Path) -> Tree:
    """A TOML file, or the `run.json` of a run, whose settings are taken."""
    with boundary(ConfigError, f"settings file {file}", OSError, ValueError, msgspec.ValidationError):
        if file.suffix == ".json":
            return msgspec.json.decode(file.read_bytes(), type=_Recorded).config
        return tomllib.loads(file.read_text("utf-8"))


def _redacted_in(tree: object, key: str = "") -> Iterator[str]:
    """The keys whose values were stored without a secret."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from _redacted_in(value, f"{key}.{name}" if key else name)
    elif isinstance(tree, list):
        for value in tree:
            yield from _redacted_in(value, key)
    elif isinstance(tree, str) and REDACTED in tree:
        yield key


def _read_value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _put(tree: Tree, path: list[str], value: object) -> None:
    *parents, last = path
    for name in parents:
        tree = tree.setdefault(name, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{'.'.join(path)}: {name} is a value, not a table of settings")
    tree[last] = value


def _name_default_kinds(tree: Tree, kind: type) -> None:
    """Where one of several kinds of settings is possible and none is named, the default kind is meant."""
    for field in msgspec.structs.fields(kind):
        value, default = tree.get(field.encode_name), _default_of(field)
        if isinstance(value, dict) and isinstance(default, msgspec.Struct):
            config = default.__struct_config__
            if config.tag_field is not None:
                value.setdefault(config.tag_field, config.tag)


def _default_of(field: msgspec.structs.FieldInfo) -> object:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


class _Recorded(msgspec.Struct, frozen=True):
    """The part of a `run.json` that settings are read from."""

    config: Tree


class Knob(msgspec.Struct, frozen=True):
    """One setting, for the generated page."""

    key: str
    type: str
    default: str
    text: str


def knobs(kind: type, prefix: str = "") -> Iterator[Knob]:
    """All settings of a struct and of the structs inside it, in order, with their docstrings."""
    texts = _field_docstrings(kind)
    hints = typing.get_type_hints(kind)
    for field in msgspec.structs.fields(kind):
        key = prefix + field.encode_name
        inner = [
            t for t in _members(hints[field.name]) if isinstance(t, type) and issubclass(t, msgspec.Struct)
        ]
        if field.name in texts or not inner:
            yield Knob(key, _type_name(hints[field.name]), _default(field), texts.get(field.name, ""))
        if typing.get_origin(hints[field.name]) is tuple:
            key += "[]"
        for member in inner:
            yield from _kind(member, key)
            yield from knobs(member, f"{key}.")


def _kind(member: type[msgspec.Struct], key: str) -> Iterator[Knob]:
    """The setting that chooses one of several kinds, before the settings of that kind."""
    config = member.__struct_config__
    if config.tag_field is not None:
        about = (inspect.getdoc(member) or "").split("\n\n")[0].replace("\n", " ")
        yield Knob(f"{key}.{config.tag_field}", "str", f'"{config.tag}"', f"{about} Its settings follow.")


def _members(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) or (hint,)


def _type_name(hint: Any) -> str:
    if isinstance(hint, type) and not typing.get_args(hint):
        return "path" if hint is Path else hint.__name__
    name = re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", str(hint)).replace("Path", "path")
    return re.sub(r"Optional\[(.*)\]", r"\1 or None", name).replace(" |", " or")


def _default(field: msgspec.structs.FieldInfo) -> str:
    default = _default_of(field)
    return "required" if default is msgspec.NODEFAULT else msgspec.json.encode(default, enc_hook=str).decode()


def _field_docstrings(kind: type) -> dict[str, str]:
    """The string literals that stand under annotated fields, by field, base classes included."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("sera.") and base is not Config:
            found |= _docstrings_under_fields(ast.parse(textwrap.dedent(inspect.getsource(base))).body[0])
    return found


def _docstrings_under_fields(node: ast.stmt) -> dict[str, str]:
    statements = node.body if isinstance(node, ast.ClassDef) else []
    return {
        field.target.id: inspect.cleandoc(text.value.value).replace("\n", " ")
        for field, text in itertools.pairwise(statements)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
