"""Text as sequences of tokens: characters or bytes, cut into windows that each predict the text one token on."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from jaxgossip.core.arguments import guarded, whole
from jaxgossip.core.errors import DataError
from jaxgossip.core.files import read_text
from jaxgossip.learning.data.arrays import Dataset, from_arrays

Division = Literal["text", "line", "paragraph", "speaker"]
SPEAKER = re.compile(r"^(?P<name>[^\n:]{1,60}):\n(?P<speech>.*)", re.DOTALL)
"""A paragraph of a play: the speaker, a colon, and the speech from the next line on."""


@guarded
def read_text_file(
    path: str | Path,
    *,
    tokens: Literal["characters", "bytes"] = "characters",
    length: int = 64,
    by: Division = "text",
    test_fraction: float = 0.1,
    rng: np.random.Generator | int = 0,
) -> Dataset:
    """Read a text file as sequences of tokens, each to be predicted from those before it.

    Args:
        path: the file, UTF-8 text, optionally compressed with gzip.
        tokens: "characters", numbered in sorted order, or the 256 "bytes" of UTF-8.
        length: number of tokens of a sample.
        by: what the text is divided into, and whose the samples are: nothing ("text"), each "line", each "paragraph", or
            each "speaker" of a play, whose speeches follow one another.
        test_fraction: fraction of samples kept as the common test set, rounded up to whole samples.
        rng: generator, or its seed, that shuffles the samples before the split.

    Raises:
        DataError: a missing file, no speaker, or no part of the text that is longer than ``length``.
    """
    return from_text(
        read_text(path, DataError),
        tokens=tokens,
        length=length,
        by=by,
        name=str(path),
        test_fraction=test_fraction,
        rng=rng,
    )


@guarded
def from_text(
    text: str,
    *,
    tokens: Literal["characters", "bytes"] = "characters",
    length: int = 64,
    by: Division = "text",
    name: str = "text",
    test_fraction: float = 0.1,
    rng: np.random.Generator | int = 0,
) -> Dataset:
    """Make a data set of sequences from text; see :func:`read_text_file`.

        x = tokens s … s + length − 1 of a part,  y = tokens s + 1 … s + length,  s = 0, length, 2 length, …

    Args:
        text: the text.
        tokens: "characters", numbered in sorted order, or the 256 "bytes" of UTF-8.
        length: number of tokens of a sample.
        by: what the text is divided into, and whose the samples are.
        name: name in messages.
        test_fraction: fraction of samples kept as the common test set, rounded up to whole samples.
        rng: generator, or its seed, that shuffles the samples before the split.

    Raises:
        DataError: no speaker, or no part of the text that is longer than ``length``.
    """
    whole(name, "length", length, 1)
    parts = dict(_parts(name, text, by))
    alphabet = sorted(set(text))
    number = {character: token for token, character in enumerate(alphabet)}
    windows, owners, short = [], [], 0
    for owner, part in parts.items():
        codes = np.array([number[c] for c in part] if tokens == "characters" else list(part.encode()), np.int32)
        count = (len(codes) - 1) // length
        short += count < 1
        starts = np.arange(max(count, 0))[:, None] * length
        windows.append(codes[starts + np.arange(length + 1)])
        owners += [owner] * max(count, 0)
    rows = np.concatenate(windows)
    if len(rows) < 2:
        raise DataError(f"{name}: {len(rows)} samples of {length} {tokens}", hint="a smaller length, or a longer text")
    notes = [f"{tokens} are tokens, {len(alphabet) if tokens == 'characters' else 256} of them"]
    if short:
        notes.append(f"left out: {short:,} of {len(parts):,} {by}s, shorter than {length + 1} {tokens}")
    characters = alphabet if tokens == "characters" else map(chr, range(256))
    return from_arrays(
        rows[:, :-1], rows[:, 1:], target="sequence", owners=None if by == "text" else owners, name=name, notes=notes,
        labels=[_shown(character) for character in characters],
        test_fraction=test_fraction, rng=rng,
    )  # fmt: skip


def _parts(name: str, text: str, by: Division) -> Iterator[tuple[str, str]]:
    """Yield (owner, text) of the parts of a text; a speaker's speeches are one part."""
    if by == "text":
        yield name, text
    elif by == "speaker":
        speeches: dict[str, list[str]] = {}
        for paragraph in re.split(r"\n\s*\n", text):
            if found := SPEAKER.match(paragraph.strip("\n")):
                speeches.setdefault(found["name"].strip(), []).append(found["speech"])
        if not speeches:
            raise DataError(f"{name}: no speaker", hint="a speech is 'Name:', and from the next line on what is said")
        yield from ((speaker, "\n\n".join(said)) for speaker, said in speeches.items())
    else:
        parts: Sequence[str] = text.splitlines() if by == "line" else re.split(r"\n\s*\n", text)
        yield from ((f"{by} {number}", part) for number, part in enumerate(parts, start=1))


def _shown(character: str) -> str:
    """Return a character as it is named in tables: letters as they are, blanks and others by their escape."""
    return (
        character
        if character.isprintable() and character != " "
        else repr(character)[1:-1]
        if character != " "
        else "blank"
    )
