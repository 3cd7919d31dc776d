"""Export of curves: every array of a prediction or a measurement has a name in one file."""

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgossip.theory import curves


class Rates(NamedTuple):
    rate: dict[Any, Any]
    words: str


@dataclass
class Late:
    after: Any
    rule: Any


def test_arrays_are_named_by_where_they_stand(tmp_path: Path) -> None:
    predicted = Rates({"ring": jnp.arange(3), None: 0.5, ("star", 2): [1, True]}, "all")
    measured = Late(MappingProxyType({0.25: np.ones(2)}), lambda x: x)
    curves.write(tmp_path / "it.npz", predicted, measured)
    with np.load(tmp_path / "it.npz") as found:
        assert list(found) == [
            "predicted.rate['ring']",
            "predicted.rate[None]",
            "predicted.rate[('star', 2)][0]",
            "predicted.rate[('star', 2)][1]",
            "predicted.words",
            "measured.after[0.25]",
        ]
        assert found["predicted.rate['ring']"].tolist() == [0, 1, 2]
        assert found["predicted.words"] == "all"


def test_one_array_is_called_as_its_part() -> None:
    found = curves.arrays(np.ones(2), jnp.ones(2, jnp.bfloat16))
    assert {name: array.dtype for name, array in found.items()} == {"predicted": np.float64, "measured": np.float32}


def test_what_is_no_array_of_numbers_or_words_is_left_out() -> None:
    assert curves.arrays([print, None, jax.random.key(0), object()], [[1, [2, 3]], {1: {}}]).keys() == {
        "measured[0][0]", "measured[0][1][0]", "measured[0][1][1]",
    }  # fmt: skip
