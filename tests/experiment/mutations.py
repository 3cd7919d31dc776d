"""Random damage to a run folder, as disks, editors and scripts do it."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

VALUES: tuple[Any, ...] = (None, True, -1, 0, 10**30, 1.5, float("nan"), "", "a", "7", [], [1], {}, {"a": 1})


def damage(folder: Path, draw: random.Random) -> str:
    """Damage one file or folder of a run folder, and return what was done."""
    path = draw.choice(sorted(folder.rglob("*")))
    done = draw.choice(OF_FILES if path.is_file() else OF_FOLDERS)
    done(path, draw)
    return f"{done.__name__} {path.relative_to(folder)}"


def gone(path: Path, draw: random.Random) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def a_file(path: Path, draw: random.Random) -> None:
    shutil.rmtree(path)
    path.write_text("")


def a_folder(path: Path, draw: random.Random) -> None:
    path.unlink()
    path.mkdir()


def cut(path: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: draw.randrange(len(content) + 1)])


def flipped(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice((1, 1, 5))):
        if content:
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def noise(path: Path, draw: random.Random) -> None:
    path.write_bytes(draw.randbytes(draw.choice((0, 1, 40))))


def lines(path: Path, draw: random.Random) -> None:
    """Leave out, double or swap lines."""
    old = path.read_bytes().splitlines(keepends=True)
    if not old:
        return
    first, second = draw.randrange(len(old)), draw.randrange(len(old))
    match draw.randrange(3):
        case 0:
            del old[first]
        case 1:
            old.insert(second, old[first])
        case _:
            old[first], old[second] = old[second], old[first]
    path.write_bytes(b"".join(old))


def value(path: Path, draw: random.Random) -> None:
    """Put another value somewhere into JSON, in one of its lines or in all of it."""
    texts = path.read_bytes().splitlines(keepends=True) if path.suffix == ".jsonl" else [path.read_bytes()]
    place = draw.randrange(max(1, len(texts)))
    try:
        tree = json.loads(texts[place])
    except (ValueError, IndexError):
        return cut(path, draw)
    texts[place] = json.dumps(_changed(tree, draw)).encode() + b"\n"
    path.write_bytes(b"".join(texts))
    return None


def _changed(tree: Any, draw: random.Random) -> Any:
    if not isinstance(tree, dict) or not tree or draw.random() < 0.1:
        return draw.choice(VALUES)
    key = draw.choice(sorted(tree))
    if draw.random() < 0.2:
        return {name: one for name, one in tree.items() if name != key}
    return tree | {key: _changed(tree[key], draw)}


OF_FILES: tuple[Callable[[Path, random.Random], None], ...] = (gone, a_folder, cut, flipped, noise, lines, value, value)
OF_FOLDERS: tuple[Callable[[Path, random.Random], None], ...] = (gone, a_file)
