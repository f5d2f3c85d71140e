"""Which functions of a repository call which, as far as names tell without running anything.

What is resolved: a plain name through the enclosing functions, the module and its imports (also
those re-exported by a package, and `import *`); `module.f()` and `Class.f()`; `self.f()`, `cls.f()`
and `super().f()` through the base classes found in the repository; a class that is called counts
for its `__init__`. For a receiver of unknown type, `thing.f()`, the call counts only if exactly one
method outside tests has that name and no built-in type has. A name that the function itself binds
is not resolved. So a caller named here is very likely one, and many are missed.

At most `CALLERS` are kept per function, those outside tests first, then by path and line.
"""

import posixpath
from collections import defaultdict
from functools import cache

from sera.repositories.modules import Call, Module, RawFunction, Scope

CALLERS = 20
"""Callers kept per function."""

_DEPTH = 8
"""Steps followed through re-exports and base classes."""
_BUILT_IN = frozenset(
    name
    for kind in (
        str,
        bytes,
        bytearray,
        list,
        dict,
        set,
        tuple,
        int,
        float,
        complex,
        Exception,
        type,
        property,
    )
    for name in dir(kind)
) | {
    "close",
    "read",
    "write",
    "flush",
    "seek",
    "open",
    "send",
    "put",
    "run",
    "start",
    "stop",
    "wait",
    "submit",
}

Target = tuple[str, Scope | None, str]
"""(path of the module, class or module scope or None, qualified name of a function or empty)."""
Key = tuple[str, str]
"""(path, qualified name): functions that share both share their callers."""


def find_callers(modules: list[Module], tests: set[RawFunction]) -> dict[Key, tuple[str, ...]]:
    """(path, qualified name) → `path:qualified name` of its callers."""
    resolver = _Resolver(modules, tests)
    found: defaultdict[Key, dict[str, tuple[bool, str, int]]] = defaultdict(dict)
    for module in modules:
        for caller in module.functions:
            label = f"{module.path}:{caller.qualname}"
            order = (caller in tests, module.path, caller.line)
            for call in dict.fromkeys(caller.calls):
                key = resolver.resolve(module, caller, call)
                if key is not None and key != (module.path, caller.qualname):
                    found[key].setdefault(label, order)
    return {
        key: tuple(sorted(callers, key=lambda name: callers[name])[:CALLERS])
        for key, callers in found.items()
    }


