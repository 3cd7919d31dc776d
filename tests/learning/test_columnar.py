"""Parquet, Arrow and folders that Hugging Face ``datasets`` saves: values as they were written, and damaged ones refused."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from jaxgossip.core.errors import DataError
from jaxgossip.learning import load_file
from jaxgossip.learning.data.arrays import Dataset
from jaxgossip.learning.data.readers.columnar import from_hugging_face, read_columnar

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
feather = pytest.importorskip("pyarrow.feather")

ROWS = 12
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (ROWS, 4, 3, 3), dtype=np.uint8)
LISTS = RNG.normal(size=(ROWS, 5)).astype(np.float32)
NUMBERS = np.arange(ROWS) % 3
NAMES = ["cat", "ape", "dog"]
"""Not in the order of their numbers: a class is known by its name."""
FEATURES = {
    "image": {"_type": "Image"},
    "label": {"names": NAMES, "_type": "ClassLabel"},
    "writer": {"dtype": "string", "_type": "Value"},
}


def png(pixels: np.ndarray, mode: str | None = None) -> bytes:
    held = io.BytesIO()
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(held, "PNG")
    return held.getvalue()


def pictures(rows: slice, pixels: np.ndarray = PIXELS):
    packed = [{"bytes": png(image), "path": f"{row}.png"} for row, image in enumerate(pixels[rows])]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.table(
        {
            "image": pa.array(packed, kind),
            "label": pa.array(NUMBERS[rows]),
            "writer": pa.array([f"w{row // 4}" for row in range(ROWS)][rows]),
        }
    )


def save_stream(file: Path, table) -> None:
    with pa.ipc.new_stream(str(file), table.schema) as writer:
        writer.write_table(table, max_chunksize=5)


def save_to_disk(folder: Path, *tables, features: dict = FEATURES) -> None:
    """Write the folder of a split as ``datasets.Dataset.save_to_disk`` does."""
    folder.mkdir(parents=True)
    names = [f"data-{number:05d}-of-{len(tables):05d}.arrow" for number in range(len(tables))]
    for name, table in zip(names, tables, strict=True):
        save_stream(folder / name, table)
    state = {
        "_data_files": [{"filename": name} for name in names], "_fingerprint": "c0ffee", "_format_columns": None,
        "_format_kwargs": {}, "_format_type": None, "_output_all_columns": False, "_split": folder.name,
    }  # fmt: skip
    (folder / "state.json").write_text(json.dumps(state, indent=2))
    (folder / "dataset_info.json").write_text(json.dumps({"citation": "", "description": "", "features": features}))


def samples_of(data: Dataset, y: np.ndarray) -> list[tuple[bytes, str]]:
    """Return all samples with their targets, in an order that no split changes."""
    x = np.concatenate([data.x_train, data.x_test])
    return sorted(zip([one.tobytes() for one in x], map(str, y), strict=True))


def labels_of(data: Dataset) -> np.ndarray:
    return np.array(data.labels)[np.concatenate([data.y_train, data.y_test])]


def expected(x: np.ndarray, y) -> list[tuple[bytes, str]]:
    return sorted(zip([one.tobytes() for one in x], map(str, y), strict=True))


@pytest.mark.parametrize("shards", [1, 2])
def test_a_folder_of_datasets_has_images_and_the_names_of_classes(shards: int, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    save_to_disk(folder, *([pictures(slice(None))] if shards == 1 else [pictures(slice(7)), pictures(slice(7, None))]))
    save_stream(
        folder / "data-00000-of-00009.arrow", pictures(slice(2))
    )  # of an earlier save: its state does not name it
    data = load_file(folder, owner_column="writer")
    assert data.x_train.dtype == np.uint8
    assert data.x_train.shape[1:] == (4, 3, 3)
    assert samples_of(data, labels_of(data)) == expected(PIXELS, [NAMES[number] for number in NUMBERS])
    by_image = {image.tobytes(): f"w{row // 4}" for row, image in enumerate(PIXELS)}
    assert [by_image[x.tobytes()] for x in data.x_train] == [data.owner_names[owner] for owner in data.owners]


def test_the_splits_of_a_dataset_dict_stay_apart(tmp_path: Path) -> None:
    for split, rows in (("train", slice(8)), ("test", slice(8, 11)), ("validation", slice(11, 12))):
        save_to_disk(tmp_path / split, pictures(rows))
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test", "validation"]}')
    data = load_file(tmp_path, features=("image",))
    np.testing.assert_array_equal(data.x_test, PIXELS[8:11])
    assert [data.labels[y] for y in data.y_test] == [NAMES[number] for number in NUMBERS[8:11]]
    assert {x.tobytes() for x in data.x_train} == {x.tobytes() for x in PIXELS[:8]}
    assert {"test set: split 'test'", "left out: splits validation"} <= set(data.notes)
    with pytest.raises(DataError) as told:
        load_file(tmp_path, features=("image",), test_fraction=0.2)
    assert told.value.message == f"{tmp_path}: test_fraction = 0.2, and the data have a test set of their own"


def columns(**more) -> dict:
    return {"a": np.arange(ROWS, dtype=np.float32), "b": np.arange(ROWS)[::-1], "class": NUMBERS} | more


WRITERS: dict[str, Callable] = {
    "x.parquet": lambda table, path: pq.write_table(table, path, row_group_size=5),
    "x.arrow": lambda table, path: save_stream(path, table),
    "y.arrow": lambda table, path: feather.write_feather(table, str(path), compression="uncompressed"),
    "x.feather": lambda table, path: feather.write_feather(table, str(path), compression="lz4"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_numbers_words_and_owners_are_read_from_every_format(name: str, tmp_path: Path) -> None:
    words = pa.array(["x", "y", "z"]).dictionary_encode().take(pa.array(NUMBERS))
    table = pa.table(columns(kind=words, flag=NUMBERS == 1, who=np.arange(ROWS) % 4))
    WRITERS[name](table, tmp_path / name)
    data = load_file(
        tmp_path / name, features=("a", "b", "flag"), label_column="kind", owner_column="who", standardize=False
    )
    x = np.stack([np.arange(ROWS), np.arange(ROWS)[::-1], NUMBERS == 1], 1).astype(np.float32)
    assert samples_of(data, labels_of(data)) == expected(x, ["xyz"[number] for number in NUMBERS])
    np.testing.assert_array_equal(data.owners, data.x_train[:, 0].astype(int) % 4)
    (tmp_path / "data").write_bytes((tmp_path / name).read_bytes())
    by_content = load_file(tmp_path / "data", label_column="class", features=("a", "b"), standardize=False)
    assert samples_of(by_content, labels_of(by_content)) == expected(x[:, :2], NUMBERS)


@pytest.mark.parametrize(
    "kind",
    [
        lambda: pa.array(LISTS.tolist(), pa.list_(pa.float32())),
        lambda: pa.array(LISTS.tolist(), pa.large_list(pa.float32())),
        lambda: pa.FixedSizeListArray.from_arrays(pa.array(LISTS.ravel()), 5),
        lambda: pa.chunked_array([pa.array(part.tolist(), pa.list_(pa.float32())) for part in (LISTS[:5], LISTS[5:])]),
        lambda: pa.FixedShapeTensorArray.from_numpy_ndarray(LISTS),
        lambda: pa.array([[0.0], *LISTS.tolist()], pa.list_(pa.float32()))[1:],
    ],
    ids=["list", "large", "fixed", "chunks", "tensor", "sliced"],
)
def test_lists_of_numbers_are_samples_of_their_shape(kind: Callable, tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": kind(), "label": NUMBERS}), tmp_path / "a.parquet")
    data = read_columnar(tmp_path / "a.parquet", standardize=False)
    assert samples_of(data, labels_of(data)) == expected(LISTS, NUMBERS)


def test_lists_of_lists_values_and_tokens(tmp_path: Path) -> None:
    tokens = RNG.integers(0, 9, (ROWS, 6))
    table = {
        "grid": PIXELS.tolist(),
        "ids": tokens[:, :-1].tolist(),
        "next": tokens[:, 1:].tolist(),
        "t": LISTS[:, :2].tolist(),
    }
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(table), path)
    read = read_columnar(path, features=("grid",), label_column="t", target="value", samples="images")
    both = zip([*read.x_train, *read.x_test], [*read.y_train, *read.y_test], strict=True)
    wanted = sorted(zip([one.tobytes() for one in PIXELS], LISTS[:, :2].tolist(), strict=True))
    assert sorted((x.tobytes(), y.tolist()) for x, y in both) == wanted
    read = read_columnar(path, features=("ids",), label_column="next", target="sequence")
    assert (read.samples, read.n_classes) == ("tokens", 9)
    np.testing.assert_array_equal(read.x_train[:, 1:], read.y_train[:, :-1])
    with pytest.raises(DataError, match="standardize, and samples are tokens, which are not scaled"):
        read_columnar(path, features=("ids",), label_column="next", target="sequence", standardize=True)


@pytest.mark.parametrize(("mode", "shape"), [("1", (4, 3)), ("L", (4, 3)), ("P", (4, 3, 3)), ("RGBA", (4, 3, 4))])
def test_images_are_what_is_seen_whatever_their_mode(mode: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    packed = [{"bytes": png(image, mode), "path": None} for image in PIXELS]
    pq.write_table(pa.table({"img": packed, "label": NUMBERS}), tmp_path / "a.parquet")
    data = read_columnar(tmp_path / "a.parquet")
    assert (data.x_train.shape[1:], data.x_train.dtype) == (shape, np.uint8)
    seen = [
        np.asarray(
            Image.fromarray(image).convert(mode).convert("L" if mode in "1L" else mode if mode == "RGBA" else "RGB")
        )
        for image in PIXELS
    ]
    assert samples_of(data, labels_of(data)) == expected(np.stack(seen), NUMBERS)


def test_images_may_lie_beside_their_table(tmp_path: Path) -> None:
    for row, image in enumerate(PIXELS):
        (tmp_path / f"{row}.png").write_bytes(png(image))
    packed = pa.array([{"bytes": None, "path": f"{row}.png"} for row in range(ROWS)], pictures(slice(1))["image"].type)
    pq.write_table(pa.table({"img": packed, "label": NUMBERS}), tmp_path / "a.parquet")
    data = load_file(tmp_path)
    assert samples_of(data, labels_of(data)) == expected(PIXELS, NUMBERS)


def test_files_of_a_folder_are_splits_by_name_and_keep_the_names_of_classes(tmp_path: Path) -> None:
    held = {b"huggingface": json.dumps({"info": {"features": FEATURES}}).encode()}
    for name, rows in (
        ("train-00000-of-00002", slice(5)),
        ("train-00001-of-00002", slice(5, 9)),
        ("test-00000-of-00001", slice(9, 12)),
    ):
        pq.write_table(pictures(rows).replace_schema_metadata(held), tmp_path / f"{name}.parquet")
    data = load_file(tmp_path, features=("image",), owner_column="writer")
    assert (len(data.x_train), len(data.owners)) == (9, 9)
    np.testing.assert_array_equal(data.x_test, PIXELS[9:])
    assert [data.labels[y] for y in data.y_test] == [NAMES[number] for number in NUMBERS[9:]]


def test_the_index_that_pandas_writes_is_no_feature(tmp_path: Path) -> None:
    pq.write_table(pa.table(columns(__index_level_0__=np.arange(ROWS) + 7)), tmp_path / "a.parquet")
    data = read_columnar(tmp_path / "a.parquet")
    assert data.x_train.shape[1] == 2
    assert "left out: __index_level_0__, which numbers or names the rows" in data.notes


class HeldDataset:
    """What is used of a ``datasets.Dataset``."""

    def __init__(self, table) -> None:
        self.table = table
        self.features = {"image": SimpleNamespace(), "label": SimpleNamespace(names=NAMES), "writer": SimpleNamespace()}

    def with_format(self, name: str):
        assert name == "arrow"
        return self.table


def test_a_dataset_from_python_is_that_of_its_folder(tmp_path: Path) -> None:
    save_to_disk(tmp_path / "train", pictures(slice(8)))
    save_to_disk(tmp_path / "test", pictures(slice(8, None)))
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    splits = {"train": HeldDataset(pictures(slice(8))), "test": HeldDataset(pictures(slice(8, None)))}
    found, saved = from_hugging_face(splits, owner_column="writer"), read_columnar(tmp_path, owner_column="writer")
    for part in ("x_train", "y_train", "x_test", "y_test", "owners"):
        np.testing.assert_array_equal(getattr(found, part), getattr(saved, part))
    assert found.labels == saved.labels == ("ape", "cat", "dog")
    with pytest.raises(DataError, match=r"mine is no datasets\.Dataset, and has no split 'train'"):
        from_hugging_face([1, 2], name="mine")


def ragged() -> list[list[float]]:
    return [[0.0, 1.0]] * 7 + [[0.0]] + [[0.0, 1.0]] * 4


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (lambda: columns(x=ragged()), {"features": ("x",)}, "row 7 (counted from 0) of column 'x' is a list of 1, and an earlier one is of 2"),
        (lambda: columns(x=[[[0.0, 1.0], one] for one in ragged()]), {"features": ("x",)}, "row 7 (counted from 0) of column 'x' is a list of 1, and an earlier one is of 2"),
        (lambda: columns(x=[[1.0, None]] * ROWS), {"features": ("x",)}, "row 0 (counted from 0) of column 'x' misses a number, as are 11 more"),
        (lambda: columns(x=[["a"]] * ROWS), {"features": ("x",)}, "column 'x' holds lists of string"),
        (lambda: columns(x=[1.0, 2.0, None] * 4), {}, "row 2 (counted from 0) of column 'x' is missing, as are 3 more"),
        (lambda: columns(x=[b"raw"] * ROWS), {}, "column 'x' holds binary"),
        (lambda: columns(x=["word"] * ROWS), {}, "column 'x' holds no numbers"),
        (lambda: columns(x=[[1.0]] * ROWS), {}, "column 'x' holds arrays, beside 2 other columns"),
        (columns, {"label_column": "klass"}, "no column 'klass'"),
        (columns, {"features": ("A",)}, "no column 'A'"),
        (columns, {"owner_column": "who"}, "no column 'who'"),
        (lambda: columns(label=NUMBERS), {}, "2 columns are called like labels"),
        (lambda: {"class": NUMBERS}, {}, "no column of features remains"),
        (lambda: columns(x=[{"bytes": b"no image", "path": None}] * ROWS), {"features": ("x",)}, "row 0 (counted from 0) of column 'x' cannot be read as an image: cannot identify image file"),
        (lambda: columns(x=[{"bytes": None, "path": "none.png"}] * 11 + [{"bytes": b"", "path": ""}]), {"features": ("x",)}, "row 0 (counted from 0) of column 'x' cannot be read as an image: [Errno 2] No such file"),
        (lambda: columns(x=[{"bytes": png(image[: 4 - (row == 5)]), "path": ""} for row, image in enumerate(PIXELS)]), {"features": ("x",)}, "row 5 (counted from 0) of column 'x' is an image of shape (3, 3, 3), and row 0 has (4, 3, 3)"),
    ],
)  # fmt: skip
def test_a_column_that_cannot_be_read_is_told_with_its_place(
    table: Callable, options: dict, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(table()), path)
    with pytest.raises(DataError) as told:
        read_columnar(path, **options)
    assert told.value.message.startswith(f"{path}: {message}")
    assert told.value.hint


@pytest.mark.parametrize("name", WRITERS)
def test_a_truncated_file_is_told(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    WRITERS[name](pa.table(columns()), path)
    content = path.read_bytes()
    for length in {0, 3, 9, len(content) // 2, len(content) - 8, len(content) - 1}:
        path.write_bytes(content[:length])
        with pytest.raises(DataError) as told:
            load_file(path)
        assert str(path) in told.value.message
        assert told.value.hint


def test_a_stream_cut_between_two_messages_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    save_stream(path, pa.table(columns()))
    path.write_bytes(path.read_bytes()[:-8])
    with pa.memory_map(str(path)) as source:
        assert pa.ipc.open_stream(source).read_all().num_rows == ROWS  # which is why the reader looks at the end
    with pytest.raises(DataError) as told:
        read_columnar(path)
    assert told.value.message == f"{path} ends before its end is marked"


def test_a_file_of_another_format_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_text("1,2,3\n")
    for kind in ("parquet", "arrow"):
        with pytest.raises(DataError) as told:
            load_file(path, format=kind)
        assert told.value.message == f"{path} is no Parquet or Arrow file: it begins with 31 2c 32 2c"
    with pytest.raises(DataError, match="no such file"):
        read_columnar(tmp_path / "none.parquet")


def drop_train(folder: Path) -> None:
    (folder / "dataset_dict.json").write_text('{"splits": ["test"]}')


def cut_names(folder: Path) -> None:
    (folder / "train" / "dataset_info.json").write_text('{"features": {"la')


def lose_shard(folder: Path) -> None:
    (folder / "train" / "data-00000-of-00001.arrow").unlink()


def lose_state(folder: Path) -> None:
    (folder / "train" / "state.json").unlink()


def empty_splits(folder: Path) -> None:
    (folder / "dataset_dict.json").write_text("{}")


def unlabelled(folder: Path) -> None:
    table = pictures(slice(8))
    minus = pa.array([0, 1, 2, 0, 1, -1, -1, 0])
    save_stream(folder / "train" / "data-00000-of-00001.arrow", table.set_column(1, "label", minus))


def other_columns(folder: Path) -> None:
    shutil.rmtree(folder / "train")
    save_to_disk(folder / "train", pictures(slice(4)), pictures(slice(4, 8)).drop_columns(["writer"]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop_train, "{path}: no split 'train', but test"),
        (cut_names, "{path}/train/dataset_info.json, line 1: no JSON: "),
        (lose_shard, "no such file: {path}/train/data-00000-of-00001.arrow"),
        (lose_state, "no such file: {path}/train/state.json"),
        (empty_splits, "{path}/dataset_dict.json names no splits or files"),
        (unlabelled, "{path}/train/data-00000-of-00001.arrow: row 5 (counted from 0) of column 'label' is -1, and there are 3"),
        (other_columns, "{path}/train/data-00001-of-00002.arrow has the columns image struct"),
    ],
)  # fmt: skip
def test_a_damaged_folder_is_told(damage: Callable, message: str, tmp_path: Path) -> None:
    save_to_disk(tmp_path / "train", pictures(slice(8)))
    save_to_disk(tmp_path / "test", pictures(slice(8, 12)))
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    damage(tmp_path)
    with pytest.raises(DataError) as told:
        load_file(tmp_path, features=("image",))
    assert told.value.message.startswith(message.replace("{path}", str(tmp_path)))
    assert told.value.hint
