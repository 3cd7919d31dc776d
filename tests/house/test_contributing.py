"""The guide for contributors is true: its rooms are the rooms, and the files and tables that it names are there."""

import re
from pathlib import Path

import pytest

import jaxgossip
from tests.house.test_rooms import EXPERIMENT, ROOMS

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / ".github" / "CONTRIBUTING.md"
pytestmark = pytest.mark.skipif(not GUIDE.is_file(), reason="outside of a checkout")


def text() -> str:
    return GUIDE.read_text(encoding="utf-8")


def test_its_rooms_are_the_rooms_in_their_order() -> None:
    assert re.findall(r"^\d+\. `(\w+)`: ", text(), flags=re.MULTILINE) == ROOMS
    (own,) = re.findall(r"Its own rooms, in\s+order:(.*?)\.$", text(), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"`(\w+)`", own) == EXPERIMENT


def test_every_file_it_names_exists() -> None:
    named = {path for path in re.findall(r"`([\w./]+/[\w./]*)`", text()) if "NAME" not in path}
    assert len(named) > 25
    assert [path for path in named if not ((ROOT / path).exists() or (ROOT / "jaxgossip" / path).exists())] == []


def test_every_table_it_names_is_in_one_of_the_files_it_names() -> None:
    files = [ROOT / path for path in re.findall(r"`((?:jaxgossip|tests)/[\w/]+\.py)`", text()) if "NAME" not in path]
    code = "\n".join(path.read_text(encoding="utf-8") for path in files)
    tables = set(re.findall(r"`([A-Z][A-Z_]{3,})`", text())) - {"NAME"}
    assert len(tables) > 15
    assert [table for table in tables if not re.search(rf"^{table}\b.*=", code, flags=re.MULTILINE)] == []


def test_its_set_up_is_the_readmes() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = (line for line in readme.splitlines() if ".venv/bin/pytest" in line)
    assert command in text().splitlines()


def test_the_citation_is_of_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (\S+)$", citation, flags=re.MULTILINE) == [jaxgossip.__version__]
    (date,) = re.findall(r"^date-released: (\S+)$", citation, flags=re.MULTILINE)
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{jaxgossip.__version__}] - {date}" in changes