class _Resolver:
    def __init__(self, modules: list[Module], tests: set[RawFunction]) -> None:
        self._by_path = {module.path: module for module in modules}
        self._by_name = _module_names(modules)
        self._unique = _unique_methods(modules, tests)
        self._locate = cache(self._locate_uncached)

    def resolve(self, module: Module, caller: RawFunction, call: Call) -> Key | None:
        """The function that a call names, or None."""
        if call[0] == "?" or len(call) > _DEPTH:
            return self._unique.get(call[-1]) if len(call) > 1 else None
        target = self._receiver(module, caller, call)
        if target == "unknown":
            return self._unique.get(call[-1]) if len(call) > 1 else None
        return self._as_function(target) if isinstance(target, tuple) else None

    def _receiver(self, module: Module, caller: RawFunction, call: Call) -> Target | str | None:
        """The thing called; `unknown` if its receiver is a variable, None if it is not of this repository."""
        method = _method_around(caller)
        if call[0] == "super()" or (method is not None and len(call) == 2 and call[0] == method.self_name):
            owner = method.scope.parent if method is not None else None
            if owner is None or len(call) != 2:
                return "unknown"
            return self._method(module.path, owner, call[1], own=call[0] != "super()") or "unknown"
        target = self._name(module, caller, call[0])
        for part in call[1:]:
            if not isinstance(target, tuple):
                return target
            target = self._member(target, part)
        return target

    def _name(self, module: Module, caller: RawFunction, name: str) -> Target | str | None:
        scope: Scope | None = caller.scope
        while scope is not None:
            if scope.kind != "class":
                if found := self._defined(module.path, scope, name):
                    return found
                if name in scope.imports:
                    return self._imported(module.path, scope.imports[name])
                if name in scope.locals:
                    return "unknown"
            scope = scope.parent
        return self._starred(module.path, name, _DEPTH)

    def _defined(self, path: str, scope: Scope, name: str) -> Target | None:
        if name in scope.functions:
            return path, None, scope.inside(name)
        return (path, scope.classes[name], "") if name in scope.classes else None

    def _member(self, target: Target, name: str, depth: int = _DEPTH) -> Target | None:
        path, scope, _ = target
        if scope is None or depth <= 0:
            return None
        if scope.kind == "class":
            return self._method(path, scope, name) or self._defined(path, scope, name)
        if found := self._defined(path, scope, name):
            return found
        if name in scope.imports:
            return self._imported(path, scope.imports[name], depth - 1)
        if found := self._starred(path, name, depth):
            return found
        return self._module(self._locate(path, 1, name)) if path.endswith("__init__.py") else None

    def _imported(self, path: str, what: tuple[int, str, str], depth: int = _DEPTH) -> Target | None:
        level, dotted, name = what
        target = self._module(self._locate(path, level, dotted))
        if not name or depth <= 0:
            return target
        inner = self._member(target, name, depth - 1) if target is not None else None
        return inner or self._module(self._locate(path, level, f"{dotted}.{name}" if dotted else name))

    def _starred(self, path: str, name: str, depth: int) -> Target | None:
        if depth <= 0 or name.startswith("_"):
            return None
        for level, dotted in self._by_path[path].scope.stars:
            source = self._module(self._locate(path, level, dotted))
            if source is not None and (found := self._member(source, name, depth - 1)):
                return found
        return None

    def _method(
        self, path: str, owner: Scope, name: str, own: bool = True, depth: int = _DEPTH
    ) -> Target | None:
        """A method of a class or of the first base, depth first, that has it."""
        if own and name in owner.functions:
            return path, None, owner.inside(name)
        if depth <= 0:
            return None
        for base in owner.bases:
            target = self._base(path, owner, base)
            if target is None or target[1] is None or target[1].kind != "class":
                continue
            if found := self._method(target[0], target[1], name, depth=depth - 1):
                return found
        return None

    def _base(self, path: str, owner: Scope, base: Call) -> Target | None:
        scope = owner.parent
        target: Target | None = None
        while scope is not None and target is None:
            target = self._defined(path, scope, base[0])
            if target is not None and target[1] is owner:
                target = None
            if target is None and base[0] in scope.imports:
                target = self._imported(path, scope.imports[base[0]])
            scope = scope.parent
        for part in base[1:]:
            target = self._member(target, part) if target is not None else None
        return target

    def _as_function(self, target: Target) -> Key | None:
        path, scope, qualname = target
        if scope is None:
            return path, qualname
        if scope.kind == "class" and (init := self._method(path, scope, "__init__")):
            return init[0], init[2]
        return None

    def _module(self, path: str | None) -> Target | None:
        return (path, self._by_path[path].scope, "") if path else None

    def _locate_uncached(self, importer: str, level: int, dotted: str) -> str | None:
        """Path of the module that an import in `importer` names, or None when it is not ours."""
        steps = dotted.replace(".", "/")
        if level == 0:
            return self._by_name.get(dotted)
        folder = posixpath.dirname(importer)
        for _ in range(level - 1):
            folder = posixpath.dirname(folder)
        place = posixpath.join(folder, steps).rstrip("/")
        candidates = (f"{place}.py", posixpath.join(place, "__init__.py"))
        return next((path for path in candidates if path in self._by_path), None)


def _method_around(function: RawFunction) -> RawFunction | None:
    """The method a function is, or lies in: `self` of a nested function is that of the method."""
    around: RawFunction | None = function
    while around is not None and around.kind != "method":
        around = around.outer
    return around


def _module_names(modules: list[Module]) -> dict[str, str]:
    """Dotted name → path. A package begins below the last directory without `__init__.py`.

    Where two files claim a name, the one nearer to the root has it; full paths, with and without a
    leading `src`, are names too as long as nothing else claims them.
    """
    packages = {posixpath.dirname(module.path) for module in modules if module.path.endswith("__init__.py")}
    paths = sorted((module.path for module in modules), key=lambda path: (path.count("/"), path))
    names: dict[str, str] = {}
    for path in paths:
        root = posixpath.dirname(path)
        while root in packages and root:
            root = posixpath.dirname(root)
        names.setdefault(_dotted_path(path[len(root) :].lstrip("/")), path)
    for path in paths:
        names.setdefault(_dotted_path(path), path)
        names.setdefault(_dotted_path(path.removeprefix("src/")), path)
    return names


def _dotted_path(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _unique_methods(modules: list[Module], tests: set[RawFunction]) -> dict[str, Key]:
    """Method name → the only method outside tests of that name."""
    found: defaultdict[str, set[Key]] = defaultdict(set)
    for module in modules:
        for function in module.functions:
            if function.kind == "method" and function not in tests:
                found[function.qualname.rpartition(".")[2]].add((module.path, function.qualname))
    return {
        name: next(iter(keys))
        for name, keys in found.items()
        if len(keys) == 1 and name not in _BUILT_IN and not name.startswith("__")
    }
