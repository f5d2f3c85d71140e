"""A wheel held against the tree it was built from, the stand-in, and the tree with what was made."""

import io
import struct
import subprocess
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from environment_support import write_tree

from sera.environments.copies import link
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


def test_a_wheel_that_is_a_bomb(tmp_path: Path) -> None:
    """Of its head, of its sizes, of its paths."""
    with pytest.raises(PrepareError, match=r"METADATA has 5,[0-9,]+ bytes: it may have 4,194,304"):
        read_wheel(wheel_of({}, METADATA + "x" * 5_000_000), tmp_path)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("my-1.dist-info/METADATA", METADATA)
        wheel.writestr("fast.so", bytes(40_000_000))
    lying = content.getvalue().replace(struct.pack("<L", 40_000_000), struct.pack("<L", 40))
    tracemalloc.start()
    with pytest.raises(PrepareError, match="Bad CRC"):
        read_wheel(lying, tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    _, made = read_wheel(wheel_of({"d/" * 600 + "x.so": "", "y.so": ""}), tmp_path)
    assert made == {"y.so": b""}


def test_many_files_of_one_name(tmp_path: Path) -> None:
    """Each of the wheel could be each of the tree."""
    tree = write_tree(tmp_path, {f"a/{n}/x.py": "" for n in range(3000)})
    built, _ = read_wheel(wheel_of({f"{n}/x.py": "" for n in range(3000)}), tree)
    assert built.roots[0] == "a"


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


def test_a_link_takes_the_place_of_what_a_dependency_has_put_there(tmp_path: Path) -> None:
    files = {"pkg/data.txt": "", "pkg/deep/er.txt": "", "other/x.txt": "", "third": ""}
    packages = write_tree(tmp_path / "lib/python3.11/site-packages", files)
    said = link(tmp_path, {"pkg": "/testbed/python", "third": "/testbed/t", "new": "/testbed/new"})
    assert {one.name: str(one.readlink()) for one in packages.iterdir() if one.is_symlink()} == {
        "pkg": "/testbed/python", "third": "/testbed/t", "new": "/testbed/new",
    }  # fmt: skip
    assert (packages / "other/x.txt").exists()
    assert said == [
        f"a package brought a module {name} of its own; it was removed" for name in ("pkg", "third")
    ]


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


def test_the_standin_says_only_what_can_be_read(tmp_path: Path) -> None:
    metadata = (
        "Metadata-Version: 9\nName: -r x\nVersion: no\nrequires-dist: six>=1.*\nREQUIRES-DIST: far@http://x/far.whl\n"
        "Requires-Dist: folded\n @ http://x/folded.whl\nRequires-Dist: lines ; extra == 'a\n Requires-Dist: b'\n"
        "Provides-Extra: Good_One\nProvides-Extra: x] @ http://x\nRequires: old\nObsoletes-Dist: pip\nDynamic: Version\n"
        "Requires-External: C\nImport-Name: x\nX-Any: thing\nRequires-Dist: " + "(" * 900 + "\n"
    )
    points = (
        "[console_scripts]\ngood = pkg:main [x]\n../../up = pkg:main\npython3 = pkg:main\nactivate.csh = pkg:main\n"
        "/abs = pkg:main\nbad = pkg:main\n [gui_scripts]\n[pytest11]\nmy plugin = pkg.plugin\n"
        "jump = pkg:main\n [console_scripts]\n../there = pkg:main\n[od d]\na = b\n"
    )
    built = Built(
        name="My " * 200,
        version="1.0\nRequires-Dist: x",
        metadata=metadata,
        entry_points=points,
        scripts={"python": "a", "../x": "b", "run": "c"},
    )
    file, left_out = write_standin(built, tmp_path, "/testbed")
    with zipfile.ZipFile(file) as wheel:
        texts = {name.rpartition("/")[2]: wheel.read(name).decode() for name in wheel.namelist()}
        scripts = [name for name in wheel.namelist() if "/scripts/" in name]
    name = file.name.partition("-")[0]
    assert len(file.name) < 150
    assert texts["METADATA"] == (
        f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.0.0\nProvides-Extra: good-one\nRequires-Dist: six>=1\n"
    )
    assert texts["entry_points.txt"] == (
        "[console_scripts]\ngood = pkg:main [x]\n[pytest11]\nmy plugin = pkg.plugin\n"
    )
    assert [one.rpartition("/")[2] for one in scripts] == ["run"]
    named = "\n".join(left_out)
    for said in (
        "far@http://x/far.whl",
        "folded @ http://x/folded.whl",
        "lines ;",
        "x] @ http://x",
        "Version: ",
        "up",
    ):
        assert said in named


def test_entry_points_that_are_none(tmp_path: Path) -> None:
    built = Built(name="a", version="1", metadata="no headers\n", entry_points="a = b\n[x\n")
    _, left_out = write_standin(built, tmp_path, "/testbed")
    assert left_out == ["entry_points.txt, which cannot be read"]


@pytest.mark.parametrize(
    "damage", ["long name", "long path", "deep", "hidden top", "large words", "many members", "wide name"]
)
def test_odd_wheels(tmp_path: Path, damage: str) -> None:
    """What they hold is left out, or they are said to be unreadable; nothing else happens."""
    tree = write_tree(tmp_path / "tree", {"pkg/__init__.py": ""})
    odd = {
        "long name": {"pkg/" + "x" * 300 + ".py": ""},
        "long path": {"pkg/" + "x/" * 700 + "y.py": ""},
        "deep": {"pkg/" + "/".join(["d"] * 1200) + "/y.py": ""},
        "hidden top": {".hidden/x.py": "", "*.so": "", "a-b/x.py": ""},
        "large words": {"my_project-1.0.dist-info/entry_points.txt": "#" * (5 << 20)},
        "many members": {},
        "wide name": {"pkg/" + "é" * 200 + ".py": ""},
    }[damage]
    content = wheel_of({"pkg/__init__.py": "", **odd})
    if damage in ("large words", "many members"):
        content += b"PK\x01\x02" * 200_001 if damage == "many members" else b""
        with pytest.raises(PrepareError, match="a wheel"):
            read_wheel(content, tree)
        return
    built, made = read_wheel(content, tree)
    assert built.modules == {"pkg": "pkg"}
    make_layer(open_snapshot(str(tree), tmp_path / "cache").layer, made, tmp_path / "made")
    assert set(made) <= {".hidden/x.py", "*.so", "a-b/x.py"}


def test_of_two_trees_that_with_the_content_of_the_wheel(tmp_path: Path) -> None:
    """As of a package whose `setup.py` takes another folder for each Python."""
    equal = {"words/data.py": "x = 1\n", "words/more.py": "y = 1\n"}
    new = {**equal, "words/__init__.py": "print('new')\n"}
    old = {**equal, "words/__init__.py": "print 'old'\n"}
    write_tree(tmp_path / "lib", old)
    write_tree(tmp_path / "lib3", new)
    built, made = read_wheel(wheel_of(new), tmp_path)
    assert built.roots == ("lib3",)
    assert made == {}
