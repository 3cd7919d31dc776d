"""What a process may still take: the system's free memory, or what its container has left of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

from jaxgossip.core.devices import memory


def test_a_containers_limit_counts_and_the_files_that_it_keeps_in_memory_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 900 kB\nMemAvailable: 800 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.available_bytes() == 800 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("500000\n")
    assert memory.available_bytes() == 800 * 1024
    (tmp_path / "memory.max").write_text("600000\n")
    assert memory.available_bytes() == 100_000
    (tmp_path / "memory.stat").write_text("anon 90000\nactive_file 30000\ninactive_file 200000\nshmem 7\n")
    assert memory.available_bytes() == 330_000
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 900000\n")
    assert memory.available_bytes() == 0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="elsewhere the system's only figure is taken")
def test_a_small_process_that_a_large_one_starts_has_not_held_the_large_ones_memory() -> None:
    large = "import subprocess, sys; held = b'x' * 1_500_000_000; subprocess.run(sys.argv[1:], check=True)"
    small = "from jaxgossip.core.devices.memory import peak_bytes; print(peak_bytes())"
    words = [sys.executable, "-c", large, sys.executable, "-c", small]
    assert int(subprocess.run(words, capture_output=True, text=True, check=True).stdout) < 1_000_000_000
