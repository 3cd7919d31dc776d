"""Detection of a header: whether the first line of a table names its columns, judged by the lines below it."""

from collections.abc import Sequence

from jaxgossip.core.errors import DataError
from jaxgossip.learning.data.labels import is_missing, number_of

_HEADER_HINT = "header = true if it names the columns, header = false if it is a sample"


def has_header(path: str, rows: Sequence[Sequence[str]], label: int) -> bool:
    """Return whether the first line names the columns, which it does unless its features are numbers.

    Args:
        path: name of the file in messages.
        rows: the fields of each line.
        label: number of the label column, which may hold words in either case.

    Raises:
        DataError: the first line mixes words and numbers over columns of numbers, or counts as unnamed columns are counted.
    """
    first = _features(rows[0], label)
    recurs = any(row[label] == rows[0][label] for row in rows[1:])  # as labels do, but names do not
    if _counts(rows[0]) or (_counts(first) and not recurs):
        raise DataError(f"{path}: the first line counts: {', '.join(rows[0][:4])}, …", hint=_HEADER_HINT)
    numbers, words = (
        [
            column
            for column, word in enumerate(first)
            if (number_of(word) is not None) is is_number and not is_missing(word)
        ]
        for is_number in (True, False)
    )
    if numbers and not words and _only_first_label_is_word(rows, label):
        content = f"a word for the label ('{rows[0][label]}') and numbers ('{first[numbers[0]]}'), over labels that are numbers"
        raise DataError(f"{path}: the first line holds {content}", hint=_HEADER_HINT)
    if not words or not numbers:
        return not numbers and bool(words)  # a column may be named Na, which counts as missing
    below = _features(rows[1], label) if len(rows) > 1 else first
    if any(number_of(below[column]) is None and not is_missing(below[column]) for column in words):
        return False  # a column of words throughout
    content = f"words ('{first[words[0]]}') and numbers ('{first[numbers[0]]}')"
    raise DataError(f"{path}: the first line holds {content}", hint=_HEADER_HINT)


def _counts(words: Sequence[str]) -> bool:
    """Return whether three or more words count from 0 or 1, as unnamed columns are counted."""
    counted = list(words[1:] if words[0] == "" else words)
    return len(counted) > 2 and any(counted == [str(start + i) for i in range(len(counted))] for start in (0, 1))


def _only_first_label_is_word(rows: Sequence[Sequence[str]], label: int) -> bool:
    """Return whether the first label is a word and all others are numbers."""
    first, *others = (row[label] for row in rows)
    word = number_of(first) is None and not is_missing(first)
    return word and bool(others) and all(number_of(other) is not None for other in others)


def _features(row: Sequence[str], label: int) -> list[str]:
    return [word for column, word in enumerate(row) if column != label]
