"""The benchmark as tables: one row per case, units in the header, and an explanation of the units."""

from collections.abc import Sequence

from jaxgossip.bench.case import Measured
from jaxgossip.bench.deep.cases import DeepTime
from jaxgossip.bench.deep.convolutions import FormTime
from jaxgossip.bench.report import Report
from jaxgossip.core.units import bytes_text

HEADER = ("case", "state", "ms/round", "copies", "x traffic", "ns", "per", "scratch/state", "reference", "x faster")
EXPLANATION = (
    "copies: a round in copies of its state (np.copyto, one thread, measured beside each case). x traffic: the same "
    "in multiples of (k + 2)/2 copies for k neighbours a node, as if each came from memory; below 1 where the "
    "cache or a second core helps. ns: per link (an edge counts for each end that hears) or node. scratch/state: temporary "
    "memory. x faster: time of the reference/ours."
)


def title(report: Report) -> str:
    """Return the title: the size of the cases, and the time of a copy of the state."""
    setting = report.setting
    bandwidth = 2 * report.state_bytes / report.copy_s
    return (
        f"{setting.nodes:,} nodes, {setting.params:,} float32 parameters: one copy of the state "
        f"({bytes_text(report.state_bytes)}) takes {1e3 * report.copy_s:.3g} ms, {bytes_text(bandwidth)}/s"
    )


def rows(report: Report) -> list[dict[str, str]]:
    """Return one row per case, as a mapping from headings to strings."""
    return [dict(zip(HEADER, cells(case), strict=True)) for case in report.cases]


def cells(case: Measured) -> tuple[str, ...]:
    """Return the cells of one row."""
    return (
        case.name,
        f"{case.shape[0]:,} x {case.shape[1]:,}",
        number(1e3 * case.round_s),
        number(case.copies),
        number(case.times_traffic),
        number(case.item_ns),
        case.item,
        number(case.scratch_states),
        case.reference,
        number(case.speedup),
    )


def deep_rows(cases: Sequence[DeepTime]) -> list[dict[str, str]]:
    """Return one row per case of deep networks, as a mapping from headings to strings."""
    return [
        {
            "case": case.name,
            "parameters": f"{case.params:,}",
            "batch": f"{case.batch_size}",
            "ms/round": number(1e3 * case.round_s),
            "vmap(grad)": number(1e3 * case.plain_s),
            "x faster": number(case.speedup),
            "scratch/state": number(case.scratch_states),
        }
        for case in cases
    ]


def form_rows(forms: Sequence[FormTime]) -> list[dict[str, str]]:
    """Return one row per form of a convolution's gradient, as a mapping from headings to strings."""
    fastest = min(form.round_s for form in forms)
    return [
        {
            "form": form.name,
            "ms": number(1e3 * form.round_s),
            "x the fastest": number(form.round_s / fastest),
            "timed": "one node" if form.extrapolated else "all",
        }
        for form in forms
    ]


def number(value: float | None) -> str:
    """Return a positive number with about three digits and no exponent, or a dash."""
    if value is None:
        return "–"
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}" if value >= 0.0995 else f"{value:.2g}"
