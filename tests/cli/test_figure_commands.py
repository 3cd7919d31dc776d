"""The figure commands: pictures, verdicts, the page of all of them, and what they say of mistakes."""

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from jaxgossip.theory import PLOTS
from jaxgossip.theory.gallery import page
from jaxgossip.theory.plots import acceleration

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(called: Call) -> Call:
    """Return ``jaxgossip figure`` with words behind it."""
    return functools.partial(called, "figure")


def test_list_names_every_plot_and_the_sentence_it_proves(call: Call) -> None:
    code, text, _ = call("list")
    assert code == 0
    flat = " ".join(text.split())
    for name in PLOTS:
        assert name in flat
        assert " ".join(PLOTS.summary(name).split()) in flat
    assert "next: jaxgossip figure run consensus_contraction" in text


def test_run_leaves_pictures_claims_and_a_page(call: Call, tmp_path: Path) -> None:
    code, text, err = call("run", "stability_thresholds", "--quick", "--out", "here", "--format", "svg, png")
    assert code == 0
    assert "[1 of 1] stability_thresholds: measuring" in err
    assert "wrote here/gallery.md, claims.json and 2 pictures beside it" in text
    known = json.loads((tmp_path / "here/claims.json").read_text())
    assert list(known) == ["stability_thresholds"]
    entry = known["stability_thresholds"]
    assert entry["holds"]
    assert entry["command"] == "jaxgossip figure run stability_thresholds --quick"
    for picture in ("stability_thresholds.svg", "stability_thresholds.png"):
        assert (tmp_path / "here" / picture).stat().st_size > 10_000
    assert (tmp_path / "here/gallery.md").read_text() == page(known)
    assert f"![{entry['title']}](stability_thresholds.svg)" in page(known)
    assert "next: jaxgossip figure run --all --quick --out here --format 'svg, png'" in text
    entry["pictures"] = ["stability_thresholds.pdf"]
    assert "[stability_thresholds.pdf](stability_thresholds.pdf)" in page(known)


def test_a_claim_that_fails_ends_with_1_and_the_page_says_so(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = acceleration.claims

    def doubted(*args: object) -> list[object]:
        first, *others = claims(*args)  # pyright: ignore[reportArgumentType] - as the plot calls it
        return [dataclasses.replace(first, measured=2 * first.predicted + 1), *others]

    monkeypatch.setattr(acceleration, "claims", doubted)
    code, text, _ = call("run", "acceleration", "--quick", "--out", ".")
    assert code == 1
    assert text.count("FAILS") == 1
    assert not json.loads((tmp_path / "claims.json").read_text())["acceleration"]["holds"]
    assert "**fails**" in (tmp_path / "gallery.md").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run",), "error: give the names of plots, or --all\n\nhint: 'jaxgossip figure list' names them"),
        (("run", "acceleration", "--all"), "error: give the names of plots, or --all, not both"),
        (("run", "aceleration"), "error: unknown figure 'aceleration'\n\nhint: did you mean 'acceleration'?"),
        (("run", "acceleration", "--format", "gif"), "error: unknown format 'gif'\n\nhint: known: png, svg, pdf"),
        (
            ("run", "acceleration", "--out", "/dev/null/x"),
            "error: /dev/null/x cannot be made: Not a directory\n\nhint: give --out",
        ),
        (("run", "acceleration", "--format", ","), "error: --format names no format\n\nhint: known: png, svg, pdf"),
    ],
)
def test_a_mistake_gets_one_clear_error(call: Call, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    code, _, err = call(*words)
    assert code == 2
    assert said in err
    assert list(tmp_path.iterdir()) == []


def test_claims_that_are_no_json_are_named(call: Call, tmp_path: Path) -> None:
    (tmp_path / "claims.json").write_text("{")
    code, _, err = call("run", "stability_thresholds", "--quick", "--out", ".")
    assert code == 2
    assert "claims.json is no JSON" in err
    assert "hint: remove it, and run again" in err
