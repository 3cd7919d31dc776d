"""Files of images as they are published: IDX and CIFAR, written byte by byte; and what is said of damaged ones."""

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from jaxgossip.core.errors import DataError
from jaxgossip.learning import load_file
from jaxgossip.learning.data.readers.cifar import read_cifar
from jaxgossip.learning.data.readers.idx import read_idx, read_idx_array

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (30, 5, 4), dtype=np.uint8)
LABELS = (np.arange(30) % 3).astype(np.uint8)


def idx(array: np.ndarray, code: int = 0x08) -> bytes:
    header = struct.pack(">BBBB", 0, 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    folder = tmp_path / "mnist"
    folder.mkdir()
    (folder / "train-images-idx3-ubyte").write_bytes(idx(IMAGES[:20]))
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS[:20])))
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES[20:])))
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(LABELS[20:]))
    return folder


def rows_of(x: np.ndarray, y: np.ndarray) -> list[tuple[bytes, int]]:
    return sorted(zip([one.tobytes() for one in np.asarray(x)], np.asarray(y).tolist(), strict=True))


def test_the_mnist_family_is_read_as_it_is_published(mnist: Path) -> None:
    data = load_file(mnist)
    assert data.x_train.dtype == data.x_test.dtype == np.uint8
    assert rows_of(data.x_train, data.y_train) == rows_of(IMAGES[:20], LABELS[:20])
    np.testing.assert_array_equal(data.x_test, IMAGES[20:])
    np.testing.assert_array_equal(data.y_test, LABELS[20:])
    assert data.scaling is not None
    pixels = IMAGES[:20].astype(np.float64)
    np.testing.assert_allclose([data.scaling.mean, data.scaling.deviation], [pixels.mean(), pixels.std()], rtol=1e-6)
    named = load_file(mnist / "train-images-idx3-ubyte")
    assert rows_of(named.x_train, named.y_train) == rows_of(data.x_train, data.y_train)


@pytest.mark.parametrize(
    ("code", "kind"), [(0x08, "u1"), (0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")]
)
def test_every_type_of_numbers_of_idx_is_read(code: int, kind: str, tmp_path: Path) -> None:
    array = np.array([[1, 2, 100], [0, 7, 5]], kind)
    (tmp_path / "a").write_bytes(idx(array, code))
    found = read_idx_array(tmp_path / "a")
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "{path} is no IDX file: it begins with nothing"),
        (b"\x89PNG\r\n", "{path} is no IDX file: it begins with 89 50 4e 47"),
        (idx(LABELS)[:6], "{path} ends at byte 6, within its header of 8"),
        (idx(LABELS)[:-1], "{path} has 37 bytes, and its header, 30 numbers of 1 bytes, says 38"),
        (idx(LABELS) + b"\0", "{path} has 39 bytes, and its header, 30 numbers of 1 bytes, says 38"),
    ],
)
def test_a_damaged_idx_file_is_told_with_its_place(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "train-labels-idx1-ubyte"
    path.write_bytes(content)
    with pytest.raises(DataError) as told:
        read_idx_array(path)
    assert told.value.message == said.format(path=path)


def test_mixed_idx_files_are_told(mnist: Path) -> None:
    (mnist / "t10k-labels-idx1-ubyte").write_bytes(idx(LABELS[:4]))
    with pytest.raises(DataError) as told:
        read_idx(mnist)
    path = mnist / "t10k-images-idx3-ubyte.gz"
    assert told.value.message == f"{path}: 10 images, and 4 labels in t10k-labels-idx1-ubyte"
    (mnist / "emnist-train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    with pytest.raises(DataError, match="files of training images: emnist-train"):
        read_idx(mnist)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("train-images-idx3-ubyte", idx(LABELS[:20]), "holds an array of shape (20,), and images have 3 axes"),
        ("train-labels-idx1-ubyte.gz", gzip.compress(idx(IMAGES[:20]), mtime=0), "holds an array of shape (20, 5, 4), and labels have 1"),
        ("t10k-images-idx3-ubyte.gz", gzip.compress(idx(IMAGES[20:])[:-3], mtime=0), "has 213 bytes, and its header, 10 × 5 × 4 numbers"),
        ("train-images-idx3-ubyte", gzip.compress(idx(IMAGES[:20]), mtime=0)[:60], "is damaged gzip: "),
    ],
)  # fmt: skip
def test_a_mislabelled_or_truncated_file_of_the_family_is_told(
    name: str, content: bytes, said: str, mnist: Path
) -> None:
    (mnist / name).write_bytes(content)
    with pytest.raises(DataError) as told:
        load_file(mnist)
    assert told.value.message.startswith(f"{mnist / name} {said}")
    assert told.value.hint


