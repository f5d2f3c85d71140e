"""The generated pages say what the code says."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_pages_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "pages.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_command_shows_how_it_is_used() -> None:
    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    sections = page.split("\n## ")[1:]
    assert len(sections) > 30
    for section in sections:
        name, _, text = section.partition("\n")
        assert f"  {name} " in text.split("Examples:")[-1], f"{name} shows no example of itself"
