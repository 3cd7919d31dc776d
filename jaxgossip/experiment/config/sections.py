"""The sections of a configuration, with their keys, defaults and bounds.

Sections with a ``kind``, and tables of options, get their further keys from the builder that they name (``schema.py``).
The descriptions here appear in the JSON schema, in hints and in resolved configurations.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SerializeAsAny, Strict
from pydantic_core import PydanticCustomError

from jaxgossip.experiment.config.learning import Classification, Learning
from jaxgossip.experiment.config.schema import Section, Whole, existing_file

DEFAULT_KINDS: Mapping[str, str] = MappingProxyType(
    {"mixing": "static", "partition": "iid", "algorithm": "gossip", "optimizer": "sgd"}
    | {"clock": "fixed", "peers": "uniform", "delay": "none"}
)
"""The kinds of sections that name none; a topology, a data set and a model must be chosen."""

type Fraction = Annotated[float, Field(ge=0, le=1)]

MOST_NAME_BYTES = 200
"""Largest length of a name: folders append a time and a digest, and file systems allow 255 bytes."""


def _names_a_folder(name: str) -> str:
    if len(name.encode()) > MOST_NAME_BYTES:
        raise PydanticCustomError("name_too_long", "longer than {most} bytes", {"most": MOST_NAME_BYTES})
    return name


class Table(BaseModel):
    """A section with fixed keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class TopologySection(Section):
    """The graph: who hears whom."""

    allow_disconnected: bool = Field(default=False, description="accept a graph of several components")
    localise: bool = Field(
        default=True,
        description="let neighbours stand near each other in memory, in rounds of 32,768 nodes or more; results keep the "
        "nodes' numbers",
    )


class Window(Table):
    """Rounds in which models are mixed over more links than in others."""

    start: Whole = Field(description="its first round, from 0; if negative, counted from the end: -1 is the last round")
    rounds: Whole = Field(default=1, ge=1, description="number of its rounds")
    degree: Whole | None = Field(
        default=None,
        ge=1,
        description="nodes that each node hears, on a new random regular graph each round; all others if left out, so that "
        "every model becomes the exact mean",
    )


class MixingSection(Section):
    """How models are mixed: with which weights, or by which random pairing."""

    window: Window | None = Field(default=None, description="rounds in which they are mixed over more links")


class PartitionSection(Section):
    """How the training samples are divided over the nodes."""

    local_test: float = Field(
        default=0.0, ge=0, lt=1, description="fraction of each node's own samples kept for its own test"
    )


class AlgorithmSection(Section):
    """The update rule."""


class OptimizerSection(Section):
    """Each node's own optimizer: one of optax by its name, or your own."""

    clip_norm: float | None = Field(
        default=None,
        gt=0,
        description="largest norm of a node's gradient, over all parameters; a longer one is scaled to it first",
    )
    clip_value: float | None = Field(
        default=None, gt=0, description="largest magnitude of each number of a gradient, cut before the norm is"
    )


class OuterSection(Section):
    """The optimizer of outer steps, of algorithms that have them: one of optax by its name, or your own."""


class RateSection(Section):
    """A learning rate that changes."""

    by: Literal["steps", "rounds", "age"] = Field(
        default="steps",
        description="what it counts: optimizer steps of the node itself, rounds, or the age of the model as gossip merges it",
    )


class CompressionSection(Section):
    """What is sent in the place of a whole model, by algorithms that compress."""


class AdversarySection(Section):
    """Nodes that lie."""


class AggregationSection(Section):
    """How nodes take in what they hear, if not as the weighted mean: robustly."""


class SpeedsSection(Section):
    """How fast the nodes' machines are: with it, a run tells its virtual seconds."""


class ClockSection(Section):
    """When nodes act, where they do so one by one."""


class PeersSection(Section):
    """Whom a node calls when its clock ticks."""


class DelaySection(Section):
    """How long messages travel."""


class ChurnSection(Section):
    """Which nodes are online when."""


class TokensSection(Section):
    """How much a node sends in reaction to what reaches it."""


class ContactsSection(Section):
    """Who is in contact when: nodes that meet."""

    rate_bytes_s: float | None = Field(
        default=None,
        gt=0,
        description="bytes per second of a contact, where nodes act by their own clocks; a message that is not through when "
        "the contact ends is lost. Without bound if left out",
    )


class EnergySection(Section):
    """What the nodes' machines spend: with it, a run tells its joules, and batteries run down."""


SECTIONS: Mapping[str, type[Section]] = MappingProxyType(
    {
        "topology": TopologySection,
        "mixing": MixingSection,
        "partition": PartitionSection,
        "algorithm": AlgorithmSection,
        "optimizer": OptimizerSection,
        "outer": OuterSection,
        "compression": CompressionSection,
        "adversary": AdversarySection,
        "aggregation": AggregationSection,
        "clock": ClockSection,
        "peers": PeersSection,
        "delay": DelaySection,
        "churn": ChurnSection,
        "tokens": TokensSection,
        "contacts": ContactsSection,
        "speeds": SpeedsSection,
        "energy": EnergySection,
    }
)
"""The sections, besides ``learning``, that name a builder: the catalogue has a registry for each."""

