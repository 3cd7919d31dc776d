"""Ways to spoil a configuration, a text, a file of bytes or a folder, as hypothesis draws them."""

import copy
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

SIZES = (-(2**63), -1, 0, 1, 2, 3, 5, 7, 2**31 - 1, 2**31, 2**53, 2**63 - 1)
NUMBERS = (-1e308, -1.0, -0.0, 5e-324, 1e-9, 0.5, 1.0, 1.5, 1e9, 1e308, float("inf"), float("-inf"), float("nan"))
WORDS = (
    "",
    " ",
    "ring",
    "sgd",
    "no such",
    "a/b",
    "..",
    "$x$",
    "ä漢",
    "x" * 300,
    "file.py:f",
    "a:b",
    ":",
    "\u0000",
    "\u007f",
)

NAMES = ("gossip", "d2", "relay_sgd", "push_sum", "matching", "pull", "erdos_renyi", "torus", "star", "path", "cnn", "pegasos",
         "naive_bayes", "kmeans", "ratings", "digits", "iid", "one_sample", "qsgd", "krum", "clipped", "ipm", "adamw", "cached",
         "constant", "isolated", "centralised")  # fmt: skip

scalars = st.one_of(
    st.sampled_from(SIZES), st.sampled_from(NUMBERS), st.booleans(), st.sampled_from(WORDS), st.text(max_size=8)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("kind", "a", "nodes")), inner, max_size=2)
    ),
    max_leaves=5,
)


def alike(value: Any) -> st.SearchStrategy[Any]:
    """Return values of the same type, extremes and other names among them."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int):
        return st.sampled_from(SIZES) | st.integers(1, 40)
    if isinstance(value, float):
        return st.sampled_from(NUMBERS) | st.floats(0, 1)
    if isinstance(value, str):
        return st.sampled_from(WORDS + NAMES)
    return values


def paths(tree: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the key paths of all tables and values."""

    def walk(here: Any, prefix: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for key, value in here.items():
            yield (*prefix, key)
            if isinstance(value, Mapping):
                yield from walk(value, (*prefix, key))

    return list(walk(tree, ()))


@st.composite
def trees(draw: st.DrawFn, seeds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one of the seeds with one to three of its keys dropped, renamed, doubled, swapped or with other values."""
    tree = copy.deepcopy(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 3))):
        *before, last = draw(st.sampled_from(paths(tree) or [("name",)]))
        here: Any = tree
        for key in before:
            here = here[key]
        match draw(st.sampled_from(("drop", "rename", "double", "swap", "value", "alike", "alike", "alike", "add"))):
            case "alike" if last in here:
                here[last] = draw(alike(here[last]))
            case "drop":
                here.pop(last, None)
            case "rename":
                here[draw(st.sampled_from((last + "s", last[:-1], last.upper(), "kind", "nodes")))] = here.pop(last, 1)
            case "double":
                here[f"{last}_2"] = copy.deepcopy(here.get(last, 1))
            case "swap":
                other = draw(st.sampled_from(sorted(here) or [last]))
                here[last], here[other] = here.get(other, 1), here.get(last, 1)
            case "value":
                here[last] = draw(values)
            case _:
                here[
                    draw(st.sampled_from(("kind", "nodes", "seed", "network", "clock", "privacy", "variants", "x y")))
                ] = draw(values)
    return tree


@st.composite
def spoiled(draw: st.DrawFn, seed: bytes) -> bytes:
    """Return bytes with one to three of them flipped, inserted, cut, repeated, moved or lost."""
    found = seed
    for _ in range(draw(st.integers(1, 3))):
        at, to = sorted(draw(st.tuples(st.integers(0, len(found)), st.integers(0, len(found)))))
        to = min(to, at + 40)
        match draw(st.sampled_from(("flip", "insert", "cut", "repeat", "lose", "move", "line"))):
            case "flip" if at < len(found):
                found = found[:at] + bytes([found[at] ^ (1 << draw(st.integers(0, 7)))]) + found[at + 1 :]
            case "insert":
                found = found[:at] + draw(st.sampled_from(JUNK) | st.binary(min_size=1, max_size=4)) + found[at:]
            case "cut":
                found = found[:at]
            case "repeat":
                found = found[:to] + found[at:]
            case "lose":
                found = found[:at] + found[to:]
            case "move":
                found = found[to:] + found[at:to] + found[:at]
            case _:
                lines = found.split(b"\n")
                lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(lines)))
                found = b"\n".join(lines)
    return found


JUNK = (b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n\n", b'"', b"'", b",", b"#", b"nan", b"1e999", b"-", b"x", b" ", b"\t",
        b"9" * 30, b"=", b"[[", "漢".encode())  # fmt: skip


@st.composite
def damage(draw: st.DrawFn, files: list[str]) -> tuple[str, Callable[[Path], None]]:
    """Return what is done to a folder, in words and as a function of it: one of its files is spoiled, emptied or lost."""
    name = draw(st.sampled_from(files))
    way = draw(
        st.sampled_from(("flip", "flip", "cut", "cut", "empty", "lose", "line", "swap", "double", "folder", "text"))
    )
    where, what = draw(st.floats(0, 1)), draw(st.integers(0, 7))

    def spoil(folder: Path) -> None:
        path = folder / name
        content = path.read_bytes()
        at = min(int(where * len(content)), max(0, len(content) - 1))
        lines = content.split(b"\n")
        line = min(int(where * len(lines)), max(0, len(lines) - 2))
        match way:
            case "flip" if content:
                path.write_bytes(content[:at] + bytes([content[at] ^ (1 << what)]) + content[at + 1 :])
            case "cut":
                path.write_bytes(content[:at])
            case "empty":
                path.write_bytes(b"")
            case "line":
                path.write_bytes(b"\n".join(lines[:line] + lines[line + 1 :]))
            case "swap":
                path.write_bytes(b"\n".join([*lines[:line], *lines[line : line + 2][::-1], *lines[line + 2 :]]))
            case "double":
                path.write_bytes(b"\n".join(lines[: line + 1] + lines[line:]))
            case "folder":
                path.unlink()
                path.mkdir()
            case "text":
                path.write_bytes(b"nothing of the kind\n")
            case _:
                path.unlink()

    return f"{way} {name} at {where:.3f} ({what})", spoil


def fresh(original: Path, copied: Path) -> Path:
    """Return a copy of a folder, in the place of an earlier one."""
    shutil.rmtree(copied, ignore_errors=True)
    shutil.copytree(original, copied)
    return copied
