"""A wheel that stands for the project: its metadata, and a path that leads to the working tree; none of its
code.

Installed like any wheel, it brings the project's dependencies and extras, entry points and a version that
`importlib.metadata` finds, while the code is the working tree's. And since it bears the project's name, no
dependency can pull in a published release of the project beside it: that would be an answer key.
"""

import base64
import hashlib
import re
import zipfile
from pathlib import Path

from sera.environments.mapping import Built
from sera.environments.plan import Plan
from sera.repositories.names import import_names

_DIRECT = re.compile(r"^Requires-Dist:[^;\n]*[ \t]@[ \t].*\n?", re.M)
_PYTHON = re.compile(r"^Requires-Python:.*\n?", re.M)
_TIME = (2020, 1, 1, 0, 0, 0)


def unbuilt(plan: Plan, tree: Path) -> Built:
    """The project without its build: what its files say of it, and the root where its packages most likely
    are."""
    lines = [f"Metadata-Version: 2.1\nName: {_clean(plan.name)}\nVersion: {plan.version}"]
    lines += [f"Requires-Dist: {line}" for line in plan.dependencies]
    for extra, requirements in plan.declared_extras.items():
        lines.append(f"Provides-Extra: {extra}")
        for line in requirements:
            need, _, marker = line.partition(";")
            condition = f'extra == "{extra}"' + (f" and ({marker.strip()})" if marker.strip() else "")
            lines.append(f"Requires-Dist: {need.strip()} ; {condition}")
    source = tree / "src"
    root = "src/" if any(source.glob("*/__init__.py")) or any(source.glob("*.py")) else ""
    return Built(
        name=plan.name,
        version=plan.version,
        metadata="\n".join(lines),
        roots=(root.rstrip("/") or ".",),
        modules={
            name: root + name if (tree / root / name).is_dir() else f"{root}{name}.py"
            for name in import_names(tree / root, "")
            if (tree / root / name).is_dir() or (tree / root / f"{name}.py").is_file()
        },
    )


def write_standin(built: Built, folder: Path, workdir: str) -> tuple[Path, list[str]]:
    """Write the wheel into `folder`; its path, and requirements left out as they name an address."""
    name = _clean(built.name)
    version = re.sub(r"[^A-Za-z0-9.+!]+", "_", built.version)
    info = f"{name}-{version}.dist-info"
    dropped = [found.strip() for found in _DIRECT.findall(built.metadata + "\n")]
    metadata = _PYTHON.sub("", _DIRECT.sub("", built.metadata + "\n"))
    paths = "\n".join(f"{workdir}/{root}" if root != "." else workdir for root in built.roots)
    members = {
        f"__editable__.{name}.pth": paths + "\n",
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: sera\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **({f"{info}/entry_points.txt": built.entry_points} if built.entry_points else {}),
        **{
            f"{name}-{version}.data/scripts/{command}": _script(f"{workdir}/{path}")
            for command, path in built.scripts.items()
        },
    }
    record = "".join(f"{path},{_digest(text)},{len(text.encode())}\n" for path, text in members.items())
    members[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    file = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as wheel:
        for path, text in members.items():
            wheel.writestr(zipfile.ZipInfo(path, _TIME), text)
    return file, dropped


def _clean(name: str) -> str:
    """A name as it stands in the name of a wheel."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "project"


def _script(path: str) -> str:
    """A script of the project, run where it lies."""
    return f"#!python\nimport runpy\n\nrunpy.run_path({path!r}, run_name='__main__')\n"


def _digest(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"
