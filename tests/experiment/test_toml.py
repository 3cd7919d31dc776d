"""TOML is written so that it reads back as it was, and every mistake names its place."""

import math
import os
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgossip.core.errors import ConfigError
from jaxgossip.experiment.config import toml

# every character that UTF-8 can hold, line ends and control characters among them
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
SCALARS = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
TREES = st.dictionaries(TEXTS, VALUES, max_size=4)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(TREES)
def test_what_is_written_reads_back_as_it_was(tree):
    assert tomllib.loads(toml.dumps(tree)) == tree


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(TREES, TEXTS)
def test_comments_change_nothing(tree, words):
    comments = {(name,): words.replace("\x7f", "") for name in tree} | {("",): "the end"}
    printable = {path: "".join(c if c.isprintable() else "\n" for c in text) for path, text in comments.items()}
    assert tomllib.loads(toml.dumps(tree, printable)) == tree


def test_floats_keep_their_bits_and_their_type():
    tree = {"a": 0.1 + 0.2, "b": 1e-8, "c": 1e300, "d": 3.0, "e": math.inf, "f": -math.inf, "g": 5e-324}
    found = tomllib.loads(toml.dumps(tree))
    assert found == tree
    assert all(type(value) is float for value in found.values())
    assert math.isnan(tomllib.loads(toml.dumps({"a": math.nan}))["a"])


def test_none_is_left_out_and_tuples_and_paths_are_written():
    tree = {"a": None, "b": (1, 2), "c": Path("/x y"), "d": {"e": None}, "f": [{"g": None, "h": 1}]}
    assert tomllib.loads(toml.dumps(tree)) == {"b": [1, 2], "c": "/x y", "d": {}, "f": [{"h": 1}]}


def test_a_value_that_toml_cannot_hold_is_named():
    with pytest.raises(TypeError, match=r"a\.b: TOML has no complex"):
        toml.dumps({"a": {"b": 1j}})


def test_a_missing_file_a_folder_and_a_binary_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no such file: .*absent\.toml"):
        toml.read(tmp_path / "absent.toml")
    (tmp_path / "config.toml").write_text("")
    with pytest.raises(ConfigError, match="is a folder") as caught:
        toml.read(tmp_path)
    assert str(tmp_path / "config.toml") in caught.value.hint
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.toml is text in UTF-16"):
        toml.read(tmp_path / "binary.toml")


@pytest.mark.parametrize(
    ("text", "line", "quoted"),
    [
        ('a = 1\nb = "open\n', 2, 'b = "open'),
        ("a = 1\n\nb = many\n", 3, "b = many"),
        ("[t]\na = 1\na = 2\n", 3, "a = 2"),
        ("a = [1,\n2", 2, "2"),
    ],
)
def test_a_syntax_error_names_file_and_line(tmp_path, text, line, quoted):
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        toml.read(path)
    assert caught.value.message.startswith(f"{path}:{line}: not TOML: ")
    assert caught.value.hint == f"line {line} reads: {quoted}"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("rounds=3", {"rounds": 3}),
        ("optimizer.learning_rate=1e-2", {"optimizer": {"learning_rate": 0.01}}),
        ("topology.kind=ring", {"topology": {"kind": "ring"}}),
        ('topology.kind="ring"', {"topology": {"kind": "ring"}}),
        ("evaluation.baselines=[]", {"evaluation": {"baselines": []}}),
        ("learning.model_options={hidden=[3, 4]}", {"learning": {"model_options": {"hidden": [3, 4]}}}),
        ("learning.dataset = data/a=b.csv", {"learning": {"dataset": "data/a=b.csv"}}),
        ("learning.model=own.py:build", {"learning": {"model": "own.py:build"}}),
        ('a."b.c"=true', {"a": {"b.c": True}}),
        ("a=1\nb=2", {"a": "1\nb=2"}),
        ("name=", {"name": ""}),
    ],
)
def test_an_override_is_a_toml_value_or_a_bare_string(override, expected):
    assert toml.apply_override({}, override) == expected


