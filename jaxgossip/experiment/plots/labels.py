"""Labels of runs in figures: descriptions, endings, final numbers, and differences from other runs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from jaxgossip.core import units
from jaxgossip.experiment.results import target
from jaxgossip.experiment.results.divergence import divergence
from jaxgossip.experiment.results.run_data import BASELINES, RunData, last_numbers
from jaxgossip.plotting.measures import CONSENSUS, Measure

BASELINE_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "isolated": "isolated nodes",
        "centralised": "centralised learner",
        "federated_averaging": "federated averaging",
    }
)

LIES = ("liars", "force", "targets")
"""Keys of ``peers`` that say who lies to an overlay, and how."""
CONDITIONS = ("link_drop", "link_burst", "straggle", "split", "noise")

DELAY_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "none": "",
        "constant": "delays of {seconds:g} s",
        "uniform": "delays uniform {low_s:g} to {high_s:g} s",
        "linear": "delays of {latency_s:g} s and {seconds_a_byte:g} s a byte",
        "lognormal": "delays lognormal around {median_s:g} s (sigma {sigma:g})",
        "transfer": "delays by both ends' connections",
    }
)
RECEIVE_WORDS: Mapping[str, str] = MappingProxyType(
    {"pass_through": "models merged or passed through by degree", "cached": "models cached until a node's tick"}
)

MAX_DIFFERENCES = 4
"""Number of differing keys above which runs are labelled by name, if their names differ."""


def description(run: RunData) -> list[str]:
    """Describe a run in phrases: nodes, topology, mixing or clocks, algorithm, optimizer, task, faults, seed."""
    nodes = run.n_nodes
    phrases = [] if nodes is None else [f"{nodes:,} node{'s' if nodes != 1 else ''}"]
    contacts = _kind(run, "contacts", hidden=())  # with which the topology counts nodes alone
    topology = _kind(run, "topology", hidden=("nodes", "allow_disconnected", "localise"))
    phrases.append(f"{contacts} contacts" if contacts else topology)
    mixing = run.setting("mixing", "kind")
    phrases.append(f"{mixing} mixing" if mixing else "")
    phrases.append(_short(run.setting("algorithm", "kind")))
    phrases += _exchange(run)
    rate = run.setting("optimizer", "learning_rate")
    shown = "" if rate is None else _short(rate["kind"]) if isinstance(rate, Mapping) else f"{rate:g}"
    phrases.append(" ".join([_short(run.setting("optimizer", "kind")), shown]).strip())
    task = [_short(run.setting("learning", key)) for key in ("dataset", "model")]
    phrases.append(", ".join(part for part in task if part))
    partition = _kind(run, "partition", hidden=("local_test",))
    phrases.append(f"{partition} partition" if partition else "")
    drop, online = run.setting("network", "drop") or 0, run.setting("network", "online")
    phrases.append(f"{drop:.0%} of messages lost" if drop else "")
    of = "of the time" if _in_events(run) else "of rounds"
    phrases.append(f"nodes online {online:.0%} {of}" if online not in (None, 1) else "")
    phrases += _conditions(run)
    seed = run.config.get("seed")
    phrases.append("" if seed is None else f"seed {seed}")
    return [phrase for phrase in phrases if phrase]


def _in_events(run: RunData) -> bool:
    """Return whether every node acts by its own clock."""
    return "schedule" in run.config


def _exchange(run: RunData) -> list[str]:
    """Describe clocks, peers and exchanges in phrases, which are empty for the defaults."""
    if not _in_events(run):
        return []
    path, exchange, receive = (run.setting("schedule", key) for key in ("path", "exchange", "receive"))
    clock, tokens = (_kind(run, name, hidden=("period_s",)) for name in ("clock", "tokens"))
    peers = _kind(run, "peers", hidden=LIES)
    period_s = run.setting("clock", "period_s") or run.setting("schedule", "period_s")
    return [
        f"messages of {_short(path)}" if path else "",
        f"{clock} clocks" if clock not in ("", "fixed") else "",
        f"cycles of {period_s:g} s" if period_s not in (None, 1) else "",
        f"{exchange.replace('_', '-')} exchange" if exchange else "",
        RECEIVE_WORDS.get(receive, ""),
        f"{peers} peers" if peers not in ("", "uniform") else "",
        _lies_to_overlay(run),
        f"{tokens} token accounts" if tokens else "",
        "newer models useful" if run.setting("schedule", "useful") == "newer" else "",
    ]


def _lies_to_overlay(run: RunData) -> str:
    """Describe the attack on the overlay in a phrase; empty if all nodes are honest to it."""
    liars, force, targets = (run.setting("peers", key) for key in LIES)
    if not isinstance(liars, float) or not liars:
        return ""
    more = [f"force {force:g}"] * (force not in (None, 1)) + [f"targets {targets:g}"] * (targets not in (None, 1))
    return f"{100 * liars:.3g}% of nodes lie to the overlay" + (f" ({', '.join(more)})" if more else "")


def _delays_and_churn(run: RunData) -> list[str]:
    """Describe delays and churn in phrases, which are empty if the run has none."""
    delay, churn = run.config.get("delay", {}), run.config.get("churn", {})
    kind, online = delay.get("kind", "none"), churn.get("online")
    return [
        DELAY_WORDS[kind].format(**delay) if kind in DELAY_WORDS else f"delays by {_kind(run, 'delay', hidden=())}",
        f"nodes online {online:.0%} of the time" if churn.get("kind") == "coin" else "",
        f"{_kind(run, 'churn', hidden=())} churn" if churn.get("kind") not in (None, "coin") else "",
    ]


def _conditions(run: RunData) -> list[str]:
    """Describe faults and countermeasures in phrases, which are empty for those that the run does not have."""
    link_drop, link_burst, straggle, split, noise = (run.setting("network", key) or 0 for key in CONDITIONS)
    healed = run.setting("network", "heal_at")
    compression, adversary, aggregation = (
        _kind(run, name, hidden=()) for name in ("compression", "adversary", "aggregation")
    )
    return [
        *_delays_and_churn(run),
        f"links fail {link_drop:.0%} of rounds{f', {link_burst:g} at a time' if link_burst else ''}"
        if link_drop
        else "",
        f"stragglers {straggle:.0%}" if straggle else "",
        f"split in {split} until {'cycle' if _in_events(run) else 'round'} {healed:,}" if split > 1 else "",
        f"channel noise {noise:g}" if noise else "",
        f"compressed by {compression}" if compression else "",
        f"attacked by {adversary}" if adversary else "",
        f"aggregation {aggregation}" if aggregation else "",
        f"{_short(run.setting('speeds', 'kind'))} speeds" if run.setting("speeds", "kind") else "",
        f"{_short(run.setting('energy', 'kind'))} energy" if run.setting("energy", "kind") else "",
    ]


def sentence(phrases: Sequence[str]) -> str:
    """Join phrases into a line that can be wrapped between, but not within, phrases."""
    return " · ".join(phrase.replace(" ", "\xa0") for phrase in phrases)


def ending(run: RunData) -> str:
    """Return how a run ended, or how far it is; empty for a completed run."""
    done, rounds = int(run.final["round"]), run.config.get("rounds")
    if run.diverged_round is not None:
        return divergence(run.manifest) or "diverged"
    if run.status in ("completed", "unknown"):
        return ""
    if run.status == "running" and done == rounds:
        return ""  # its baselines may still be running
    of = f" of {rounds:,}" if rounds is not None else ""
    return f"{run.status}: evaluated until round {done:,}{of}"


def footnote(run: RunData, measures: Sequence[Measure] = ()) -> list[str]:
    """Return the final numbers of a run in sentences, or those of its last evaluation if it diverged.

    Args:
        run: the run.
        measures: the measures to tell of; by default the first one and the consensus distance.
    """
    measures = measures or (run.measures[0], CONSENSUS)
    numbers = last_numbers(run, measures[0])
    lines = [_scores(run, measure) for measure in measures if measure.of_nodes]
    keys = {measure.key for measure in measures}
    if "test_accuracy" in keys and "local_accuracy" not in keys and "local_accuracy_mean" in run.final:
        local = run.measure("local_accuracy")
        mean = run.values(local)[-1]
        score = f"mean {local.text(mean)}" if np.isfinite(mean) else "no evaluated node has any"
        lines.append(f"On the nodes' own test samples: {score}.")
    phrases = [
        f"{measure.name} {measure.text(run.values(measure)[-1])}" for measure in measures if not measure.of_nodes
    ]
    sent = f"{units.bytes_text(numbers['bytes_sent'])} sent in {units.count_text(numbers['messages'])} messages"
    phrases.append(sent if numbers["messages"] else "nothing sent")
    if numbers["virtual_s"] is not None:
        phrases.append(f"{units.duration(numbers['virtual_s'])} of virtual time")
    if numbers["joules"] is not None:
        phrases.append(f"{units.joules_text(numbers['joules'])} spent")
    costs = f"{', '.join(phrases)}, computed in {units.duration(numbers['wall_s'])}."
    lines.append(costs[0].upper() + costs[1:])
    if run.target is not None:
        reached = target.sentence(run.reached(), run.measures[0])
        lines.append(f"{reached[0].upper()}{reached[1:]}.")
    return lines


def _scores(run: RunData, measure: Measure) -> str:
    """Return a sentence with the final numbers of a measure of nodes."""
    numbers = last_numbers(run, measure)
    scores = {"mean of nodes": numbers["mean"], _worst(run): numbers["worst"], "mean model": numbers["mean_model"]}
    scores |= {BASELINE_WORDS[name]: numbers[name] for name in BASELINES}
    phrases = [f"{name} {measure.text(value)}" for name, value in scores.items() if value is not None]
    everyone = run.node_scores.get(measure.key)
    if everyone is not None and np.isfinite(everyone).any():
        node = int(np.nanargmin(everyone) if measure.worst == "min" else np.nanargmax(everyone))
        who = "" if run.node_names is None else f" (node {run.node_names[node]})"
        worst = f"{measure.text(float(everyone[node]))}{who}"
        if run.n_evaluated != everyone.size:
            phrases.insert(2, f"worst of all {everyone.size:,} nodes {worst}")
        elif who:
            phrases = [f"worst node {worst}" if text.startswith("worst node") else text for text in phrases]
    phrases += [f"{BASELINE_WORDS[name]} diverged in round {at:,}" for name, at in run.baseline_divergence.items()]
    before = ", the last evaluation before it diverged" * (run.diverged_round is not None)
    final_scores = ", ".join(phrases) or "not a finite number"
    return f"{measure.capitalised} after round {numbers['round']:,}{before}: {final_scores}."


def _worst(run: RunData) -> str:
    if run.n_nodes is None or run.n_evaluated is None or run.n_evaluated == run.n_nodes:
        return "worst node"
    return f"worst of {run.n_evaluated:,} evaluated nodes"


def differences(runs: Sequence[RunData]) -> list[str]:
    """Return labels that distinguish runs, by the keys of their configurations that differ.

    Args:
        runs: the runs.

    Returns:
        One distinct label per run: ``topology=ring``, ``degree=4, seed=1``; the name of the run if too many keys differ,
        and its folder if none does.
    """
    flat = [_flat(run.config) for run in runs]
    keys = _distinguishing_keys(flat)
    names = [run.name for run in runs]
    if len(keys) > MAX_DIFFERENCES and len(set(names)) == len(names):
        return names
    labels = [_label(keys, config) for config in flat]
    count = Counter(labels)
    return [
        label if label and count[label] == 1 else f"{label} ({run.folder.name})" if label else run.folder.name
        for label, run in zip(labels, runs, strict=True)
    ]


def points(runs: Sequence[RunData]) -> list[tuple[dict[str, Any], list[RunData]]]:
    """Group runs that differ only in seed and name: (values that distinguish the group, its runs).

    A result saved from Python is a group of its own, unless it is that of a sweep.

    Args:
        runs: the runs.

    Returns:
        The groups in the order of their first runs; every group has the same keys, given as dotted paths.
    """
    groups: dict[str, list[RunData]] = {}
    for run in runs:
        config = {key: value for key, value in run.config.items() if key not in ("name", "seed")}
        # A result saved from Python does not record how its parts were made, so it forms a group of its own.
        own = str(run.folder) if "made_by" in run.manifest and "point" not in run.manifest else ""
        groups.setdefault(own + repr(sorted(_flat(config).items())), []).append(run)
    flat = [_flat(group[0].config) for group in groups.values()]
    keys = [key for key in _distinguishing_keys(flat) if key != ("seed",)]
    return [
        ({".".join(key): _short(config.get(key)) for key in keys}, group)
        for config, group in zip(flat, groups.values(), strict=True)
    ]


def _distinguishing_keys(flat: Sequence[Mapping[tuple[str, ...], Any]]) -> list[tuple[str, ...]]:
    """Return the keys that differ between configurations, without those that follow from others."""
    keys = [key for key in dict.fromkeys(key for config in flat for key in config) if key != ("name",)]
    varying = [key for key in keys if len({repr(config.get(key)) for config in flat}) > 1]
    kinds = {key[:-1] for key in varying if key[-1] in ("kind", "dataset", "model")}
    # keys that only one kind has are implied by the kind, unless they also differ within it
    return [key for key in varying if key[-1] in ("kind", "dataset", "model") or not _follows(key, kinds, flat)]


def common(runs: Sequence[RunData]) -> list[str]:
    """Return the phrases of the description that all runs share."""
    descriptions = [description(run) for run in runs]
    return [phrase for phrase in descriptions[0] if all(phrase in other for other in descriptions[1:])]


def _follows(key: tuple[str, ...], kinds: set[tuple[str, ...]], flat: Sequence[Mapping[tuple[str, ...], Any]]) -> bool:
    section = next((kind for kind in kinds if key[: len(kind)] == kind), None)
    if section is None:
        return False
    values: dict[Any, set[str]] = {}
    for config in flat:
        kind = tuple(config.get((*section, name)) for name in ("kind", "dataset", "model"))
        values.setdefault(kind, set()).add(repr(config.get(key)))
    return all(len(distinct) == 1 for distinct in values.values()) and any(key not in config for config in flat)


def _label(keys: Sequence[tuple[str, ...]], flat: Mapping[tuple[str, ...], Any]) -> str:
    words = short_names([".".join(key) for key in keys])
    return ", ".join(f"{words['.'.join(key)]}={_short(flat[key])}" for key in keys if key in flat)


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return the last part of each key path, ignoring a final ``kind``, or the whole path if two would be equal."""
    last = {key: key.removesuffix(".kind").rsplit(".", maxsplit=1)[-1] for key in keys}
    return {key: name if list(last.values()).count(name) == 1 else key for key, name in last.items()}


def _flat(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    values: dict[tuple[str, ...], Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            values |= _flat(value, (*path, key))
        else:
            values[*path, key] = value
    return values


def _kind(run: RunData, name: str, hidden: Sequence[str]) -> str:
    section = run.config.get(name, {})
    more = [f"{key} {_short(value)}" for key, value in section.items() if key not in ("kind", *hidden)]
    kind = _short(section.get("kind"))
    return f"{kind} ({', '.join(more)})" if kind and more else kind


def _short(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return "×".join(map(_short, value)) if value else "none"
    return str(value).rsplit("/", maxsplit=1)[-1]
