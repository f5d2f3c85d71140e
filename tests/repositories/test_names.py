"""Under which names an installed copy of a project would lie."""

from pathlib import Path

from sera.repositories.names import import_names


def test_packages_and_modules_of_a_tree(tmp_path: Path) -> None:
    for name in (
        "tiny/__init__.py",
        "src/large/__init__.py",
        "one.py",
        "setup.py",
        "tests/__init__.py",
        "docs/conf.py",
        "data/x.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert import_names(tmp_path, "Tiny-Project") == ("large", "one", "tiny", "tiny_project")
    assert import_names(tmp_path / "data", "") == ()
