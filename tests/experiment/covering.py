"""Arrays of configurations that hold every two kinds of different sections together, made of the registries themselves.

Pairwise covering by greedy search (Cohen, Dalal, Fredman and Patton 1997, "The AETG system"): each row begins with a pair
that no row holds yet, and takes for every further factor the level that adds most pairs. ``RULES`` say what is refused; a
pair that no allowed row can hold stands in a row of its own, which has to be refused. A kind that is
registered is a level, unless it is listed as like others.
"""

import itertools
import random
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from jaxgossip.algorithms import ALGORITHMS, PROTOCOLS
from jaxgossip.compression import COMPRESSORS
from jaxgossip.experiment.config import learning, sections
from jaxgossip.learning import DATASETS, METRICS, MODELS, OPTIMIZERS, PARTITIONS, RATES, TASKS
from jaxgossip.mixing import MIXINGS
from jaxgossip.network import ADVERSARIES, AGGREGATIONS, ENERGIES, SPEEDS
from jaxgossip.schedule import CHURNS, CLOCKS, CONTACTS, DELAYS, EXCHANGES, PEERS, TOKEN_ACCOUNTS
from jaxgossip.topology import TOPOLOGIES

NONE = "-"
"""The level of a section that is left out."""
OWNED_CLASSES, OWNED_VALUES = "owned.csv", "values.csv"
"""Files of samples with owners: of classes, and of values, which no registered data set has."""
SEQUENCES = "shakespeare"
"""The data set of sequences."""
OWN = "own.py:suited"
"""A user's own model, which suits targets of every kind."""
TOKENS = "tokens.npz"
"""A file of texts with classes, which no registered data set has."""
LIKE_OTHERS = {
    "lenet": "mnist_10k", "gn_lenet": "digits", "resnet8": "digits", "resnet18": "mnist_10k", "lstm_char": SEQUENCES,
    "embedding_bag": TOKENS,
}  # fmt: skip
"""Models that are to the rest what cnn and gpt are, and so stand in one row each: model -> its data set."""
TOPOLOGIES_LIKE_OTHERS = (
    "k_nearest_ring", "grid", "erdos_renyi", "watts_strogatz", "stochastic_block", "barbell", "lollipop", "two_cliques",
    "connected_caveman", "davis",
)  # fmt: skip
"""Graphs of slots, of hubs or of lattices, as others are."""
OPTIMIZERS_LIKE_OTHERS = (
    "adabelief", "adadelta", "adagrad", "adamax", "lamb", "nadam", "nadamw", "radam", "rmsprop", "yogi"
)  # fmt: skip
"""Optimizers number by number as adam and adamw are, or with a ratio of norms as lars is."""
ALGORITHMS_LIKE_OTHERS = (
    "skiptrain", "clique_averaging", "morph", "dmsgd", "qg_dsgdm", "decentlam", "exact_diffusion", "shift_register",
    "gt_saga", "gt_sarah", "gt_vr", "led", "proxskip", "wang_elia", "dlm", "dinno", "lt_admm", "atg",
    "beer", "motef", "lead", "cedas", "noloco", "slowmo", "streaming_diloco", "sparta",
    "ditto", "multi_task", "model_propagation", "fedrep",
    "fedprox", "fedadam", "fedyogi", "fedadagrad", "fednova", "feddyn", "scaffold", "hierarchical_averaging", "sparse_loco",
)  # fmt: skip
"""Algorithms that take the same sections as dsgd, dsgdm, d2, gradient_tracking, choco, power_gossip, chebyshev, outer_gossip or
federated_averaging do, or fewer."""
MIXINGS_LIKE_OTHERS = (
    "one_peer_hypercube", "hyper_hypercube", "k_peer_exponential", "od_equi_dyn", "stl_fw", "divshare", "mosaic", "shatter",
)  # fmt: skip
"""Sequences of matrices of the classes of one_peer_exponential, base_k_plus_one and ou_equi_dyn; one of data, as d_cliques; and
fragments, each mixed as rows are by push and fresh_regular."""
Row = Mapping[str, str]
Pair = tuple[tuple[str, str], tuple[str, str]]


def _choices(table: type, key: str) -> list[str]:
    """Return the words that a key allows."""
    annotation = table.model_fields[key].annotation
    words = [one for part in (annotation, *typing.get_args(annotation)) for one in typing.get_args(part)]
    return [word for word in dict.fromkeys(words) if isinstance(word, str)]


LEARNING = {
    "topology": [name for name in TOPOLOGIES if name not in TOPOLOGIES_LIKE_OTHERS],
    "dataset": [*(name for name in DATASETS if name != "mnist_10k"), *TASKS, OWNED_CLASSES, OWNED_VALUES],
    "model": [NONE, *(model for model in MODELS if model not in LIKE_OTHERS), OWN],
    "partition": [NONE, *PARTITIONS],
    "metrics": [NONE, *METRICS],
    "optimizer": [name for name in OPTIMIZERS if name not in OPTIMIZERS_LIKE_OTHERS],
    "rate": [NONE, *RATES],
    "speeds": [NONE, *SPEEDS],
    "energy": [NONE, *ENERGIES],
    "dtype": _choices(sections.Device, "dtype"),
    "init": _choices(learning.Learning, "init"),
    "batch": ["1", "0"],
}
IN_ROUNDS = LEARNING | {
    "algorithm": [name for name in ALGORITHMS if name not in ALGORITHMS_LIKE_OTHERS],
    "mixing": [name for name in MIXINGS if name not in MIXINGS_LIKE_OTHERS],
    "aggregation": [NONE, *AGGREGATIONS],
    "adversary": [NONE, *ADVERSARIES],
    "compression": [NONE, *COMPRESSORS],
    "privacy": [NONE, "on"],
    "network": [NONE, *(key for key in sections.Network.model_fields if key not in ("split_at", "heal_at"))],
}
IN_EVENTS = LEARNING | {
    "algorithm": list(PROTOCOLS),
    "clock": list(CLOCKS),
    "peers": list(PEERS),
    "delay": list(DELAYS),
    "churn": [NONE, *CHURNS],
    "tokens": [NONE, *TOKEN_ACCOUNTS],
    "contacts": [NONE, *CONTACTS],
    "network": [NONE, "drop", "online", "split"],
    "exchange": list(EXCHANGES),
    "receive": _choices(sections.Schedule, "receive"),
    "useful": _choices(sections.Schedule, "useful"),
}


