"""Shared by all tests: programs that several tests compile alike are compiled once a session, and terminals are usual ones.

Every process of tests has eight CPU devices, for those of meshes; whatever does without a mesh computes on the first.
"""

import os
import zlib
from collections import Counter
from collections.abc import Iterator

import jax
import jaxtyping
import pytest

jax.config.update("jax_num_cpu_devices", 8)  # before any test computes anything


@pytest.fixture(scope="session", autouse=True)
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep compiled programs in a folder that the workers of one session share, and no later one; write 80 columns.

    Sessions of one ``.ci/run`` share the folder that it names.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    compiled = os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(shared / "compiled"))  # runs in processes see it
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["COLUMNS"] = "80"  # tables and messages as on a usual terminal, whatever the tests run in
    jax.config.update("jax_compilation_cache_dir", compiled)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    yield
    jax.config.update("jax_compilation_cache_dir", None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Check no annotation during a test marked ``wrong_types``: what our own checks say is what it looks at."""
    jaxtyping.config.update("jaxtyping_disable", item.get_closest_marker("wrong_types") is not None)
    try:
        return (yield)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--one-case-in", type=int, default=1, metavar="K", help="of a slow test's cases run one in K")
    parser.addoption(
        "--drawn-by", default="", metavar="TEXT", help="what says which of K, as the name of a commit does"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark as slow those cases of a test that its ``by_default`` does not name, and leave out those that are not drawn."""
    mark_slow(items)
    left_out = drawn_out(items, config.getoption("one_case_in"), config.getoption("drawn_by"))
    config.hook.pytest_deselected(items=left_out)
    gone = set(left_out)
    items[:] = [item for item in items if item not in gone]


def drawn_out(items: list[pytest.Item], one_in: int, seed: str) -> list[pytest.Item]:
    """Return the slow cases that are not run: of each test all but one in so many, and at least one is."""
    tests = [item.nodeid.partition("[")[0] if item.get_closest_marker("slow") else "" for item in items]
    number, seen, left_out = Counter(tests), Counter(), []
    for item, test in zip(items, tests, strict=True):
        turns = min(one_in, number[test])
        if test and seen[test] % turns != zlib.crc32(f"{seed} {test}".encode()) % turns:
            left_out.append(item)
        seen[test] += 1
    return left_out


def mark_slow(items: list[pytest.Item]) -> None:
    """Mark as slow those cases of a test that its ``by_default`` does not name."""
    known: dict[str, set[str]] = {}
    for item in items:
        marker, case = item.get_closest_marker("by_default"), getattr(item, "callspec", None)
        if marker is None or case is None:
            continue
        known.setdefault(item.nodeid.partition("[")[0], set(marker.args)).discard(case.id)
        if case.id not in marker.args:
            item.add_marker(pytest.mark.slow)
    whole = len(items) > len(known) + 1000  # of a few that are asked for by name, others may be missing
    stale = {name: left for name, left in known.items() if left}
    if whole and stale:
        raise pytest.UsageError(f"by_default names cases that there are not: {stale}")
