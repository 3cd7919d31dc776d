"""Checkpoints of runs on a mesh: files of pieces that are valid only together, and fit any number of devices."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgossip as jg
from jaxgossip.core import disk
from jaxgossip.core.devices.blocks import Layout
from jaxgossip.network import Traffic
from jaxgossip.simulation import RunState, checkpoint
from jaxgossip.simulation.mesh import spread_run, stored
from jaxgossip.simulation.mesh.placement import Place, spread_one
from jaxgossip.simulation.mesh.spread_run import Piece, SpreadRun

N = 203


def state() -> RunState:
    """Return the state of a run, on the host, with rows of several shapes and dtypes."""
    draw = np.random.default_rng(0)
    rows = {"x": draw.normal(size=(N, 5)).astype(np.float32), "age": draw.integers(0, 9, N, np.int32)}
    half = jnp.asarray(rows["x"][:, :3], jnp.bfloat16)
    made = RunState(jnp.int32(5), jnp.asarray(False), jnp.asarray(False), Traffic.none(), rows | {"half": half})
    return jax.tree.map(np.asarray, made)


def spread_over(devices: int) -> SpreadRun:
    """Return that state on a mesh."""
    mesh, layout, whole = jg.mesh(devices), Layout(N, devices), state()
    places = jax.tree.map(lambda leaf: Place.ROWS if leaf.ndim and len(leaf) == N else Place.ALL, whole)
    spread = jax.tree.map(lambda leaf, place: spread_one(leaf, place, layout, mesh), whole, places)
    return SpreadRun(spread, places, N)


@pytest.fixture(scope="module")
def kept() -> SpreadRun:
    return spread_over(4)


def same(ours: RunState, theirs: RunState) -> None:
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def load(folder: Path, **options: Any) -> tuple[RunState, dict[str, Any]]:
    return checkpoint.load(folder, state(), **options)


def as_of(processes: int, folder: Path, run: SpreadRun, round_number: int) -> list[Path]:
    """Write the checkpoint that several processes would write, and return its files."""
    disk.make_folder(folder)
    pieces = [Piece(leaf, 0, np.asarray(values)) for leaf, values in enumerate(jax.tree.leaves(run.gathered()))]
    paths = [folder / stored.file_name(round_number, process, processes, processes) for process in range(processes)]
    for process, path in enumerate(paths):
        stored.write(path, [part for piece in pieces for part in of_process(piece, process, processes)])
    digests = {path.name: disk.digest(path) for path in paths}
    checkpoint._complete(folder, round_number, {"pieces": digests, "leaves": stored.shapes(run)})
    return paths


def of_process(piece: Piece, process: int, processes: int) -> list[Piece]:
    if piece.values.ndim == 0 or len(piece.values) != N:
        return [piece] if process == 0 else []
    rows = np.array_split(np.arange(len(piece.values)), processes)[process]
    return [Piece(piece.leaf, piece.start + int(rows[0]), piece.values[rows])]


def test_the_state_comes_back_with_a_row_for_each_node(kept: SpreadRun, tmp_path: Path) -> None:
    written = checkpoint.save(tmp_path, kept, round_number=5, metadata={"wall_s": 1.5})
    assert written.name == "round-000000005.json"
    assert [path.name for path in tmp_path.glob("*.npz")] == ["round-000000005.p0000of0001on4.npz"]
    state, metadata = load(tmp_path, on_host=True)
    same(state, kept.gathered())
    assert metadata["wall_s"] == 1.5
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(state))
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(load(tmp_path)[0]))


def test_it_tells_the_shape_of_every_leaf(kept: SpreadRun, tmp_path: Path) -> None:
    facts = json.loads(checkpoint.save(tmp_path, kept, round_number=5, metadata={}).read_text())
    leaves = jax.tree.leaves(kept.gathered())
    assert facts["leaves"] == [[list(leaf.shape), str(leaf.dtype)] for leaf in leaves]
    assert [[N, 5], "float32"] in facts["leaves"]


def test_rows_are_written_part_by_part(kept: SpreadRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread_run, "PIECE_BYTES", 20 * 25)
    rows = [len(piece.values) for piece in kept.pieces() if piece.values.shape[1:] == (5,)]
    assert sum(rows) == N
    assert max(rows) == 25
    checkpoint.save(tmp_path, kept, round_number=5, metadata={})
    same(load(tmp_path)[0], kept.gathered())


def test_the_same_state_gives_the_same_bytes(kept: SpreadRun, tmp_path: Path) -> None:
    one, other = tmp_path / "one.npz", tmp_path / "other.npz"
    for path in (one, other):
        stored.write(path, kept.pieces())
    assert one.read_bytes() == other.read_bytes()


def test_files_of_several_processes_and_the_old_form_read_alike(kept: SpreadRun, tmp_path: Path) -> None:
    as_of(3, tmp_path / "three", kept, 5)
    checkpoint.save(tmp_path / "old", kept.gathered(), round_number=5, metadata={})
    for folder in ("three", "old"):
        same(load(tmp_path / folder)[0], kept.gathered())


def torn(files: list[Path]) -> None:
    files[1].write_bytes(files[1].read_bytes()[:-7])


def missing(files: list[Path]) -> None:
    files[1].unlink()


def reordered(files: list[Path]) -> None:
    first, other = files[1].read_bytes(), files[2].read_bytes()
    files[1].write_bytes(other)
    files[2].write_bytes(first)


@pytest.mark.parametrize("devices", [1, 2, 3, 8])
def test_rows_of_any_number_of_devices_are_the_same(devices: int, tmp_path: Path) -> None:
    checkpoint.save(tmp_path, spread_over(devices), round_number=5, metadata={})
    same(load(tmp_path, on_host=True)[0], state())


@pytest.mark.parametrize("damage", [torn, missing, reordered])
def test_a_damaged_piece_damages_the_whole(
    damage: Callable[[list[Path]], None], kept: SpreadRun, tmp_path: Path
) -> None:
    as_of(2, tmp_path, kept, 4)
    damage(as_of(3, tmp_path, kept, 5))
    with pytest.warns(jg.errors.JaxGossipWarning, match=r"round-000000005\.p0001of0003on3\.npz is damaged"):
        state, metadata = load(tmp_path)
    assert metadata["round"] == 4
    same(state, kept.gathered())


@pytest.mark.parametrize("kind", ["a row short", "a row twice", "of another dtype", "of another leaf"])
def test_pieces_that_do_not_make_up_the_state(kind: str, kept: SpreadRun, tmp_path: Path) -> None:
    path, leaves = tmp_path / "pieces.npz", stored.shapes(kept)
    number = leaves.index(([N, 5], "float32"))
    others = [piece for piece in kept.pieces() if piece.leaf != number]
    rows = state().state["x"]
    pieces = {
        "a row short": [Piece(number, 0, rows[:-1])],
        "a row twice": [Piece(number, 0, rows[:100]), Piece(number, 99, rows[99:])],
        "of another dtype": [Piece(number, 0, rows.astype(np.int32))],
        "of another leaf": [Piece(len(leaves), 0, rows)],
    }
    stored.write(path, [*others, *pieces[kind]])
    assert stored.read([path], leaves) is None
    stored.write(path, [*others, Piece(number, 0, rows)])
    assert stored.read([path], leaves) is not None


def test_old_ones_are_removed_with_all_their_files(kept: SpreadRun, tmp_path: Path) -> None:
    checkpoint.save(tmp_path, kept.gathered(), round_number=1, metadata={})
    for round_number in (2, 3):
        as_of(2, tmp_path, kept, round_number)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        f"round-00000000{round_number}{ending}"
        for round_number in (2, 3)
        for ending in (".json", ".p0000of0002on2.npz", ".p0001of0002on2.npz")
    ]


def test_another_number_of_processes_replaces_no_file(kept: SpreadRun, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in as_of(2, tmp_path, kept, 5)}
    checkpoint.save(tmp_path, kept, round_number=5, metadata={})
    assert all(path.read_bytes() == content for path, content in before.items())
    same(load(tmp_path)[0], kept.gathered())


def test_sixteen_bits_come_back(tmp_path: Path) -> None:
    rows = np.asarray(jnp.arange(6, dtype="bfloat16").reshape(3, 2))
    stored.write(tmp_path / "x.npz", [Piece(0, 2, rows[2:]), Piece(0, 0, rows[:2])])
    (back,) = stored.read([tmp_path / "x.npz"], [([3, 2], "bfloat16")]) or [None]
    assert back is not None
    assert back.dtype == rows.dtype
    np.testing.assert_array_equal(back, rows)
