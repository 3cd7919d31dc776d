"""Whether the first line of a table names its columns or is a sample: told by what stands below it, or not at all."""

from collections.abc import Sequence

from jaxgossip.core.errors import DataError
from jaxgossip.learning.data.labels import is_missing, number_of

_WAY_OUT = "header = true if it names the columns, header = false if it is a sample"


def has_header(path: str, rows: Sequence[Sequence[str]], label: int) -> bool:
    """Say whether the first line names the columns: unless its features are numbers.

    Args:
        path: what messages call the file.
        rows: the fields of each line.
        label: number of the column of labels, which may be words in either case.

    Raises:
        DataError: it holds both names and numbers over columns of numbers, or counts as columns without names are counted.
    """
    first = _features(rows[0], label)
    recurs = any(row[label] == rows[0][label] for row in rows[1:])  # as a sample's label does, and no name
    if _counts(rows[0]) or (_counts(first) and not recurs):
        raise DataError(f"{path}: the first line counts: {', '.join(rows[0][:4])}, …", hint=_WAY_OUT)
    numbers, words = (
        [
            column
            for column, word in enumerate(first)
            if (number_of(word) is not None) is is_number and not is_missing(word)
        ]
        for is_number in (True, False)
    )
    if numbers and not words and _alone(rows, label):
        told = f"a word for the label ('{rows[0][label]}') and numbers ('{first[numbers[0]]}'), over labels that are numbers"
        raise DataError(f"{path}: the first line holds {told}", hint=_WAY_OUT)
    if not words or not numbers:
        return not numbers and bool(words)  # a column may be called Na
    below = _features(rows[1], label) if len(rows) > 1 else first
    if any(number_of(below[column]) is None and not is_missing(below[column]) for column in words):
        return False  # a column of words, in every line
    told = f"words ('{first[words[0]]}') and numbers ('{first[numbers[0]]}')"
    raise DataError(f"{path}: the first line holds {told}", hint=_WAY_OUT)


def _counts(words: Sequence[str]) -> bool:
    """Say whether three words or more count from 0 or 1, as columns without names are counted."""
    counted = list(words[1:] if words[0] == "" else words)
    return len(counted) > 2 and any(counted == [str(start + i) for i in range(len(counted))] for start in (0, 1))


def _alone(rows: Sequence[Sequence[str]], label: int) -> bool:
    """Say whether the first label is a word and all others are numbers."""
    first, *others = (row[label] for row in rows)
    word = number_of(first) is None and not is_missing(first)
    return word and bool(others) and all(number_of(other) is not None for other in others)


def _features(row: Sequence[str], label: int) -> list[str]:
    return [word for column, word in enumerate(row) if column != label]
