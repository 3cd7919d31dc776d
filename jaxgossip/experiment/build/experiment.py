"""Building of an experiment from its configuration: graph, problem, mixing, optimizer, algorithm, conditions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxgossip.algorithms import ALGORITHMS, PROTOCOLS, Algorithm, GossipProtocol
from jaxgossip.algorithms.local_steps import Epochs, Steps
from jaxgossip.algorithms.protocols.conditions import under_conditions
from jaxgossip.compression import COMPRESSORS, Compressor
from jaxgossip.core.arguments import fits
from jaxgossip.core.errors import ConfigError, InputError
from jaxgossip.core.random import host_rng, run_key
from jaxgossip.core.typing import accumulator
from jaxgossip.experiment.build.builders import Builder, Shared, errors_of, result_text
from jaxgossip.experiment.build.data import class_shares, data_key, divided
from jaxgossip.experiment.build.machines import build_energy, build_speeds
from jaxgossip.experiment.build.optimizers import build_optimizer, build_outer
from jaxgossip.experiment.build.schedules import build_contacts, build_schedule
from jaxgossip.experiment.build.starts import gained, init_gain
from jaxgossip.experiment.build.steps import local_steps, work
from jaxgossip.experiment.build.windows import in_windows
from jaxgossip.experiment.config.learning import Classification
from jaxgossip.experiment.config.schema import Section, supply
from jaxgossip.experiment.config.sections import SECTIONS, Config, RateSection
from jaxgossip.experiment.config.targets import check_target
from jaxgossip.learning import (
    METRICS,
    MODELS,
    TASKS,
    DifferentialPrivacy,
    Model,
    Problem,
    supervised,
)
from jaxgossip.learning.augmentation.draws import chosen_augmentations
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.learning.partitions.poisoning import flip_labels, plant_backdoor
from jaxgossip.learning.problem import started, with_init_gain
from jaxgossip.learning.supervised import Supervised, chosen_metrics
from jaxgossip.mixing import MIXINGS, Mixing, Operator, TimeVarying
from jaxgossip.network import ADVERSARIES, AGGREGATIONS, Adversary, Aggregation, Conditions, Energy, Speeds
from jaxgossip.network.aggregation import senders
from jaxgossip.schedule import Source
from jaxgossip.simulation.program import Run
from jaxgossip.topology import TOPOLOGIES, Graph, Order, check_connected, from_networkx, from_scipy, localised

LOCALISE_FROM = 2**15
"""Number of nodes from which models no longer fit into cache, so that the order of their rows matters."""


@dataclass(frozen=True)
class Experiment:
    """The parts of a run, built from its configuration.

    Attributes:
        config: the configuration.
        graph: who hears whom.
        problem: what each node learns.
        W: the mixing, in rounds; None if every node acts by its own clock.
        optimizer: the optimizer of each node; None if no node takes steps.
        algorithm: the update rule, ready to run.
        conditions: faults of rounds.
        speeds: speeds of the nodes' machines, for rounds of as many local steps as the algorithm takes; None if no virtual
            time is kept.
        energy: what the nodes' machines spend, in rounds of such work; None if no account is kept.
        schedule: who sends to whom and when, if every node acts by its own clock; None in rounds.
    """

    config: Config
    graph: Graph
    problem: Problem
    W: Mixing | None
    optimizer: Transformation | None
    algorithm: Algorithm | GossipProtocol
    conditions: Conditions
    speeds: Speeds | None = None
    energy: Energy | None = None
    schedule: Source | None = None

    @property
    def in_rounds(self) -> Algorithm:
        """The algorithm of a run in rounds."""
        assert isinstance(self.algorithm, Algorithm)
        return self.algorithm

    @property
    def in_events(self) -> GossipProtocol:
        """The protocol of a run by events."""
        assert isinstance(self.algorithm, GossipProtocol)
        return self.algorithm

    @property
    def steps(self) -> Steps:
        """The local steps of a round: those of the algorithm, or 1 if it has none or takes no optimizer step."""
        return local_steps(self.config, self.algorithm)

    @property
    def work(self) -> Steps:
        """All steps of a round, which take its time and its privacy."""
        return work(self.config, self.algorithm)

    @property
    def own(self) -> list[str]:
        """The user's own builders that the configuration names."""
        c = self.config
        kinds = [section.kind for name in SECTIONS if (section := getattr(c, name)) is not None and name != "partition"]
        kinds += [c.learning.dataset]
        rates = [getattr(section, "learning_rate", None) for section in (c.optimizer, c.outer)]
        kinds += [rate.kind for rate in rates if isinstance(rate, RateSection)]
        if isinstance(c.learning, Classification):
            kinds += [c.learning.model, *(section.kind for section in c.learning.augment)]
        return [kind for kind in kinds if ":" in kind]

    @property
    def baselines(self) -> list[str]:
        """The baselines that the configuration names, except those of which nothing can be measured."""
        return [name for name in self.config.evaluation.baselines if _measured(self.baseline(name))[0]]

    def baseline(self, name: str) -> Algorithm:
        """Return the baseline called ``name``, with as many local steps per round as the algorithm takes."""
        steps = self.steps
        given = {"local_epochs": steps.number} if isinstance(steps, Epochs) else {"local_steps": steps}
        # What nodes learn before the first round is lost when the server sends them its model.
        problem = started(self.problem, 0) if name == "federated_averaging" else self.problem
        problem = with_init_gain(problem, 1.0)  # without mixing, nothing has to make up for it
        return supply(ALGORITHMS[name], given, problem=problem, optimizer=self.optimizer)


