"""The check of an accelerator, in small and on a CPU: what it compares, what it skips, and that it notices what is wrong."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgossip.algorithms import ALGORITHMS, PROTOCOLS
from jaxgossip.bench.accelerator import algorithms, canary, cnn, device, memory, operators, rounds, table
from jaxgossip.bench.accelerator.check import FULL, SMALL, Check, Found, Sizes, SkipError, compared, together
from jaxgossip.bench.accelerator.run import SECTIONS, Choice, Row, Section, run
from jaxgossip.bench.deep import networks
from jaxgossip.core.errors import InputError, RunError
from jaxgossip.mixing import MIXINGS
from jaxgossip.mixing.operators.structured import LatticeShift
from jaxgossip.simulation.compiled import Compiler

SCRIPT = Path(__file__).parents[2] / "scripts" / "accelerator_check.py"
TINY = replace(SMALL, rows=(3_001,), method_nodes=100, method_params=3, rounds=(100, 101), cnn=2, events=(64,))
QUICK = "canary:products,operators:static on torus,operators:static on star,algorithms:isolated,rounds:8-regular"
MACHINE = {
    "device": {"kind": "cpu", "platform": "cpu", "cores": 2, "machine": "x86_64"},
    "versions": {"jaxgossip": "0", "jax": "0.12", "jaxlib": "0.12"},
}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    if not SCRIPT.is_file():
        pytest.skip("outside of a checkout")
    spec = importlib.util.spec_from_file_location("accelerator_check", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tiny(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(script, "SMALL", TINY)
    return script


def made(name: str, found: Callable[[], Found], **options: object) -> Check:
    return Check(name, found, **options)


def rows_of(*checks: Check, minutes: float = 1.0, timed: bool = True) -> list[Row]:
    """Return the rows of one section with these checks."""
    sections = {"canary": Section(lambda _: checks, 1, timed=timed)}
    return list(run(SMALL, Choice.of("canary"), minutes, sections=sections))


def test_every_section_lists_its_checks_and_skips_them_when_the_time_is_over(
    script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main(["--minutes", "1e-9"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""  # nothing was begun
    for section in SECTIONS:
        assert f"\n{section}\n{'-' * len(section)}\n" in printed.out
    for size in ("1,000,000", "10,000,000", "100,000,000"):
        assert f"update, then merge, {size} " in printed.out
    assert "skipped  no time left" in printed.out
    assert max(map(len, printed.out.splitlines())) <= 80


def test_the_checks_cover_the_registries() -> None:
    for sizes in (FULL, SMALL):
        names = [check.name for check in algorithms.checks(sizes)]
        assert {name.split()[0] for name in names if "own clocks" not in name} == set(ALGORITHMS)
        assert {name.partition(",")[0] for name in names if "own clocks" in name} == set(PROTOCOLS)
        assert {check.name.partition(" on ")[0] for check in operators.checks(sizes)} == set(MIXINGS)
        for section in SECTIONS.values():
            listed = [check.name for check in section.checks(sizes)]
            assert len(set(listed)) == len(listed)
            assert {check.like for check in section.checks(sizes)} <= {"", *listed}
    assert set(operators.KINDS) <= set(MIXINGS)


@pytest.mark.slow
def test_a_tiny_run_is_printed_and_read_back(
    tiny: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "check.json"
    assert tiny.main(["--small", "--only", QUICK, "--json", str(path)]) == 0
    printed = capsys.readouterr()
    assert "All figures are of a CPU" in printed.out
    assert "canary: products of matrices, 3,001 rows …" in printed.err
    record = json.loads(path.read_text())
    assert (record["figures_of"], record["full_size"], record["passed"]) == ("cpu", False, True)
    assert record["machine"]["versions"]["jax"] == jax.__version__
    assert {row["section"] for row in record["rows"]} == {"canary", "operators", "algorithms", "rounds"}
    assert {row["status"] for row in record["rows"] if row["section"] != "rounds"} == {"ok"}
    for row in record["rows"]:
        assert row["name"].partition(",")[0] in printed.out
        assert row["seconds"] > 0


@pytest.mark.slow
def test_a_broken_operator_fails_the_check_by_its_name(
    tiny: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    take = LatticeShift.take

    def broken(self: LatticeShift, x: jax.Array, slot: int) -> jax.Array:
        rows = take(self, x, slot)
        return rows.at[5].add(0.25) if jnp.issubdtype(x.dtype, jnp.floating) else rows

    monkeypatch.setattr(LatticeShift, "take", broken)
    path, sizes = tmp_path / "check.json", replace(TINY, small=24, large=309)  # other programs are compiled already
    monkeypatch.setattr(tiny, "SMALL", sizes)
    assert (
        tiny.main(["--small", "--only", "operators:static on torus,operators:static on star", "--json", str(path)]) == 1
    )
    printed = capsys.readouterr().out
    assert "FAILED operators: static on torus, 24: W X: 1 of 24 rows differ" in " ".join(printed.split())
    record = json.loads(path.read_text())
    assert not record["passed"]
    failed = {row["name"] for row in record["rows"] if row["status"] == "failed"}
    assert failed == {"static on torus, 24", "static on torus, 309"}


@pytest.mark.by_default("False")
@pytest.mark.parametrize("timed", [True, False])
def test_a_check_that_crashes_is_a_row_and_the_others_are_made(*, timed: bool) -> None:
    def crash() -> Found:
        raise RuntimeError("RESOURCE_EXHAUSTED: out of memory\nallocating 8 GB")

    def skip() -> Found:
        raise SkipError("no room")

    fine = made("fine", lambda: Found("all is well", {"error": float("nan"), "parts": {"n": np.int64(3)}}, "ok"))
    crashed, skipped, after = rows_of(made("crash", crash), made("skip", skip), fine, timed=timed)
    assert (crashed.status, crashed.text) == ("failed", "RuntimeError: RESOURCE_EXHAUSTED: out of memory")
    assert "allocating 8 GB" in crashed.trace
    assert (skipped.status, skipped.text) == ("skipped", "no room")
    assert after.status == "ok"
    assert json.loads(json.dumps(after.record(), allow_nan=False))["figures"] == {"error": None, "parts": {"n": 3}}
    assert table.summary([crashed, skipped, after], 2.0).splitlines()[-2:] == [
        "3 checks in 2 s: 1 ok, 1 skipped, 1 failed",
        "FAILED canary: crash: RuntimeError: RESOURCE_EXHAUSTED: out of memory",
    ]


def test_a_section_that_cannot_list_its_checks_is_a_row() -> None:
    def broken(_: Sizes) -> Iterator[Check]:
        raise ImportError("no module")

    sections = {"canary": Section(broken, 1), "cnn": Section(lambda _: [made("fine", lambda: Found(""))], 1)}
    first, second = run(SMALL, Choice.of(""), 1.0, sections=sections)
    assert (first.status, first.text) == ("failed", "ImportError: no module")
    assert second.status == "measured"


def test_a_size_that_would_take_too_long_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("jaxgossip.bench.accelerator.run.time.monotonic", lambda: now[0])

    def found() -> Found:
        now[0] += 10
        return Found("")

    small, large, larger = rows_of(
        made("small", found),
        made("large", found, like="small", times=10),
        made("larger", found, like="large", times=2),
        minutes=1,
    )
    assert (small.status, small.seconds) == ("measured", 10)
    assert (large.status, large.text) == ("skipped", "50.0 s left, and it may take 1 min 40 s")
    assert (larger.status, larger.text) == ("skipped", "50.0 s left, and it may take 3 min 20 s")


def test_comparisons() -> None:
    x = np.ones((4, 2))
    assert compared(x, x).status == "ok"
    wrong = compared(x + np.array([[0], [0], [0], [1e-4]]), x)
    assert (wrong.status, wrong.figures["wrong_rows"]) == ("failed", 1)
    assert wrong.text == "1 of 4 rows differ, up to 1.0e-04; at most 1.0e-05"
    assert compared(x + 1e-4, x, scale=100.0).status == "ok"
    assert "some not finite" in compared(np.full((4, 2), np.nan), x).text
    assert compared(x[:2], x).text == "shape (2, 2) in the place of (4, 2)"
    exact = compared(x, x, 0.0)
    assert together({"a": exact, "b": compared(x + 1e-6, x)}).text == "apart 1.0e-06, at most 1.0e-05"
    assert together({"a": exact, "b": wrong}).text.startswith("b: 1 of 4")


def test_choices() -> None:
    assert list(Choice.of("").words) == list(SECTIONS)
    choice = Choice.of("cnn, operators:ring,operators:star")
    assert choice.takes("cnn", "anything")
    assert choice.takes("operators", "static on star, 16")
    assert not choice.takes("operators", "static on path, 16")
    assert not choice.takes("events", "calm")
    assert Choice.of("cnn:step,cnn").takes("cnn", "a round")
    with pytest.raises(InputError, match="unknown section 'rouds'") as caught:
        Choice.of("rouds")
    assert "did you mean 'rounds'?" in caught.value.hint


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "cnns"], "did you mean 'cnn'?"),
        (["--only", "cnn:nothing"], "no check of that name"),
        (["--minutes", "0"], "--minutes must be above 0"),
        (["--json", "/no/such/folder/x.json"], "no such folder: /no/such/folder"),
    ],
)
def test_options_that_cannot_be_used(
    script: ModuleType, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        script.main(words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_what_does_not_fit_is_told_before_it_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gpu:
        def memory_stats(self) -> dict[str, int]:
            return {"bytes_limit": 10**9, "bytes_in_use": 4 * 10**8, "peak_bytes_in_use": 5 * 10**8}

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "local_devices", lambda **_: [Gpu()])
    assert device.device_memory() == device.Memory(5 * 10**8, 6 * 10**8)
    device.check_room(6 * 10**8)
    with pytest.raises(SkipError, match="needs about 700 MB, and the device has 600 MB left"):
        device.check_room(7 * 10**8)
    with pytest.raises(SkipError, match=r"1e\+03 TB|1000 TB|1e\+06 TB.*and the machine has"):
        device.check_room(0, 10**18)
    (row,) = rows_of(made("much", lambda: rounds.round_speed(10**8, "update_merge", 0.1)))
    assert row.status == "skipped"
    monkeypatch.setattr(jax, "local_devices", lambda **_: (_ for _ in ()).throw(RuntimeError("no cpu")))
    with pytest.raises(RunError, match="no CPU to compare with") as caught:
        device.on_cpu()
    assert caught.value.hint.startswith("JAX_PLATFORMS=gpu,cpu")


def test_a_peak_above_its_plan_fails() -> None:
    plan = memory.Plan(1, None, 1, {}, 1, 1, 1)
    assert memory._judged(plan, 100, 50, 110).status == "ok"
    above = memory._judged(plan, 100, 50, 111)
    assert (above.status, above.text) == ("failed", "peak 111 B, planned 100 B: 111 %")
    with pytest.raises(SkipError, match="an earlier check took more"):
        memory._judged(plan, 100, 120, 120)


@pytest.mark.slow
def test_a_wrong_row_of_the_first_round_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "_sampled", lambda n: np.arange(n, dtype=np.int32))
    monkeypatch.setattr(rounds, "partners", lambda *_: np.roll(np.arange(100), 1))
    found = rounds.round_speed(100, "update_merge", 1e-4)
    assert found.status == "failed"
    assert "rows differ" in found.text
    assert found.figures["copies"] == pytest.approx(found.figures["round_s"] / found.figures["copy_s"])
    assert found.figures["floor_share"] == pytest.approx(1.5 / found.figures["copies"])


@pytest.mark.slow
def test_programs_are_of_the_default_device() -> None:
    code = """
