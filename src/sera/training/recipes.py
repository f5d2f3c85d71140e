"""Settings of whole trainings, by name. They are the files in `recipes/`, which a wheel carries too."""

from importlib.resources import files
from pathlib import Path

from sera.errors import UsageError


def recipe_folder() -> Path:
    """Where the recipes are: in the installed package, or in the repository it runs from."""
    shipped = Path(str(files("sera"))) / "recipes"
    return shipped if shipped.is_dir() else Path(__file__).parents[3] / "recipes"


def recipe_names() -> list[str]:
    """All of them."""
    return sorted(file.stem for file in recipe_folder().glob("*.toml"))


def find_recipe(name: str) -> Path:
    """The recipe of that name, or the file; `UsageError` lists the names."""
    if name in recipe_names():
        return recipe_folder() / f"{name}.toml"
    if Path(name).is_file():
        return Path(name)
    raise UsageError(f"there is no recipe {name!r}: choose {', '.join(recipe_names())}, or give a TOML file")
