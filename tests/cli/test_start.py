"""The command asks for huge pages once, for large runs only, and leaves alone who set the variable."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxgossip.cli.start import ENABLED, TUNABLE, wants_huge_pages


@pytest.mark.parametrize(
    ("words", "tunables", "kernel", "wanted"),
    [
        (["run", "a.toml"], None, "always [madvise] never", True),
        (["bench"], None, "always [madvise] never", True),
        (["run", "a.toml"], "", "always [madvise] never", False),
        (["run", "a.toml"], "glibc.malloc.check=3", "always [madvise] never", False),
        (["run", "a.toml"], None, "[always] madvise never", False),
        (["run", "a.toml"], None, "always madvise [never]", False),
        (["run", "--help"], None, "always [madvise] never", False),
        (["list"], None, "always [madvise] never", False),
        ([], None, "always [madvise] never", False),
    ],
)
def test_when_to_start_anew(words: list[str], tunables: str | None, kernel: str, wanted: bool, tmp_path: Path) -> None:
    (tmp_path / "enabled").write_text(kernel)
    assert wants_huge_pages(words, tunables, tmp_path / "enabled") is wanted


def test_other_systems_have_no_such_file(tmp_path: Path) -> None:
    assert not wants_huge_pages(["run"], None, tmp_path / "nothing")


@pytest.mark.slow
@pytest.mark.parametrize(
    "given", [None, *(pytest.param(one, marks=pytest.mark.slow) for one in ("", "glibc.malloc.check=0"))]
)
def test_the_report_says_what_the_allocator_was_told(given: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    environment |= {} if given is None else {"GLIBC_TUNABLES": given}
    words = ["-m", "jaxgossip", "bench", "--only", "ring", "--nodes", "100", "--repeats", "1", "--json"]
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=True)
    asks = given is None and wants_huge_pages(["bench"], None, ENABLED)
    assert json.loads(done.stdout)["machine"]["allocator"] == (TUNABLE if asks else given or "")