def test_a_test_fraction_is_refused_beside_a_test_set(mnist: Path) -> None:
    with pytest.raises(DataError) as told:
        load_file(mnist, test_fraction=0.2)
    assert (
        str(told.value)
        == f"{mnist}: test_fraction = 0.2, and the data have a test set of their own (leave out test_fraction)"
    )
    for one in mnist.glob("t10k*"):
        one.unlink()
    assert len(load_file(mnist, test_fraction=0.2).x_test) == 4
    assert len(load_file(mnist).x_test) == 2
    (mnist / "train-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"no such file: .*train-labels-idx1-ubyte"):
        load_file(mnist)


PIXELS = RNG.integers(0, 256, (24, 3, 32, 32), dtype=np.uint8)
FINE = (np.arange(24) * 7 % 10).astype(np.uint8)
COARSE = (np.arange(24) % 4).astype(np.uint8)


def shown(pixels: np.ndarray) -> np.ndarray:
    return pixels.transpose(0, 2, 3, 1)


def binary(*columns: np.ndarray) -> bytes:
    return b"".join(bytes(row) + image.tobytes() for *row, image in zip(*columns, strict=True))


@pytest.fixture
def cifar10(tmp_path: Path) -> Path:
    for batch in range(5):
        part = slice(4 * batch, 4 * batch + 4)
        (tmp_path / f"data_batch_{batch + 1}.bin").write_bytes(binary(FINE[part], PIXELS[part]))
    (tmp_path / "test_batch.bin").write_bytes(binary(FINE[20:], PIXELS[20:]))
    return tmp_path


def test_cifar_10_in_binary(cifar10: Path) -> None:
    data = load_file(cifar10)
    x, y = shown(PIXELS), FINE
    present = np.unique(y)
    assert rows_of(data.x_train, present[data.y_train]) == rows_of(x[:20], y[:20])
    np.testing.assert_array_equal(data.x_test, x[20:])
    np.testing.assert_array_equal(present[data.y_test], y[20:])
    assert data.x_train.shape[1:] == (32, 32, 3)


def test_cifar_10_in_python_is_that_in_binary(cifar10: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("cifar-10-batches-py")
    flat = PIXELS.reshape(24, -1)
    for batch in range(5):
        part = slice(4 * batch, 4 * batch + 4)
        content = {b"data": flat[part], b"labels": FINE[part].tolist(), b"batch_label": b"training"}
        (folder / f"data_batch_{batch + 1}").write_bytes(pickle.dumps(content, protocol=2))
    (folder / "test_batch").write_bytes(pickle.dumps({b"data": flat[20:], b"labels": FINE[20:].tolist()}, protocol=2))
    one, other = load_file(folder), load_file(cifar10)
    np.testing.assert_array_equal(one.x_train, other.x_train)
    np.testing.assert_array_equal(one.y_train, other.y_train)
    names = [f"class {number}" for number in range(10)]
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": [name.encode() for name in names]}, protocol=2))
    assert set(load_file(folder).labels) == {names[label] for label in FINE}


def test_cifar_100_has_fine_and_coarse_classes(tmp_path: Path) -> None:
    (tmp_path / "train.bin").write_bytes(binary(COARSE[:20], FINE[:20], PIXELS[:20]))
    (tmp_path / "test.bin").write_bytes(binary(COARSE[20:], FINE[20:], PIXELS[20:]))
    fine, coarse = read_cifar(tmp_path), read_cifar(tmp_path, classes="coarse")
    assert rows_of(fine.x_train, np.unique(FINE)[fine.y_train]) == rows_of(shown(PIXELS[:20]), FINE[:20])
    assert rows_of(coarse.x_train, coarse.y_train) == rows_of(shown(PIXELS[:20]), COARSE[:20])


def test_a_damaged_cifar_folder_is_told(cifar10: Path) -> None:
    batch = cifar10 / "data_batch_2.bin"
    whole = batch.read_bytes()
    batch.write_bytes(whole[:-5])
    with pytest.raises(DataError) as told:
        read_cifar(cifar10)
    assert told.value.message == f"{batch} has 12,287 bytes, which are not whole records of 3,073"
    batch.write_bytes(bytes([99]) + whole[1:])
    with pytest.raises(
        DataError, match=r"batch_2\.bin: the label of image 0 \(counted from 0\) is 99, and there are 10 cl"
    ):
        read_cifar(cifar10)
    batch.unlink()
    with pytest.raises(DataError, match=r"data_batch_2\.bin is missing"):
        read_cifar(cifar10)


def python_batch(folder: Path, name: str, rows: slice, **labels: np.ndarray) -> Path:
    content = {b"data": PIXELS.reshape(24, -1)[rows]} | {key.encode(): y[rows].tolist() for key, y in labels.items()}
    (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    return folder / name


def test_cifar_100_in_python_has_the_names_of_its_classes(tmp_path: Path) -> None:
    for name, rows in (("train", slice(20)), ("test", slice(20, 24))):
        python_batch(tmp_path, name, rows, fine_labels=FINE, coarse_labels=COARSE)
    named = {
        f"{kind}_label_names".encode(): [b"%d" % (number + 500) for number in range(most)]
        for kind, most in (("fine", 100), ("coarse", 20))
    }
    (tmp_path / "meta").write_bytes(pickle.dumps(named, protocol=2))
    for classes, numbers in (("fine", FINE), ("coarse", COARSE)):
        data = load_file(tmp_path, classes=classes)
        found = np.array([int(data.labels[y]) for y in data.y_train]) - 500
        assert rows_of(data.x_train, found) == rows_of(shown(PIXELS[:20]), numbers[:20])
    named[b"fine_label_names"].pop()
    (tmp_path / "meta").write_bytes(pickle.dumps(named, protocol=2))
    with pytest.raises(DataError, match="99 names of classes, of which there are 100"):
        load_file(tmp_path)


def test_mixed_cifar_files_are_told(cifar10: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    batch = cifar10 / "data_batch_3.bin"
    whole = batch.read_bytes()
    batch.write_bytes(binary(COARSE[8:12], FINE[8:12], PIXELS[8:12]))
    with pytest.raises(DataError) as told:
        load_file(cifar10)
    assert told.value.message == f"{batch} has 12,296 bytes, which are not whole records of 3,073"
    assert told.value.hint == "it has whole records of CIFAR-100 (3,074 bytes), beside files of CIFAR-10"
    batch.write_bytes(whole)
    (cifar10 / "test.bin").write_bytes(b"")
    with pytest.raises(DataError) as told:
        load_file(cifar10)
    assert told.value.message == f"{cifar10}: data_batch_1.bin and test.bin are of two data sets"
    folder = tmp_path_factory.mktemp("cifar-10-batches-py")
    for number in range(1, 6):
        python_batch(folder, f"data_batch_{number}", slice(4 * number - 4, 4 * number), labels=FINE)
    test = python_batch(folder, "test_batch", slice(20, 24), fine_labels=FINE, coarse_labels=COARSE)
    with pytest.raises(DataError) as told:
        load_file(folder)
    assert told.value.message == f"{test} is no batch of CIFAR-10: it has no 'data' and 'labels'"
    assert told.value.hint.startswith("it holds data, fine_labels, coarse_labels; ")
    test.write_bytes(test.read_bytes()[:900])
    with pytest.raises(DataError, match="test_batch cannot be read as a Python batch: pickle data was truncated"):
        load_file(folder)


def test_cifar_has_a_test_set_of_its_own(cifar10: Path) -> None:
    with pytest.raises(DataError) as told:
        load_file(cifar10, test_fraction=0.1)
    assert str(told.value) == (
        f"{cifar10}: files of cifar take no test_fraction (leave it out: they have a test set of their own)"
    )
    assert load_file(cifar10, standardize=False).scaling is None


class Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this must not be printed",)


def test_a_batch_runs_no_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("train", "test"):
        (tmp_path / name).write_bytes(pickle.dumps({b"data": Runs()}))
    with pytest.raises(DataError, match=r"it asks for builtins\.print"):
        read_cifar(tmp_path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "archive"),
    [("cifar-10-batches-bin", "cifar-10-binary"), ("cifar-10-batches-py", "cifar-10-python"),
     ("cifar-100-binary", "cifar-100-binary"), ("cifar-100-python", "cifar-100-python")],
)  # fmt: skip
def test_a_published_folder_that_is_not_there_is_told_with_its_source(name: str, archive: str, tmp_path: Path) -> None:
    folder = tmp_path / "my files" / name
    for read in (load_file, read_cifar):
        with pytest.raises(DataError) as told:
            read(folder)
        assert told.value.message == f"no such folder: {folder}"
        assert f"download {archive}.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html" in told.value.hint
        assert f"tar -xzf {archive}.tar.gz -C '{folder.parent}'" in told.value.hint
    folder.mkdir(parents=True)
    with pytest.raises(DataError, match="no files of CIFAR"):
        read_cifar(folder)
