"""Contacts named on the command line, and their picture."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pydantic import ValidationError

from jaxgossip.core import units
from jaxgossip.core.errors import ConfigError
from jaxgossip.core.random import host_rng
from jaxgossip.core.registry import nearest
from jaxgossip.experiment.config.catalogue import find
from jaxgossip.experiment.config.diagnostics import shown, translate
from jaxgossip.experiment.config.schema import options_model, supply
from jaxgossip.experiment.config.toml import parse_value
from jaxgossip.plotting import scales
from jaxgossip.plotting.style import BLUE, GREEN, ORANGE, show_message, style
from jaxgossip.schedule import CONTACTS, Contacts, ContactSource
from jaxgossip.schedule.contacts import read
from jaxgossip.schedule.contacts.measures import ContactMeasures, tail

NODES = 100
"""Default number of nodes that move."""
TIMES = 300
"""Points of a curve over time."""
POINTS = 400
"""Most points of a distribution's tail that are drawn."""


def observed(
    word: str, nodes: int | None, settings: Sequence[str], until_s: float | None, seed: int
) -> tuple[ContactMeasures, str]:
    """Return the measures of contacts, and what they are in words.

    Args:
        word: a registered movement, 'file.py:function', or the path of a trace.
        nodes: number of nodes that move, 100 if None; of a trace, None for all that it names.
        settings: ``key=value``, values as in TOML.
        until_s: seconds that are observed; None for a whole trace.
        seed: seed of the movement, as in a configuration.

    Raises:
        ConfigError: there is no such movement or file, a key is unknown, missing or wrong, or ``until_s`` is missing.
        InputError: the trace is malformed, or the movement is impossible.
    """
    options = {key: parse_value(value, f"{word}: {key}") for key, value in map(_key_and_value, settings)}
    is_trace = ":" not in word and (word not in CONTACTS or Path(word).is_file())
    if is_trace and not Path(word).exists() and "/" not in word and "." not in word:
        known = [name for name in CONTACTS if name != "from_file"]
        raise ConfigError(f"unknown movement '{word}'", hint=f"{nearest(word, known)}; or the path of a trace")
    if is_trace:
        keywords = _checked(word, "from_file", {"path": str(Path(word).absolute()), **options})
        keywords.pop("path")
        trace = read(Path(word), n_nodes=nodes, **keywords)
        contacts, title = trace.contacts, f"{Path(word).name} ({trace.format})"
        end_s = contacts.until_s if until_s is None else until_s
        if end_s > 0:
            contacts = contacts.between(0.0, end_s)
        return ContactMeasures(contacts, end_s), title
    if until_s is None:
        raise ConfigError(f"{word}: nodes that move go on and on", hint="--until 3600 observes them for an hour")
    builder = find(CONTACTS, word, Path.cwd()).builder
    keywords = _checked(word, word, options)
    machinery: dict[str, Any] = {"rng": host_rng(seed, "contacts"), "seed": seed}
    source = supply(builder, keywords, n_nodes=NODES if nodes is None else nodes, **machinery)
    if not isinstance(source, ContactSource):
        raise ConfigError(f"{word} returned {type(source).__name__}", hint="return a jaxgossip ContactSource")
    random = f", seed {seed}" if {"rng", "seed"} & set(inspect.signature(builder).parameters) else ""
    said = ", ".join([word, *(f"{key} {shown(value)}" for key, value in options.items())])
    return ContactMeasures(source.until(until_s), until_s), said + random


def _checked(word: str, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of a builder, checked."""
    model = options_model(find(CONTACTS, name, Path.cwd()).builder)
    try:
        return model.model_validate(dict(options), context={"folder": Path.cwd()}).keywords()
    except ValidationError as error:
        diagnostic = next(iter(translate(error, dict(options), model, ())))
        key = ".".join(map(str, diagnostic.path))
        hint = f"--set {key}=VALUE" if diagnostic.message == "missing" else diagnostic.hint
        raise ConfigError(f"{word}: {key}: {diagnostic.message}", hint=hint) from error


def _key_and_value(setting: str) -> tuple[str, str]:
    key, equals, value = setting.partition("=")
    key = key.strip().removeprefix("contacts.")
    if not equals or not key:
        raise ConfigError(f"'{setting}' is no setting", hint="write key=value, e.g. range_m=10.0")
    return key, value


def page(measures: ContactMeasures, title: str) -> Figure:
    """Draw contacts: how long they last and pairs are apart, how many there are over time, and where news can get.

    Args:
        measures: the measures.
        title: title of the figure.
    """
    contacts = measures.contacts
    with style():
        figure = Figure(figsize=(12, 4.5), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        _draw_tails(left, measures)
        _draw_degree(middle, contacts, measures.until_s)
        _draw_reach(right, measures)
        figure.suptitle(title, x=0.012, ha="left", fontsize=13, fontweight="bold")
        phrases = [
            units.counted(contacts.n_nodes, "node"),
            units.counted(len(contacts), "contact"),
            f"{units.duration(measures.until_s)} observed",
            f"a node is in contact with {measures.in_contact:.3g} others on average",
        ]
        figure.supxlabel(" · ".join(phrases), fontsize=9, color="#444444", x=0.012, ha="left")
    return figure


def _draw_tails(axes: Axes, measures: ContactMeasures) -> None:
    drawn = [
        (tail(values, POINTS), label, colour)
        for values, label, colour in (
            (measures.durations_s, "in contact", BLUE),
            (measures.gaps_s, "apart, until the next contact", ORANGE),
        )
        if values.size
    ]
    if not drawn:
        show_message(axes, "no contacts")
        return
    for (x, share), label, colour in drawn:
        axes.plot(x, share, color=colour, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    every = np.concatenate([x for (x, _), _, _ in drawn])
    scales.seconds_axis(axes, float(every.min()) / scales.MAX_BYTES_RATIO, 2 * float(every.max()), "duration")
    scales.log_ticks(axes.yaxis, np.concatenate([share for (_, share), _, _ in drawn]))
    axes.set_ylabel("share that lasts as long or longer")
    axes.set_title("How long a pair is together, and apart")
    axes.legend(loc="lower left")


def _draw_degree(axes: Axes, contacts: Contacts, until_s: float) -> None:
    times_s = np.linspace(0, until_s, TIMES, endpoint=False)
    begun = np.searchsorted(contacts.t_s, times_s, side="right")
    ended = np.searchsorted(np.sort(contacts.end_s), times_s, side="right")
    axes.plot(times_s, 2 * (begun - ended) / contacts.n_nodes, color=GREEN)
    scales.seconds_axis(axes, until_s, until_s, "time")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.set_title("How many a node is in contact with")
    axes.set_ylabel("nodes, on average")


def _draw_reach(axes: Axes, measures: ContactMeasures) -> None:
    reach, until_s = measures.reach, measures.until_s
    pairs = reach.arrives_s.size - reach.sources.size
    delays_s = np.concatenate([[0.0], reach.delays_s, [until_s]])
    share = np.concatenate([[0.0], np.arange(1, reach.delays_s.size + 1), [reach.delays_s.size]]) / max(pairs, 1)
    axes.plot(delays_s, share, color=BLUE, drawstyle="steps-post")
    scales.seconds_axis(axes, until_s, until_s, "time")
    scales.value_axis(axes.yaxis, share, log=False, percent=True)
    axes.set_ylim(-0.02, 1.02)
    axes.set_title("Where news from time 0 can be")
    axes.set_ylabel("pairs reached (%)")
