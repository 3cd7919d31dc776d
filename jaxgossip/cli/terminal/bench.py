"""Output of ``bench``: progress, then tables, JSON and the scaling chart."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from jaxgossip.bench.case import Setting
from jaxgossip.bench.report import Report, bench, chosen, load_average
from jaxgossip.cli.terminal.output import hint, say, tell, wrapped
from jaxgossip.core.errors import ConfigError


def chosen_bench(
    asked: list[str], nodes: int | None, params: int, only: str, repeats: int, picture: Path | None, *, as_json: bool
) -> None:
    """Run the benchmark that the command line asks for, and print the results.

    Args:
        asked: those of "methods", "grid", "events" and "deep" to measure instead of the usual cases.
        nodes: number of nodes of the networks; None for what is usual for the cases.
        params: parameters of a model in the mixing cases.
        only: names of cases or methods, separated by commas; all if empty.
        repeats: samples per case.
        picture: file of the scaling chart; None if it is not to be measured.
        as_json: print one JSON object and nothing else.

    Raises:
        ConfigError: options are incompatible.
        InputError: a case is unknown, a size impossible, or the format of the picture not supported.
    """
    if len(asked) > 1:
        raise ConfigError(f"--{asked[0]} goes without --{asked[1]}", hint="leave one of them out")
    if asked and picture is not None:
        raise ConfigError(f"--plot goes with the cases, not with --{asked[0]}", hint="leave one of them out")
    if only and asked and asked not in (["methods"], ["deep"]):
        raise ConfigError(f"--{asked[0]} goes without --only", hint="leave one of them out")
    usual = Setting.nodes if nodes is None else nodes
    match asked:
        case ["grid"]:
            show_grid(as_json=as_json)
        case ["events"]:
            show_events(as_json=as_json)
        case ["deep"]:
            show_deep(nodes, only, repeats, as_json=as_json)
        case ["methods"]:
            show_methods(Setting(usual, params), only, repeats, as_json=as_json)
        case _:
            show(Setting(usual, params), only, repeats, picture, as_json=as_json)


def show(setting: Setting, only: str, repeats: int, picture: Path | None, *, as_json: bool) -> None:
    """Measure the usual cases, and print the results.

    Args:
        setting: the size of the cases.
        only: names of cases, separated by commas; all if empty.
        repeats: samples per case.
        picture: file of the scaling chart; None if it is not to be measured.
        as_json: print one JSON object and nothing else.

    Raises:
        InputError: a case is unknown, a size impossible, or the format of the picture not supported.
    """
    names = _names(only)
    if picture is not None:
        from jaxgossip.plotting.style import check_picture

        check_picture(picture)
    load, cores = load_average(), os.cpu_count() or 1
    if load is not None and load > cores / 2:
        tell(f"the machine is busy (load {load:.1f} on {cores} cores): programs on all cores suffer most")
    progress = CaseProgress(len(chosen(names)))
    try:
        report = bench(setting, only=names, repeats=repeats, begun=progress.begun, done=progress.done)
    finally:
        progress.stop()
    record = report.record()
    if not as_json:
        from jaxgossip.bench.table import EXPLANATION, rows, title
        from jaxgossip.cli.terminal.tables import table

        say(f"{wrapped(title(report))}\n\n{table(rows(report))}\n\n{wrapped(EXPLANATION)}")
    if picture is not None:
        record["scaling"] = _draw(report, picture)
    if as_json:
        say(json.dumps(record, indent=2))
    elif picture is None:
        hint("jaxgossip", "bench", "--plot", "bench.png")
    else:
        say(f"\nwrote {picture}")


def show_methods(setting: Setting, only: str, repeats: int, *, as_json: bool) -> None:
    """Measure every method relative to D-SGD, and print the results.

    Args:
        setting: the size of the cases.
        only: names of algorithms, separated by commas; all if empty.
        repeats: samples per method.
        as_json: print one JSON object and nothing else.

    Raises:
        InputError: a method is unknown, or a size impossible.
    """
    from jaxgossip.bench.methods import bench_methods, chosen_methods
    from jaxgossip.cli.terminal.tables import table
    from jaxgossip.simulation.results.provenance import provenance

    names = _names(only)
    progress = CaseProgress(len(chosen_methods(setting, names)))
    try:
        times = bench_methods(setting, only=names, repeats=repeats, begun=progress.begun, done=progress.done)
    finally:
        progress.stop()
    if as_json:
        size = {"nodes": setting.nodes, "params": setting.params}
        say(json.dumps({"machine": provenance(), **size, "methods": [method.record() for method in times]}, indent=2))
        return
    say(f"{setting.nodes:,} nodes, {setting.params} parameters, logistic regression on one sample a node\n")
    rows = [
        {
            "method": method.name,
            "ms a round": f"{1e3 * method.round_s:.3g}",
            "D-SGD": f"{1e3 * method.dsgd_s:.3g}",
            "mixings": str(method.mixings),
            "x D-SGD": f"{method.ratio:.2f}",
            "a mixing": f"{method.per_mixing:.2f}",
        }
        for method in times
    ]
    say(table(rows))


def show_deep(nodes: int | None, only: str, repeats: int, *, as_json: bool) -> None:
    """Measure steps of deep networks against plain vmap(grad), and the forms of a convolution, and print the results.

    Args:
        nodes: number of nodes; None for the usual number.
        only: names of cases, separated by commas, without the forms; all, and the forms, if empty.
        repeats: samples per case.
        as_json: print one JSON object and nothing else.

    Raises:
        ConfigError: a case is unknown.
        InputError: a size is impossible.
    """
    from jaxgossip.bench.deep.cases import DEEP_CASES, bench_deep
    from jaxgossip.bench.deep.convolutions import BATCH_SIZE, CHANNELS, FEATURES, FORMS, SIDE
    from jaxgossip.bench.deep.networks import NODES
    from jaxgossip.bench.table import deep_rows, form_rows
    from jaxgossip.cli.terminal.tables import table
    from jaxgossip.simulation.results.provenance import provenance

    names, n = _names(only), NODES if nodes is None else nodes
    progress = CaseProgress(len(set(names)) or len(DEEP_CASES) + len(FORMS))
    try:
        report = bench_deep(n, only=names, repeats=repeats, begun=progress.begun, done=progress.done)
    finally:
        progress.stop()
    if as_json:
        say(json.dumps({"machine": provenance(), "nodes": n, "repeats": repeats, **report.record()}, indent=2))
        return
    say(f"{n:,} nodes, each a step on its own batch, without mixing\n\n{table(deep_rows(report.cases))}")
    if report.forms:
        size = f"{report.forms[0].nodes:,} nodes, each {BATCH_SIZE} images of {SIDE}×{SIDE}×{CHANNELS}, {FEATURES} maps, 3×3"
        say(f"\ngradient of a convolution of {size}\n\n{table(form_rows(report.forms))}")


def show_grid(*, as_json: bool) -> None:
    """Measure a grid of runs against the same runs one by one, and print the results.

    Args:
        as_json: print one JSON object and nothing else.
    """
    from jaxgossip.bench.grids import bench_grid
    from jaxgossip.cli.terminal.tables import table
    from jaxgossip.simulation.results.provenance import provenance

    report = bench_grid(begun=lambda name: tell(f"timing {name}"))
    if as_json:
        say(json.dumps({"machine": provenance(), **report.record()}, indent=2))
        return
    say(f"{report.runs} runs of 256 nodes: 5 topologies, 4 learning rates, 8 seeds; 100 rounds, 6 evaluations\n")
    grid = report.times[0].seconds
    rows = [
        {
            "all runs by": each.name,
            "seconds": f"{each.seconds:.1f}",
            "x the grid": f"{each.seconds / grid:.1f}",
            "timed": f"{each.timed} of {report.runs}" if each.timed < report.runs else "all",
        }
        for each in report.times
    ]
    say(table(rows))
    say(f"\ntest accuracies of the grid and of the same runs alone: {report.apart:.1e} apart at most")


def show_events(*, as_json: bool) -> None:
    """Measure the events engine on networks of several sizes, and print the results.

    Args:
        as_json: print one JSON object and nothing else.
    """
    from jaxgossip.bench.events import USUAL, bench_events
    from jaxgossip.cli.terminal.tables import table
    from jaxgossip.simulation.results.provenance import provenance

    times = bench_events(begun=lambda name: tell(f"timing {name}"))
    if as_json:
        say(json.dumps({"machine": provenance(), "events": [each.record() for each in times]}, indent=2))
        return
    say("gossip learning by the nodes' own clocks: Spambase, one sample a node, Pegasos, MU\n")
    rows = [
        {
            "setting": each.setting,
            "nodes": f"{each.nodes:,}",
            "schedule": f"{each.schedule_us:.2f}",
            "waves": f"{each.level_us:.2f}",
            "execution": f"{each.execute_us:.2f}",
            "us a delivery": f"{each.total_us:.2f}",
            "million a second": f"{each.per_s / 1e6:.2f}",
            f"x {USUAL:,}/s": f"{each.per_s / USUAL:,.0f}",
        }
        for each in times
    ]
    say(table(rows))


def _names(only: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in only.split(",") if name.strip())


def _draw(report: Report, picture: Path) -> dict[str, object]:
    from jaxgossip.bench.chart import chart
    from jaxgossip.bench.scaling import scale
    from jaxgossip.plotting.style import save_figure

    largest = 10 * report.setting.nodes
    tell(f"scaling, from 1,000 to {largest:,} nodes")
    scaling = scale(report.setting, largest, repeats=report.repeats, note=lambda text: tell(f"  {text}"))
    save_figure(chart(scaling, report.setting.params, report.machine), picture)
    return {name: series.record() for name, series in scaling.items()}


class CaseProgress:
    """Progress on stderr: a bar in a terminal, otherwise a line per case.

    Args:
        cases: number of cases.
    """

    def __init__(self, cases: int) -> None:
        self._cases, self._done = cases, 0
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("benchmark"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.description}"),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task("", total=cases)
            self._bar.start()

    def begun(self, name: str) -> None:
        """Show which case is being built and measured."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=name)

    def done(self, result: Any) -> None:
        """Show the result of a case."""
        self._done += 1
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, description="")
        else:
            tell(f"  {self._done} of {self._cases}  {result.name}: {1e3 * result.round_s:.3g} ms a round")

    def stop(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