def build(
    config: Config, *, shared: Shared | None = None, lifted: Mapping[tuple[str, str], Any] | None = None
) -> Experiment:
    """Build all parts of a run.

    Args:
        config: the configuration.
        shared: parts of earlier runs, to be reused.
        lifted: (section, key) of the optimizer or the network -> an array in place of its number, so that the number is an
            argument of the program rather than a constant.

    Raises:
        InputError: a part cannot be built; the message begins with its section.
    """
    shared, lifted = shared or Shared(), lifted or {}
    part = Builder(config.seed, shared)
    of_graph = (config.topology, _seed_of(config, config.topology), _rows_are_nodes(config))
    graph = shared.get(("graph", *of_graph), lambda: in_order(build_graph(config), config))
    mixing, W = config.mixing, None
    if mixing is not None:
        W = shared.get(
            (
                "W",
                *of_graph,
                mixing,
                _seed_of(config, mixing),
                data_key(config) if "class_shares" in mixing.builder_takes else (),
                config.device.dtype == "float64",  # its tables' precision
                config.rounds if mixing.window is not None or config.contacts is not None else None,
                config.contacts,
                _seed_of(config, config.contacts) if config.contacts is not None else None,
            ),
            lambda: in_windows(
                part.section(
                    "mixing", mixing, MIXINGS, (Operator, TimeVarying),
                    graph=graph, rng=host_rng(config.seed, "mixing"),
                    class_shares=class_shares(config, graph.n_nodes, shared),
                    contacts=build_contacts(config, part, graph.n_nodes), n_rounds=config.rounds,
                ),
                mixing,
                config.rounds,
            ),
        )  # fmt: skip
    if mixing is not None and W is not None:
        with errors_of("mixing", mixing.kind):
            fits("mixing", W.n_nodes, "a network", graph.n_nodes)
    order = graph.order if W is not None and W.numbering else None
    task = (config.learning, config.partition, config.adversary, config.privacy, config.device, config.seed)
    gain = init_gain(config.learning, W)
    problem = shared.get(
        ("problem", *task, gain, graph.n_nodes, order and (order.numbering, *of_graph)),
        lambda: gained(build_problem(config, graph.n_nodes, order, shared), gain),
    )
    compressor = part.optional("compression", config.compression, COMPRESSORS, Compressor)
    outer = build_outer(config, part)

    def algorithm_with(optimizer: Transformation | None) -> Any:
        return part.section(
            "algorithm", config.algorithm, ALGORITHMS if W is not None else PROTOCOLS,
            Algorithm if W is not None else GossipProtocol,
            problem=problem, optimizer=optimizer, outer=outer, W=W, graph=graph, compressor=compressor,
        )  # fmt: skip

    optimizer = build_optimizer(
        config, part, _of_section(lifted, "optimizer"), lambda: local_steps(config, algorithm_with(optax.sgd(0.0)))
    )
    algorithm = algorithm_with(optimizer)
    aggregation = build_aggregation(config, part, W)
    network = config.network.model_dump() | _of_section(lifted, "network")
    conditions = Conditions(**network, adversary=build_adversary(config, graph.n_nodes), aggregation=aggregation)
    if isinstance(algorithm, GossipProtocol):  # whose schedule has the other conditions
        own = {name: network[name] for name in ("noise", "straggle")}
        conditions = Conditions(**own, adversary=conditions.adversary, aggregation=aggregation)
        algorithm = under_conditions(algorithm, conditions)
    speeds = build_speeds(config, part, algorithm)
    energy = build_energy(config, part, algorithm)
    schedule = build_schedule(config, part, graph, algorithm, speeds) if isinstance(algorithm, GossipProtocol) else None
    check_measured(config, algorithm)
    return Experiment(config, graph, problem, W, optimizer, algorithm, conditions, speeds, energy, schedule)