NESTED: Mapping[str, Mapping[str, tuple[str, type[Section]]]] = MappingProxyType(
    {name: MappingProxyType({"learning_rate": ("rate", RateSection)}) for name in ("optimizer", "outer")}
)
"""Keys of sections that take a number, or a table that names a builder: section -> key -> (its registry, its class)."""

OF_EVENTS = ("clock", "peers", "delay", "churn", "tokens", "schedule")
"""Sections of runs in which every node acts by its own clock."""

OF_ROUNDS = ("mixing", "outer", "compression", "privacy")
"""Sections of runs in rounds."""


class Schedule(Table):
    """What happens when a node's clock ticks, and when a model reaches it."""

    exchange: Literal["push", "pull", "push_pull", "pairwise", "split_push", "compute_pairwise"] | None = Field(
        default=None,
        description="what travels when a node calls another; the algorithm's usual one if left out. The requests of a pull "
        "are messages of no bytes",
    )
    receive: Literal["at_once", "pass_through", "cached"] = Field(
        default="at_once",
        description="whether a model that arrives is merged at once, by the degrees of both ends merged or passed on, "
        "or kept until the node's own tick",
    )
    useful: Literal["always", "newer"] = Field(
        default="always",
        description="which models count as useful to token accounts: all, or older ones than one's own",
    )
    path: Annotated[Path, Strict(strict=False), AfterValidator(existing_file)] | None = Field(
        default=None, description="a file of messages (.csv, .npz) in the place of drawn ones"
    )
    period_s: float | None = Field(
        default=None, gt=0, description="seconds of a cycle, of a file of messages; 1 if left out"
    )


class Privacy(Table):
    """DP-SGD on every node: gradients are clipped sample by sample, and noise is added."""

    clip: float = Field(gt=0, description="norm to which the gradient of each sample is clipped")
    noise_multiplier: float = Field(ge=0, description="standard deviation of the noise in multiples of clip/batch_size")
    delta: float = Field(default=1e-5, gt=0, lt=1, description="probability with which the reported epsilon may fail")


class Network(Table):
    """Message conditions."""

    drop: Fraction = Field(default=0.0, description="probability that a message is lost")
    online: Fraction = Field(default=1.0, description="probability that a node takes part in a round")
    link_drop: Fraction = Field(default=0.0, description="probability that a link fails in a round, both ways")
    link_burst: float = Field(
        default=0.0, ge=0, le=1e6, description="mean number of rounds for which a failed link stays so; 0: drawn anew"
    )
    session: Whole = Field(default=1, ge=1, description="rounds from one draw of a node's being online to the next")
    straggle: Fraction = Field(default=0.0, description="probability that a node skips its local work in a round")
    split: Whole = Field(default=1, ge=1, description="sides into which the network falls apart; 1: it does not")
    split_at: Whole = Field(default=0, ge=0, description="first round in which it is split")
    heal_at: Whole = Field(default=0, ge=0, description="first round in which it is whole again")
    noise: float = Field(default=0.0, ge=0, description="standard deviation of noise in every number that is sent")


class Evaluation(Table):
    """What is measured, when, and against what."""

    every: Whole = Field(default=10, ge=1, description="rounds from one evaluation to the next")
    sampled_nodes: Whole = Field(
        default=1000, ge=1, description="nodes evaluated while running; all if there are fewer"
    )
    target: float | None = Field(
        default=None,
        gt=0,
        description="mean over evaluated nodes whose first reaching is told: accuracy of classes as a fraction; of values "
        "the mean squared error, of sequences the perplexity, of a quadratic the squared distance to the optimum",
    )
    metrics: Annotated[tuple[str, ...], Strict(strict=False)] = Field(
        default=(),
        description="metrics of the test set besides the usual ones of the task: registered names, or your own functions "
        "(outputs, targets) -> number as 'file.py:function'",
    )
    baselines: Annotated[
        tuple[Literal["isolated", "centralised", "federated_averaging"], ...], Strict(strict=False)
    ] = Field(
        default=("isolated", "centralised"),
        description="runs beside it: without messages, with one common model, with a server; none by default where there "
        "is no optimizer",
    )


class Checkpoint(Table):
    """Saving, so that a run can be resumed."""

    every_s: float = Field(default=60.0, ge=0, description="seconds from one checkpoint to the next")


