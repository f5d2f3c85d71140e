"""A wheel held against the tree it was built from, the stand-in, and the tree with what was made."""

import io
import subprocess
import zipfile
from pathlib import Path

import pytest
from environment_support import write_tree

from sera.environments.layers import make_layer
from sera.environments.mapping import Built, read_wheel
from sera.environments.standin import write_standin
from sera.errors import PrepareError
from sera.repositories import open_snapshot

METADATA = "Metadata-Version: 2.1\nName: My.Project\nVersion: 1.0\nRequires-Dist: six\nRequires-Python: >=9\n\nLong text\n"


def wheel_of(files: dict[str, str], metadata: str = METADATA) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as wheel:
        for name, text in {**files, "my_project-1.0.dist-info/METADATA": metadata}.items():
            wheel.writestr(name, text)
    return content.getvalue()


@pytest.mark.parametrize("damage", ["torn", "bytes", "encrypted", "no metadata"])
def test_a_damaged_wheel_is_said(tmp_path: Path, damage: str) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("a.py" if damage == "no metadata" else "my-1.dist-info/METADATA", METADATA * 50)
    raw = bytearray(content.getvalue())
    if damage == "bytes":
        raw[60:90] = b"\xff" * 30
    if damage == "encrypted":
        raw[6] |= 1
        raw[raw.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(PrepareError, match="made a wheel that cannot be read"):
        read_wheel(bytes(raw[:80] if damage == "torn" else raw), tmp_path)


def test_flat_tree(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, {"pkg/__init__.py": "", "pkg/a.py": "", "docs/pkg/a.py": "", "one.py": ""})
    built, made = read_wheel(wheel_of({"pkg/__init__.py": "", "pkg/a.py": "", "one.py": ""}), tree)
    assert (built.name, built.version, built.roots) == ("My.Project", "1.0", (".",))
    assert built.modules == {"pkg": "pkg", "one": "one.py"}
    assert made == {}


def test_what_was_made_belongs_beside_its_package(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, {"src/pkg/__init__.py": "", "src/pkg/a.py": ""})
    wheel = wheel_of(
        {
            "pkg/__init__.py": "",
            "pkg/a.py": "changed by the build",
            "pkg/_fast.so": "\x7fELF",
            "_top.so": "",
            "pkg/x.pyc": "",
        }
    )
    built, made = read_wheel(wheel, tree)
    assert built.roots == ("src",)
    assert built.made == ("src/_top.so", "src/pkg/_fast.so")
    assert set(made) == set(built.made)


def test_a_package_of_another_name_is_linked(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, {"python/__init__.py": "", "python/core.py": "", "setup.py": ""})
    built, made = read_wheel(wheel_of({"pkg/__init__.py": "", "pkg/core.py": "", "pkg/_made.py": "x"}), tree)
    assert built.links == {"pkg": "python"}
    assert built.modules == {"pkg": "python"}
    assert set(made) == {"python/_made.py"}


def test_scripts_entry_points_and_other_data(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, {"pkg/__init__.py": "", "bin/run-it": "#!/usr/bin/python\n"})
    wheel = wheel_of({
        "pkg/__init__.py": "", "my_project-1.0.data/scripts/run-it": "", "my_project-1.0.data/platlib/pkg/_c.so": "",
        "my_project-1.0.data/data/share/man/x.1": "", "my_project-1.0.dist-info/entry_points.txt": "[console_scripts]\na = pkg:a\n",
    })  # fmt: skip
    built, made = read_wheel(wheel, tree)
    assert built.scripts == {"run-it": "bin/run-it"}
    assert "console_scripts" in built.entry_points
    assert set(made) == {"pkg/_c.so"}


def test_a_wheel_is_not_trusted(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, {"pkg/__init__.py": ""})
    _, made = read_wheel(
        wheel_of(
            {
                "pkg/__init__.py": "",
                "../evil.py": "",
                "/etc/evil": "",
                "pkg/.git/hooks/x": "",
                "pkg/new\nline.py": "",
            }
        ),
        tree,
    )
    assert made == {}
    with pytest.raises(PrepareError, match="cannot be read"):
        read_wheel(b"no zip", tree)


def test_the_standin_has_no_code(tmp_path: Path) -> None:
    metadata = (
        METADATA.partition("\n\n")[0] + "\nRequires-Dist: x @ https://example.org/x.zip ; extra == 'a'\n"
    )
    built = Built(
        name="My.Project",
        version="1.0+local",
        metadata=metadata,
        roots=(".", "src"),
        scripts={"run-it": "bin/run-it"},
    )
    file, left_out = write_standin(built, tmp_path, "/testbed")
    assert file.name == "My_Project-1.0+local-py3-none-any.whl"
    assert left_out == ["Requires-Dist: x @ https://example.org/x.zip ; extra == 'a'"]
    with zipfile.ZipFile(file) as wheel:
        names = wheel.namelist()
        text = wheel.read("My_Project-1.0+local.dist-info/METADATA").decode()
        assert wheel.read("__editable__.My_Project.pth").decode() == "/testbed\n/testbed/src\n"
        assert "'/testbed/bin/run-it'" in wheel.read("My_Project-1.0+local.data/scripts/run-it").decode()
    assert "Requires-Dist: six" in text
    assert "Requires-Python" not in text
    assert not [name for name in names if name.endswith(".py")]


def test_the_tree_with_what_was_made(tmp_path: Path) -> None:
    source = write_tree(
        tmp_path / "source", {"pkg/__init__.py": "own\n", "pkg/file": "", ".gitignore": "*.log\n"}
    )
    (source / "link").symlink_to("pkg")
    snapshot = open_snapshot(str(source), tmp_path / "cache")
    made = {
        "pkg/_v e[r]*.py": b"x",
        "pkg/__init__.py": b"other",
        "pkg/file/below": b"",
        "link/new.py": b"",
        "../out": b"",
    }
    kept = make_layer(snapshot.layer, made, tmp_path / "tree")
    assert kept == ("link/new.py", "pkg/_v e[r]*.py")
    assert (tmp_path / "tree" / "pkg" / "__init__.py").read_text() == "own\n"
    assert not (tmp_path / "out").exists()
    command = ["git", "-c", "safe.directory=*", "status", "--porcelain", "--untracked-files=all"]
    (tmp_path / "tree" / "pkg" / "_v er.py").write_text("")

    def status() -> str:
        return subprocess.run(
            command, cwd=tmp_path / "tree", capture_output=True, text=True, check=True
        ).stdout

    assert status() == '?? "pkg/_v er.py"\n?? pkg/new.py\n'
    assert open_snapshot(str(source), tmp_path / "cache") == snapshot
    assert (tmp_path / "tree" / "pkg" / "file").stat().st_nlink == 2
