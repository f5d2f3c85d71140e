"""Under which names an installed copy of a project would lie."""

from pathlib import Path

from sera.repositories.names import import_names, project_names


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


def test_packages_of_a_monorepo(tmp_path: Path) -> None:
    for name in (
        "pyproject.toml",
        "packages/core-lib/pyproject.toml",
        "packages/core-lib/src/core_lib/__init__.py",
        "services/web/api/setup.py",
        "services/web/api/webapi/__init__.py",
        "packages/plain/loose/__init__.py",
        ".hidden/x/pyproject.toml",
        ".hidden/x/hidden/__init__.py",
        "a/b/c/d/setup.py",
        "a/b/c/d/deep/__init__.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert project_names(tmp_path, "all") == ("all", "core_lib", "webapi")