def _of_section(lifted: Mapping[tuple[str, str], Any], name: str) -> dict[str, Any]:
    """Return the arrays in place of numbers of a section, by key."""
    return {key: value for (section, key), value in lifted.items() if section == name}


def check_measured(config: Config, algorithm: Algorithm | GossipProtocol) -> None:
    """Raise ConfigError unless there is a measure of the algorithm's models."""
    measured, of_nodes = _measured(algorithm)
    if measured:
        return
    if not of_nodes:
        raise ConfigError(
            f"algorithm.kind: nothing can be measured of the one model of '{config.algorithm.kind}': "
            f"'{config.learning.dataset}' is measured on the nodes' own data",
            hint="choose an algorithm with a model a node; evaluation.baselines names others to run beside it",
        )
    raise ConfigError(
        f"learning: nothing would be measured: '{config.learning.dataset}' keeps no data for tests",
        hint="learning.dataset_options.held_out is the share of every node's data that is kept",
    )


def check_round(experiment: Experiment) -> None:
    """Raise the errors of a round about noise, adversaries or aggregations that have no effect or do not suit the algorithm.

    They are found only by tracing, which takes some tenths of a second; runs without any of these are not traced.
    """
    if isinstance(experiment.algorithm, Algorithm) and experiment.conditions.on_mixing:
        run = Run(experiment.algorithm, conditions=experiment.conditions)
        jax.eval_shape(run.step, run.like())


def _measured(algorithm: Algorithm | GossipProtocol) -> tuple[bool, bool]:
    """Return whether there is a measure of an algorithm's models, and whether it has one model per node."""
    problem = algorithm.problem
    if isinstance(problem, Supervised):
        return True, True  # it has a common test set; tracing its evaluation would take longer than building it
    x = jax.eval_shape(lambda key: algorithm.models(algorithm.init(key)), jax.random.key(0))
    row, node = jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype), jax.ShapeDtypeStruct((1,), jnp.int32)
    of_nodes = x.shape[0] == problem.n_nodes
    own = of_nodes and jax.eval_shape(problem.evaluate_local, row, node)
    return bool(jax.eval_shape(problem.evaluate, row) or own), of_nodes


def _seed_of(config: Config, section: Section) -> int | None:
    """Return the seed if a section's builder draws random numbers, else None, for its result is the same for all seeds."""
    return config.seed if {"rng", "seed"} & section.builder_takes else None


def build_adversary(config: Config, n_nodes: int) -> Adversary | None:
    """Build the adversary; None if there is no section.

    Raises:
        InputError: it cannot be built.
    """
    rng = host_rng(config.seed, "adversary")
    return Builder(config.seed).optional(
        "adversary", config.adversary, ADVERSARIES, Adversary, n_nodes=n_nodes, rng=rng
    )


def build_aggregation(config: Config, part: Builder, W: Mixing | None) -> Aggregation | None:
    """Build the aggregation, and check that the mixing allows it; None if there is no section.

    Raises:
        InputError: it cannot be built, or the mixing does not allow it.
    """
    aggregation = part.optional("aggregation", config.aggregation, AGGREGATIONS, Aggregation)
    if config.aggregation is not None and aggregation is not None and W is not None:
        with errors_of("aggregation", config.aggregation.kind):
            jax.eval_shape(lambda key: senders(W.at(jnp.int32(0), key)), run_key(config.seed))
            aggregation.check_mixing(W)
    return aggregation


def build_graph(config: Config) -> Graph:
    """Build the graph, and check that it is connected unless the configuration allows otherwise.

    A user's own topology may also return a networkx graph or a scipy sparse matrix.

    Raises:
        InputError: the graph cannot be built, or is disconnected.
    """
    part = Builder(config.seed)
    built = part.section("topology", config.topology, TOPOLOGIES, object, rng=host_rng(config.seed, "topology"))
    with errors_of("topology", config.topology.kind):
        graph = built if isinstance(built, Graph) else as_graph(built, config.topology.kind)
        check_connected(graph, allow_disconnected=config.topology.allow_disconnected)
    return graph


