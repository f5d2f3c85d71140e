"""A wheel of the project held against the working tree it was built from.

What a build installs are mostly files of the tree. From those that are follows where each top-level package
comes from; whatever has no counterpart was made by the build (an extension module, a version file) and
belongs into the tree, at the place where it would have been installed beside its package. So the project
can be used where it lies, whichever backend built it, and is never copied.
"""

import io
import posixpath
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

import msgspec

from sera.environments.requirements import is_name
from sera.errors import PrepareError, SourceError
from sera.records import Record
from sera.repositories.archives import UNREADABLE, open_zip, read_member

_MOST_BYTES = 1 << 30
_MOST_MEMBERS = 200_000
_MOST_WORDS = 4 << 20
"""Bytes of its metadata and of its entry points."""
_DEEPEST = 50
_LONGEST_PATH, _LONGEST_NAME = 1000, 255
"""Bytes of a path that the build may have made, below a tree whose own path has its length too."""
_COMPARISONS = 2_000_000
"""Of paths in the wheel with paths in the tree; what was seen until then decides."""
_ROOTS, _SOURCE_BYTES = 4, 1 << 20
"""Roots of one name, and sizes of files, up to which the content is compared as well."""
_NOT_MADE = (".pyc", ".pyo")


class Built(Record, frozen=True):
    """What the project's build would install, as far as it is not in the tree already."""

    name: str
    version: str
    metadata: str
    """Head of the wheel's METADATA; the description is left out."""
    entry_points: str = ""
    roots: tuple[str, ...] = (".",)
    """Directories of the tree that have to be on `sys.path`."""
    links: dict[str, str] = msgspec.field(default_factory=dict)
    """Package → directory of the tree, where the names differ so that no root can serve."""
    scripts: dict[str, str] = msgspec.field(default_factory=dict)
    """Command → file of the tree that is installed as it is."""
    modules: dict[str, str] = msgspec.field(default_factory=dict)
    """Top-level packages and modules → their paths in the tree."""
    made: tuple[str, ...] = ()
    """Paths in the tree of files that the build made."""

    def places(self, workdir: str) -> dict[str, str]:
        """Each module's path, with the tree at `workdir`."""
        return {name: f"{workdir}/{path}" for name, path in self.modules.items()}


def read_wheel(content: bytes, tree: Path) -> tuple[Built, dict[str, bytes]]:
    """What a wheel says, and the files that its build made, by their path in the tree.

    The wheel is the work of untrusted code: names that lead elsewhere are left out, sizes are bounded.
    Raises `PrepareError` for what is no wheel, or too large for one.
    """
    try:
        with open_zip(io.BytesIO(content), "the wheel", _MOST_MEMBERS) as wheel:
            members = {
                one.filename: one for one in wheel.infolist() if not one.is_dir() and is_safe(one.filename)
            }
            if sum(info.file_size for info in members.values()) > _MOST_BYTES:
                raise PrepareError(
                    f"the project's build made more than {_MOST_BYTES >> 30} GiB: set environment.build=false"
                )
            return _read(wheel, members, tree)
    except (*UNREADABLE, SourceError) as error:
        raise PrepareError(f"the project's build made a wheel that cannot be read: {error}") from error


def _read(
    wheel: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], tree: Path
) -> tuple[Built, dict[str, bytes]]:
    names = list(members)
    info = next((name.partition("/")[0] for name in names if name.endswith(".dist-info/METADATA")), "")
    metadata = _text(wheel, members[f"{info}/METADATA"]).partition("\n\n")[0]
    facts = HeaderParser().parsestr(metadata)
    points = f"{info}/entry_points.txt"
    code, scripts = _code(names, info)
    roots, links = _places({path: members[name] for name, path in code.items()}, tree)
    made: dict[str, bytes] = {}
    modules: dict[str, str] = {}
    for member, path in code.items():
        top = path.partition("/")[0]
        place = links[top] + path[len(top) :] if top in links else posixpath.join(roots[top], path)
        if (module := top.partition(".")[0]).isidentifier():
            modules[module] = posixpath.normpath(links.get(top) or posixpath.join(roots[top], top))
        if not (tree / place).exists() and not path.endswith(_NOT_MADE):
            made[posixpath.normpath(place)] = read_member(wheel, members[member])
    name = str(facts["Name"] or "").strip()
    built = Built(
        name=name if is_name(name) else "",
        version=" ".join(str(facts["Version"] or "").split()),
        metadata=metadata,
        entry_points=_text(wheel, members[points]) if points in names else "",
        roots=tuple(dict.fromkeys(root for top, root in roots.items() if top not in links)) or (".",),
        links=links,
        scripts=_scripts(scripts, tree),
        modules=dict(sorted(modules.items())),
        made=tuple(sorted(made)),
    )
    return built, made