def test_an_override_replaces_and_adds_in_a_copy():
    tree = {"a": {"b": 1, "c": 2}}
    assert toml.apply_override(tree, "a.b=3") == {"a": {"b": 3, "c": 2}}
    assert toml.apply_override(tree, "a.d.e=4") == {"a": {"b": 1, "c": 2, "d": {"e": 4}}}
    assert tree == {"a": {"b": 1, "c": 2}}


@pytest.mark.parametrize("override", ["rounds", "=3", " = 3", "a..b=1", "a b=1", "a.=1", "[a]=1", "a\nb=1", "a#b=1"])
def test_a_malformed_override_is_told(override):
    with pytest.raises(ConfigError, match="--set") as caught:
        toml.apply_override({}, override)
    assert "key.path=value" in caught.value.hint


def test_an_override_cannot_go_through_a_value():
    with pytest.raises(ConfigError, match="'rounds' is a value, not a table"):
        toml.apply_override({"rounds": 3}, "rounds.every=1")
    with pytest.raises(ConfigError, match=r"'a\.b' is a value, not a table"):
        toml.apply_override({"a": {"b": [1]}}, "a.b.c=1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + "[" * 500 + "]" * 500, "tables or lists nested more than 32 deep"),
        ("a = " + "{a = " * 40 + "1" + "}" * 40, "tables or lists nested more than 32 deep"),
        ("[" + ".".join(["a"] * 3000) + "]\nb = 1", "tables or lists nested more than 32 deep"),
        ("a = [" + "1" * 5000 + "]", "an integer of thousands of digits"),
        ("[t]\na = [0, 9223372036854775808]", "t.a.1: an integer of more than 64 bits"),
        ("a = 0x" + "f" * 5000, "a: an integer of more than 64 bits"),
    ],
)
def test_what_no_configuration_holds_is_told_in_files_and_in_overrides(tmp_path, text, said):
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(f"{tmp_path / 'x.toml'}:")) as caught:
        toml.read(tmp_path / "x.toml")
    assert said in caught.value.message
    assert caught.value.hint
    if text.startswith("a = "):
        with pytest.raises(ConfigError, match=r"^--set ") as caught:
            toml.apply_override({}, text)
        assert said.removeprefix("a: ") in caught.value.message
        assert len(caught.value.message) < 200


def test_the_largest_integers_and_the_deepest_tables_are_read():
    assert toml.parse("a = 9223372036854775807\nb = -9223372036854775808", "x") == {"a": 2**63 - 1, "b": -(2**63)}
    assert toml.parse("a = " + "[" * 31 + "]" * 31, "x")["a"]
    with pytest.raises(ConfigError, match="deep"):
        toml.apply_override({}, ".".join("a" * 40) + "=1")


def test_a_byte_order_mark_is_no_part_of_a_file_and_other_encodings_are_told(tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xef\xbb\xbfa = 1\n")
    assert toml.read(path) == {"a": 1}
    path.write_text("a = 1\n", encoding="utf-16")
    with pytest.raises(ConfigError, match="is text in UTF-16") as caught:
        toml.read(path)
    assert caught.value.hint == "save it as UTF-8"


def test_what_is_no_file_is_refused_without_reading_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    for path, said in (
        (tmp_path / "pipe.toml", "is a pipe or a device, not a file"),
        (Path("/dev/zero"), "is a pipe or a device, not a file"),
        (Path("x" * 300), "cannot be read: File name too long"),
    ):
        with pytest.raises(ConfigError, match=said):
            toml.read(path)
    with (tmp_path / "huge.toml").open("wb") as file:
        file.truncate(2**24 + 1)
    with pytest.raises(ConfigError, match=r"has 16,777,217 bytes: it is no configuration"):
        toml.read(tmp_path / "huge.toml")


def test_bytes_that_are_no_utf_8_are_refused_where_they_would_be_written():
    name = os.fsdecode(b"/data/\xff.csv")
    with pytest.raises(ConfigError, match=r"--set learning\.dataset=.*: not text in UTF-8"):
        toml.apply_override({}, f"learning.dataset={name}")
    with pytest.raises(ConfigError, match=r"learning\.dataset: '/data/\\udcff\.csv' is no text in UTF-8"):
        toml.dumps({"learning": {"dataset": name}})