def in_order(graph: Graph, config: Config) -> Graph:
    """Return the graph with its rows ordered for the cache, if that may pay off.

    Row i stays node i for a user's own algorithm or mixing, which may rely on it.
    """
    wanted = config.topology.localise and not _rows_are_nodes(config) and graph.n_nodes >= LOCALISE_FROM
    return localised(graph) if wanted else graph


def _rows_are_nodes(config: Config) -> bool:
    """Return whether row i must be node i: a user's own algorithm or mixing may rely on it, and so does a schedule."""
    return config.mixing is None or any(":" in section.kind for section in (config.mixing, config.algorithm))


def as_graph(value: Any, kind: str) -> Graph:
    """Convert a networkx graph, or a sparse or dense matrix, to a Graph.

    Args:
        value: what the user's own topology returned.
        kind: the topology, as 'file.py:function'.

    Raises:
        ConfigError: the value is neither, or no graph follows from it.
    """
    reason, hint = "", "return a Graph, a networkx graph, or a matrix (n, n) that is not zero at [i, j] if i hears j"
    try:
        if hasattr(value, "nodes") and hasattr(value, "edges"):
            return from_networkx(value)
        if hasattr(value, "shape"):
            return from_scipy(value)
    except InputError as error:
        reason = f": {error.message}"
    raise ConfigError(f"{kind} returned {result_text(value)}, which is no graph{reason}", hint=hint)


def build_problem(config: Config, n_nodes: int, order: Order | None = None, shared: Shared | None = None) -> Problem:
    """Build the learning problem: a task, or a model with a data set that is divided over the nodes.

    Raises:
        InputError: a part cannot be built.
    """
    return started(_problem(config, n_nodes, order, shared or Shared()), config.learning.start_steps)


def _problem(config: Config, n_nodes: int, order: Order | None, shared: Shared) -> Problem:
    learning, dtype, part = config.learning, jnp.dtype(config.device.dtype), Builder(config.seed, shared)
    if not isinstance(learning, Classification):
        if config.evaluation.metrics:
            raise ConfigError(
                f"evaluation.metrics: '{learning.dataset}' has no test set with targets",
                hint="metrics are of data sets; a task measures what it is about",
            )
        return part.call(
            "learning", learning.dataset, TASKS[learning.dataset], learning.dataset_options, object,
            table="learning.dataset_options", n_nodes=n_nodes, rng=host_rng(config.seed, "data"), dtype=dtype,
            batch_size=learning.batch_size, init=learning.init, order=order,
        )  # fmt: skip
    dataset, partition = divided(config, learning, n_nodes, part)
    adversary = build_adversary(config, n_nodes)
    if config.adversary is not None and adversary is not None:
        with errors_of("adversary", config.adversary.kind):
            if adversary.flips_labels:
                dataset, partition = flip_labels(dataset, partition, adversary.liars)
            if adversary.backdoor is not None:
                dataset, partition = plant_backdoor(dataset, partition, adversary.liars, adversary.backdoor)
    private = config.privacy
    privacy = private and DifferentialPrivacy(private.clip, private.noise_multiplier)
    model = part.call(
        "learning", learning.model, part.resolve(MODELS, learning.model), learning.model_options, Model,
        input_shape=tuple(dataset.x_train.shape[1:]), n_classes=dataset.n_outputs, n_tokens=dataset.n_tokens,
        table="learning.model_options",
    )  # fmt: skip
    if model.measures is None:  # else it is compared with a measure of the model's own
        check_target(config.evaluation.target, dataset.target)
    metrics = []
    for name in config.evaluation.metrics:
        with errors_of("evaluation.metrics", name):
            metrics.append(part.resolve(METRICS, name) if ":" in name else name)
            chosen_metrics(dataset, model, metrics[-1:])
    augment = []
    for section in learning.augment:
        augment.append(part.augmentation(section))
        with errors_of("learning.augment", section.kind, culprit=False):
            chosen_augmentations(augment[-1:], dataset, accumulator(dtype))
    with errors_of("learning", learning.model, culprit=False):  # the data or their partition may be it, too
        return supervised(
            dataset, partition, model,
            batch_size=learning.batch_size, sampling=learning.sampling, init=learning.init, private=learning.private,
            dtype=dtype, order=order, privacy=privacy, metrics=metrics, augment=augment,
            compute_dtype=learning.compute_dtype, nodes_at_a_time=learning.nodes_at_a_time,
        )  # fmt: skip