class Device(Table):
    """Devices, numbers, and how exactly they are multiplied."""

    dtype: Literal["bfloat16", "float16", "float32", "float64"] = Field(
        default="float32", description="type in which models are held; those of 16 bits are computed with in float32"
    )
    matmul_precision: Literal["highest", "high", "default"] = Field(
        default="highest", description="precision of float32 products on accelerators"
    )
    count: int = Field(
        default=1, ge=0, lt=2**16, description="devices that a run is spread over; 0: all that there are"
    )
    blocked: bool = Field(
        default=False,
        description="whether a run on one device goes block by block too, as it does on several, and so has their very bits",
    )


class Config(Table):
    """A whole experiment, resolved: every default filled in, every path absolute."""

    name: Annotated[str, AfterValidator(_names_a_folder)] = Field(
        pattern=r"^\w[\w.+-]*$",
        description="the run's name: letters, digits, '_', '-', '.' and '+'; the file's own name if left out",
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="all randomness follows from it")
    rounds: Whole = Field(default=100, ge=1, description="number of rounds")
    byte_budget: int = Field(
        default=0, ge=0, lt=2**63, description="end before all nodes have sent more bytes than this together; 0: never"
    )
    topology: SerializeAsAny[TopologySection] = Field(description="the graph: who hears whom")
    mixing: SerializeAsAny[MixingSection] | None = Field(default=None, description="how models meet, in rounds")
    learning: SerializeAsAny[Learning] = Field(description="what each node learns")
    partition: SerializeAsAny[PartitionSection] | None = Field(
        default=None, description="how the training samples are divided over the nodes"
    )
    algorithm: SerializeAsAny[AlgorithmSection] = Field(description="the update rule")
    optimizer: SerializeAsAny[OptimizerSection] | None = Field(
        default=None, description="each node's own optimizer, where nodes take steps"
    )
    outer: SerializeAsAny[OuterSection] | None = Field(
        default=None, description="the optimizer of outer steps, of algorithms that have them; Nesterov's if left out"
    )
    compression: SerializeAsAny[CompressionSection] | None = Field(
        default=None, description="what is sent in the place of a whole model, by algorithms that compress"
    )
    network: Network = Field(default=Network(), description="message conditions")
    adversary: SerializeAsAny[AdversarySection] | None = Field(default=None, description="nodes that lie")
    aggregation: SerializeAsAny[AggregationSection] | None = Field(
        default=None, description="how nodes take in what they hear, if not as the weighted mean"
    )
    schedule: Schedule | None = Field(
        default=None, description="what happens when a node's clock ticks, and when a model reaches it"
    )
    clock: SerializeAsAny[ClockSection] | None = Field(default=None, description="when nodes act, one by one")
    peers: SerializeAsAny[PeersSection] | None = Field(default=None, description="whom a node calls")
    delay: SerializeAsAny[DelaySection] | None = Field(default=None, description="how long messages travel")
    churn: SerializeAsAny[ChurnSection] | None = Field(default=None, description="which nodes are online when")
    tokens: SerializeAsAny[TokensSection] | None = Field(
        default=None, description="how much a node sends in reaction to what reaches it"
    )
    contacts: SerializeAsAny[ContactsSection] | None = Field(
        default=None, description="who is in contact when, among nodes that meet"
    )
    speeds: SerializeAsAny[SpeedsSection] | None = Field(
        default=None, description="how fast the nodes' machines are, for virtual seconds"
    )
    energy: SerializeAsAny[EnergySection] | None = Field(
        default=None, description="what the nodes' machines spend, for joules, and their batteries"
    )
    privacy: Privacy | None = Field(default=None, description="DP-SGD on every node")
    evaluation: Evaluation = Field(default=Evaluation(), description="what is measured, when, and against what")
    checkpoint: Checkpoint = Field(default=Checkpoint(), description="saving, so that a run can be resumed")
    device: Device = Field(default=Device(), description="devices, numbers, and how exactly they are multiplied")

    @property
    def in_events(self) -> bool:
        """Whether every node acts by its own clock, rather than all in rounds."""
        return self.schedule is not None

    @property
    def is_classification(self) -> bool:
        """Whether a data set is divided over nodes that train a model; else a task needs neither model nor partition."""
        return isinstance(self.learning, Classification)

    def tree(self) -> dict[str, Any]:
        """Return the configuration as nested dicts of TOML types, without absent values."""
        return _tree(self)


def _tree(table: BaseModel) -> dict[str, Any]:
    names = list(type(table).model_fields)
    if isinstance(table, Section):  # its kind, the keys of the kind, then the keys common to all kinds
        own = ["kind", *table.builder_keys.values()]
        names = own + [name for name in names if name not in own]
    fields = type(table).model_fields
    tree = {fields[name].alias or name: _plain(getattr(table, name)) for name in names}
    return {key: value for key, value in tree.items() if value not in (None, {})}


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return _tree(value)
    if isinstance(value, Mapping):
        return {key: _plain(member) for key, member in value.items() if member is not None}
    if isinstance(value, tuple | list):
        return [_plain(member) for member in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
