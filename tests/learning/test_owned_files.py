"""Files whose samples have owners: LEAF's JSON and plays; sequences of tokens."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from jaxgossip.core.errors import DataError
from jaxgossip.learning import from_arrays, load_file, partitions
from jaxgossip.learning.data.datasets import from_text, shakespeare
from jaxgossip.learning.data.readers.leaf import read_leaf

USERS = {"f01": ([[0.1, 0.5], [0.2, 0.5]], [0, 1]), "f02": ([[0.3, 0.25]], [1]), "f03": ([[0.4, 1.0]] * 3, [0, 0, 1])}


def leaf(users: dict) -> str:
    data = {user: {"x": x, "y": y} for user, (x, y) in users.items()}
    return json.dumps({"users": list(users), "num_samples": [len(y) for _, y in users.values()], "user_data": data})


def test_leaf_keeps_whose_the_samples_are(tmp_path: Path) -> None:
    for part, users in (("train", USERS), ("test", {"f01": ([[0.9, 0.9]], [1])})):
        (tmp_path / part).mkdir()
        (tmp_path / part / "all_data_0.json").write_text(leaf(users))
    data = load_file(tmp_path, standardize=False)
    found = sorted(zip(map(tuple, data.x_train.tolist()), data.y_train.tolist(), data.owners.tolist(), strict=True))
    expected = [
        (tuple(np.float32(x).tolist()), y, owner)
        for owner, (xs, ys) in enumerate(USERS.values())
        for x, y in zip(xs, ys, strict=True)
    ]
    assert found == sorted(expected)
    assert data.owner_names == ("f01", "f02", "f03")
    np.testing.assert_array_equal(data.x_test, np.float32([[0.9, 0.9]]))


def test_leaf_reads_text_as_tokens(tmp_path: Path) -> None:
    path = tmp_path / "plays.json"
    path.write_text(leaf({"ROMEO": (["abca", "bcab"], ["b", "c"]), "JULIET": (["aabb", "cabc"], ["c", "a"])}))
    data = read_leaf(path, test_fraction=0.25)
    assert data.samples == "tokens"
    assert data.labels == ("a", "b", "c")
    read = {"".join("abc"[t] for t in x) for x in [*data.x_train.tolist(), *data.x_test.tolist()]}
    assert read == {"abca", "bcab", "aabb", "cabc"}


def test_blanks_and_question_marks_are_characters_of_leafs_text(tmp_path: Path) -> None:
    path = tmp_path / "plays.json"
    path.write_text(leaf({"ROMEO": (["ab ?", "b ?a", " ?ab", "?ab "], [" ", "?", "a", "b"])}))
    data = read_leaf(path, test_fraction=0.25)
    follows = {"ab ?": "' '", "b ?a": "'?'", " ?ab": "a", "?ab ": "b"}
    for x, y in zip([*data.x_train, *data.x_test], [*data.y_train, *data.y_test], strict=True):
        assert data.labels[y] == follows["".join(" ?ab"[token] for token in x)]
    with pytest.raises(DataError, match="samples are tokens, which are not scaled"):
        read_leaf(path, standardize=True)


def test_femnist_is_images_and_its_test_set_leaves_no_fraction(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((6, 784)).round(3)
    for part, rows in (("train", slice(4)), ("test", slice(4, 6))):
        (tmp_path / part).mkdir()
        (tmp_path / part / "a.json").write_text(leaf({"w": (pixels[rows].tolist(), [0, 1, 0, 1][rows] or [0, 1])}))
    data = load_file(tmp_path, standardize=False)
    np.testing.assert_allclose(data.x_test, pixels[4:].reshape(-1, 28, 28), rtol=1e-6)
    with pytest.raises(DataError, match=r"test_fraction = 0\.5, and the data have a test set of their own"):
        load_file(tmp_path, test_fraction=0.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "{path}, line 1: no JSON: Expecting property name enclosed in double quotes"),
        ("[]", "{path} has no list of users"),
        ('{"users": ["a"]}', "{path} has no user_data"),
        ('{"users": ["a"], "user_data": {}}', "{path}: user 'a' has no lists x and y"),
        (leaf({"a": ([[1.0]], [1, 2])}), "{path}: user 'a' has 1 samples and 2 targets"),
        (leaf({"a": ([[1.0], [1.0, 2.0]], [1, 2])}), "{path}: samples that are not lists of as many numbers"),
        (leaf({"a": ([[1.0], "b"], [1, 2])}), "{path}: 1 samples are text, and 1 are not"),
        (leaf({"a": (["abc", "ab"], [1, 2])}), "{path}: texts of 2 to 3 characters"),
        (leaf({"a": (["1.jpg", "2.jpg"], [1, 0])}), "{path}: samples are names of images, such as '1.jpg'"),
        (leaf(USERS)[:-9], "{path}, line 1: no JSON: Expecting value"),
        (leaf(USERS).replace("[2, 1, 3]", "[2, 2, 3]"), "{path}: user 'f02' has 1 samples, and num_samples says 2"),
        (leaf({}), "{path}: no samples to train on"),
        ('{"users": [["a"]], "user_data": {}}', "{path} has no list of users"),
    ],
)
def test_a_damaged_leaf_file_is_told(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "leaf.json"
    path.write_text(text)
    with pytest.raises(DataError) as told:
        read_leaf(path)
    assert told.value.message == said.format(path=path)


PLAY = "First Citizen:\nBefore we proceed, hear me.\n\nAll:\nSpeak, speak.\n\nFirst Citizen:\nYou are resolved?\n\nNo:\nx\n"


def test_a_window_predicts_the_text_one_token_on() -> None:
    data = from_text(PLAY, length=5, by="speaker", test_fraction=0.2)
    spoken = {"First Citizen": "Before we proceed, hear me.\n\nYou are resolved?", "All": "Speak, speak."}
    alphabet = sorted(set(PLAY))
    read = []
    for x, y, owner in zip(data.x_train, data.y_train, data.owners, strict=True):
        np.testing.assert_array_equal(x[1:], y[:-1])
        text = "".join(alphabet[t] for t in [*x, y[-1]])
        assert text in spoken[data.owner_names[owner]]
        read.append(text)
    read += ["".join(alphabet[t] for t in [*x, y[-1]]) for x, y in zip(data.x_test, data.y_test, strict=True)]
    cut = {text[s : s + 6] for text in spoken.values() for s in range(0, len(text) - 5, 5)}
    assert set(read) == cut
    assert (data.n_classes, data.target, data.samples) == (len(alphabet), "sequence", "tokens")
    assert any("1 of 3 speakers" in note for note in data.notes)


def test_text_can_be_bytes_and_divided_by_lines() -> None:
    data = from_text("äbcdefg\nhijklmn\n", tokens="bytes", length=3, by="line", test_fraction=0.3)
    assert data.n_classes == 256
    rows = {bytes(x) for x in [*data.x_train.astype(np.uint8), *data.x_test.astype(np.uint8)]}
    assert rows == {"äb".encode(), b"cde", b"hij", b"klm"}


@pytest.mark.parametrize("packed", [False, True])
def test_a_text_file_is_its_text(packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "play.txt"
    path.write_bytes(gzip.compress(PLAY.encode()) if packed else PLAY.encode())
    data, same = load_file(path, format="text", length=5), from_text(PLAY, length=5)
    for part in ("x_train", "y_train", "x_test", "y_test"):
        np.testing.assert_array_equal(getattr(data, part), getattr(same, part))
    assert data.labels == same.labels


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (b"abc\n\xe9de\n", {}, "{path} is not text in UTF-8: invalid continuation byte at byte 4, line 2"),
        (b"abc\nd\0e\n", {}, "{path}, line 2: a NUL byte, which no text has"),
        (gzip.compress(PLAY.encode(), mtime=0)[:40], {}, "{path} is damaged gzip: "),
        (b"abcdef", {"length": 9}, "{path}: 0 samples of 9 characters"),
        (b"no play", {"by": "speaker"}, "{path}: no speaker"),
        (b"", {}, "{path}: 0 samples of 64 characters"),
        (b"abcdef", {"standardize": True}, "{path}: files of text take no standardize"),
    ],
)
def test_a_text_that_cannot_be_read_is_told(content: bytes, options: dict, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(DataError) as told:
        load_file(path, format="text", **options)
    assert told.value.message.startswith(said.format(path=path))
    assert told.value.hint


def test_shakespeare_has_its_roles() -> None:
    data = shakespeare()
    assert (data.n_classes, data.x_train.shape[1]) == (65, 64)
    assert "ROMEO" in data.owner_names
    sizes = np.bincount(data.owners)
    assert (sizes >= 20).sum() >= 100
    owned = partitions.by_owner(np.zeros(len(data.x_train), np.int32), 100, owners=data.owners, assign="largest")
    assert len({int(o) for o in data.owners[owned.train(0)]}) == 1


def test_owners_follow_their_samples_through_the_split() -> None:
    x = np.arange(60, dtype=np.float32)[:, None]
    data = from_arrays(x, np.arange(60) % 2, owners=[f"o{i // 6}" for i in range(60)], standardize=False, rng=3)
    np.testing.assert_array_equal(data.owners, (data.x_train[:, 0] // 6).astype(int))
    assert data.owner_names == tuple(f"o{i}" for i in range(10))