def is_safe(name: str) -> bool:
    """Whether a path that a build names may be one of a file in the tree."""
    path = PurePosixPath(name)
    odd = path.is_absolute() or ".." in path.parts or ".git" in path.parts or "\\" in name
    long = len(name.encode(errors="replace")) > _LONGEST_PATH or len(path.parts) > _DEEPEST
    long = long or any(len(part.encode(errors="replace")) > _LONGEST_NAME for part in path.parts)
    return bool(path.parts) and not odd and not long and name.isprintable()


def _text(wheel: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    if member.file_size > _MOST_WORDS:
        raise ValueError(f"{member.filename} has {member.file_size:,} bytes: it may have {_MOST_WORDS:,}")
    return read_member(wheel, member).decode("utf-8", "replace").replace("\r\n", "\n")


def _code(names: list[str], info: str) -> tuple[dict[str, str], list[str]]:
    """Member → path below site-packages, and the names of installed scripts."""
    code, scripts = {}, []
    for name in names:
        top, _, rest = name.partition("/")
        if top.endswith(".data"):
            kind, _, inner = rest.partition("/")
            if kind in ("purelib", "platlib"):
                code[name] = inner
            elif kind == "scripts":
                scripts.append(inner)
        elif top != info:
            code[name] = name
    return code, scripts


def _places(code: dict[str, zipfile.ZipInfo], tree: Path) -> tuple[dict[str, str], dict[str, str]]:
    """For every top-level name its root in the tree; and the directory, where that bears another name.
    `code` is path below site-packages → member of the wheel."""
    tails: dict[str, list[str]] = defaultdict(list)
    for file in _files(tree):
        tails[posixpath.basename(file)].append(file)
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    inner: dict[str, Counter[str]] = defaultdict(Counter)
    left = _COMPARISONS
    for path in code:
        top, _, rest = path.partition("/")
        left -= len(tails[posixpath.basename(path)])
        if left < 0:
            break
        for file in tails[posixpath.basename(path)]:
            if file == path or file.endswith("/" + path):
                votes[top][file[: -len(path)].rstrip("/") or "."] += 1
            elif rest and (file == rest or file.endswith("/" + rest)):
                inner[top][file[: -len(rest)].rstrip("/") or "."] += 1
    same = _equal(code, votes, tree)
    roots = {top: _first(counter, same[top]) for top, counter in votes.items()}
    most = Counter(roots.values()).most_common(1)
    tops = {path.partition("/")[0] for path in code}
    links = {top: _first(inner[top], Counter()) for top in tops - roots.keys() if inner[top]}
    rest = most[0][0] if most else ("src" if (tree / "src").is_dir() else ".")
    return roots | dict.fromkeys(tops - roots.keys(), rest), links


def _equal(
    code: dict[str, zipfile.ZipInfo], votes: dict[str, Counter[str]], tree: Path
) -> dict[str, Counter[str]]:
    """For top-level names that several roots have, how many files of each of the likeliest have the very
    content that the wheel has: one may be there for another Python."""
    same: dict[str, Counter[str]] = defaultdict(Counter)
    likely = {top: [root for root, _ in counter.most_common(_ROOTS)] for top, counter in votes.items()}
    for path, member in code.items():
        top = path.partition("/")[0]
        roots = likely.get(top, [])
        for root in roots if len(roots) > 1 and member.file_size <= _SOURCE_BYTES else ():
            file = tree / root / path
            if file.is_file() and file.stat().st_size == member.file_size:
                same[top][root] += zlib.crc32(file.read_bytes()) == member.CRC
    return same


def _first(votes: Counter[str], same: Counter[str]) -> str:
    """The place with most of the content, else the most votes; of equals the least deep one."""
    return min(votes, key=lambda place: (-same[place], -votes[place], place.count("/"), place))


def _files(tree: Path) -> Iterable[str]:
    waiting = [tree]
    while waiting:
        for entry in waiting.pop().iterdir():
            if entry.is_dir() and not entry.is_symlink():
                waiting += [entry] if entry.name != ".git" else []
            elif (path := entry.relative_to(tree).as_posix()).isprintable():
                yield path


def _scripts(names: list[str], tree: Path) -> dict[str, str]:
    """Scripts that are installed as they are, if they lie in the tree."""
    wanted, found = set(names), dict[str, str]()
    for file in sorted(_files(tree), key=lambda path: path.count("/")) if names else ():
        if posixpath.basename(file) in wanted:
            found.setdefault(posixpath.basename(file), file)
    return found