@dataclass(frozen=True)
class Rule:
    """Something that is refused.

    Attributes:
        factors: those that it speaks of.
        refuses: their levels -> whether they do not go together.
    """

    factors: tuple[str, ...]
    refuses: Callable[..., bool]


@dataclass(frozen=True)
class Array:
    """A covering array.

    Attributes:
        factors: name -> levels.
        rows: configurations that have to be built.
        refused: configurations that have to be refused, and the pair for the sake of which each stands there.
    """

    factors: Mapping[str, Sequence[str]]
    rows: tuple[Row, ...]
    refused: tuple[tuple[Row, Pair], ...]


def pairs_of(row: Row) -> Iterator[Pair]:
    """Yield the pairs of a row, the factors of each in alphabetical order."""
    return itertools.combinations(sorted(row.items()), 2)


def every_pair(factors: Mapping[str, Sequence[str]]) -> Iterator[Pair]:
    """Yield all pairs of levels of different factors."""
    for first, second in itertools.combinations(sorted(factors), 2):
        for levels in itertools.product(factors[first], factors[second]):
            yield (first, levels[0]), (second, levels[1])


def covering(
    factors: Mapping[str, Sequence[str]],
    rules: Sequence[Rule],
    *,
    covered: frozenset[Pair] = frozenset(),
) -> Array:
    """Return an array that covers every pair.

    Args:
        factors: name -> levels.
        rules: what is refused.
        covered: pairs that another array holds.
    """
    draw = random.Random(0)  # noqa: S311 - the same array every time
    search = _Search(factors, rules, covered, draw)
    rows, refused = [], []
    for pair in draw.sample(search.wanted, len(search.wanted)):
        if pair not in search.open:
            continue
        row = search.completed(dict(pair))
        if row is None:
            # Where nothing but the pair is wrong, or else the second half of it.
            allowed = search.completed(dict(pair), but=pair) or search.completed(dict(pair[:1]))
            assert allowed is not None, f"no row has {pair[0]}"
            refused.append(({**allowed, **dict(pair)}, pair))
            search.open.discard(pair)
        else:
            rows.append(row)
            search.open.difference_update(pairs_of(row))
    return Array(factors, tuple(rows), tuple(refused))


class _Search:
    """The pairs that no row holds yet, and how to make a row that holds many of them."""

    def __init__(
        self,
        factors: Mapping[str, Sequence[str]],
        rules: Sequence[Rule],
        covered: frozenset[Pair],
        draw: random.Random,
    ) -> None:
        self.wanted = [pair for pair in every_pair(factors) if pair not in covered]
        self.open = set(self.wanted)
        self._factors, self._draw, self._but = factors, draw, None
        self._of_two = {
            pair
            for rule in rules
            if len(rule.factors) == 2
            for pair in every_pair({f: factors[f] for f in rule.factors})
            if rule.refuses(*(dict(pair)[factor] for factor in rule.factors))
        }
        self._of_more = [rule for rule in rules if len(rule.factors) > 2]

    def completed(self, given: Row, *, but: Pair | None = None) -> Row | None:
        """Return ``given`` with a level for every factor; None if there are none that the rules allow, ``but`` apart."""
        self._but = but
        choices = {name: [given[name]] if name in given else levels for name, levels in self._factors.items()}
        return self._chosen({}, choices)

    def _chosen(self, row: dict[str, str], choices: Mapping[str, Sequence[str]]) -> dict[str, str] | None:
        if not choices:
            return row
        if not all(choices.values()):
            return None
        # What has least choice is chosen first, and where a choice leaves nothing for another factor, it is taken back.
        name = min(choices, key=lambda name: (len(choices[name]), self._draw.random()))
        gains = {level: self._gain(row, name, level) + self._draw.random() for level in choices[name]}
        for level in sorted(gains, key=lambda level: -gains[level]):
            more = row | {name: level}
            left = {
                other: [one for one in levels if self._allowed(more, name, other, one)]
                for other, levels in choices.items()
                if other != name
            }
            found = self._chosen(more, left)
            if found is not None:
                return found
        return None

    def _allowed(self, row: Row, name: str, other: str, level: str) -> bool:
        """Say whether ``other`` may have ``level`` now that ``name`` was chosen."""
        first, second = sorted(((name, row[name]), (other, level)))
        if (first, second) in self._of_two and (first, second) != self._but:
            return False
        return not any(
            other in rule.factors
            and all(factor in row for factor in rule.factors if factor != other)
            and rule.refuses(*(level if factor == other else row[factor] for factor in rule.factors))
            for rule in self._of_more
        )

    def _gain(self, row: Row, name: str, level: str) -> int:
        mine = (name, level)
        return sum(((mine, other) if name < other[0] else (other, mine)) in self.open for other in row.items())