import jax
jax.config.update("jax_num_cpu_devices", 2)
import jax.numpy as jnp
from jaxgossip.simulation.compiled import Compiler
def double(_, x): return 2 * x
for place in jax.devices():
    with jax.default_device(place):
        x = jnp.ones(3)
        assert Compiler().compile(double, (), x)(x).devices() == {place}, place
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_a_kernel_that_is_wrong_beyond_some_row_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_ = Compiler.compile

    def miscompiled(self: Compiler, *arguments: object, **options: object) -> Callable[..., jax.Array]:
        program = compile_(self, *arguments, **options)
        return lambda x: jnp.asarray(program(x)).at[2_000:].add(1.0)

    monkeypatch.setattr(Compiler, "compile", miscompiled)
    found = canary.square_gradients(3_001)
    assert (found.status, found.figures["wrong_rows"]) == ("failed", 1_001)


@pytest.mark.slow
def test_every_section_is_made_in_small(
    tiny: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cnn.networks, "cnn_32", networks.mlp)  # convolutions take a minute to compile
    path = tmp_path / "check.json"
    # Of operators and algorithms some: the others are made alike, and are compiled by tests of their own.
    only = "canary,operators:ring,algorithms:gossip,memory,cnn,events,rounds"
    options = ["--small", "--minutes", "30", "--only", only, "--json", str(path)]
    assert tiny.main(options) == 0, capsys.readouterr().out
    record = json.loads(path.read_text())
    assert [name for name in SECTIONS if any(row["section"] == name for row in record["rows"])] == list(SECTIONS)
    for row in record["rows"]:
        assert row["status"] in {"ok", "measured"} or (row["section"], row["status"]) == ("memory", "skipped"), row
    figures = {row["name"]: row["figures"] for row in record["rows"]}
    assert figures["update, then merge, 101"]["updates_per_s"] > 0
    assert figures["calm, 64 nodes"]["per_s"] > 0
    assert figures["2 nodes, a step"]["speedup"] > 0
