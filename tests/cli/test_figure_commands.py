"""The figure commands: pictures, verdicts, the page of all of them, and what they say of mistakes."""

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
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


@pytest.mark.slow
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


@pytest.mark.slow
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


OWN = """
from typing import NamedTuple

import numpy as np

from jaxgossip.theory import Claim, Plot, drawing


class Halved(NamedTuple):
    by_start: dict[str, np.ndarray]
    rounds: list[int]


def left(quick):
    return Halved({"one": 0.5 ** np.arange(4), "two": 2 * 0.5 ** np.arange(4)}, [4])


def draw(predicted, measured):
    figure, (axes,) = drawing.page()
    drawing.theory(axes, range(4), predicted.by_start["one"], claimed="half is left")
    return figure


def halving():
    '''Half is left after every round.'''
    return Plot("Halving", "here", left, left, draw, lambda *_: [Claim("half is left", 0.5, 0.5)])


def acceleration():
    return halving()


def nothing():
    return "a picture"


def broken():
    return 1 / 0


def _raising(quick):
    return left(quick).twice


def failing():
    return Plot("Halving", "here", _raising, left, draw, lambda *_: [])


def claimless():
    return Plot("Halving", "here", left, left, draw, lambda *_: 1.0)


def pictureless():
    return Plot("Halving", "here", left, left, lambda *_: None, lambda *_: [])
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Write plots of one's own to a file, and return their folder."""
    (tmp_path / "halves.py").write_text(OWN)
    return tmp_path


OURS = {
    "title": "Ours", "sentence": "", "source": "", "command": "", "pictures": ["it.png"], "seconds": 1, "holds": True,
    "claims": [],
}  # fmt: skip


def test_a_plot_of_ones_own_is_run_like_ours_and_named_after_its_function(call: Call, own: Path) -> None:
    (own / "claims.json").write_text(json.dumps({"acceleration": OURS}))
    code, text, err = call("run", "halves.py:halving", "--out", ".")
    assert code == 0
    assert "[1 of 1] halves.py:halving: drawing" in err
    assert "wrote gallery.md, claims.json and 1 picture beside it" in text
    known = json.loads((own / "claims.json").read_text())
    assert list(known) == ["acceleration", "halving"]
    assert known["halving"]["sentence"] == "Half is left after every round."
    assert known["halving"]["command"] == "jaxgossip figure run halves.py:halving"
    assert (own / "halving.png").stat().st_size > 1000
    assert not list(own.glob("*.npz"))
    call("run", f"{own / 'halves.py'}:halving", "--out", ".")  # again, beside ours and itself
    assert list(json.loads((own / "claims.json").read_text())) == ["acceleration", "halving"]


def test_curves_are_kept_as_arrays_by_name(call: Call, own: Path) -> None:
    code, text, _ = call("run", "halves.py:halving", "--out", ".", "--curves")
    assert code == 0
    assert "wrote gallery.md, claims.json, 1 picture and halving.curves.npz beside it" in text
    with np.load(own / "halving.curves.npz") as curves:
        names = [".by_start['one']", ".by_start['two']", ".rounds[0]"]
        assert list(curves) == [f"{part}{name}" for part in ("predicted", "measured") for name in names]
        np.testing.assert_array_equal(curves["measured.by_start['two']"], [2, 1, 0.5, 0.25])
        assert curves["predicted.rounds[0]"] == 4


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("none.py:halving",), 2, ("error: no such file: ", "none.py:halving' names a function in a Python file")),
        (("halves.py:halfing",), 2, ("has no function 'halfing'", "hint: did you mean 'halving'? it defines: ")),
        (
            ("halves.py:nothing",),
            2,
            ("error: figure: halves.py:nothing returned a str", "hint: return a jaxgossip Plot"),
        ),
        (("halves.py:broken",), 2, ("halves.py:broken raised ZeroDivisionError", ": return 1 / 0")),
        (("halves.py:failing",), 1, ("halves.py:failing raised AttributeError", ": return left(quick).twice")),
        (("halves.py:claimless",), 2, ("the claims of halves.py:claimless are no list of claims",)),
        (("halves.py:pictureless",), 2, ("draw of halves.py:pictureless returned None",)),
        (("halves.py:acceleration",), 2, ("would be drawn as 'acceleration', which is a plot of ours",)),
        (
            ("halves.py:halving", "halves_again.py:halving"),
            2,
            ("would both be drawn as 'halving'", "run them one by one"),
        ),
        (("halves_wrong.py:halving",), 2, ("halves_wrong.py cannot be imported: NameError",)),
    ],
)
def test_what_is_wrong_with_a_plot_of_ones_own_is_named(
    call: Call, own: Path, words: tuple[str, ...], code: int, said: tuple[str, ...]
) -> None:
    (own / "halves_again.py").write_text(OWN)
    (own / "halves_wrong.py").write_text("nonsense\n")
    found, _, err = call("run", *words, "--out", "here")
    assert found == code
    for one in said:
        assert one in " ".join(err.split())
    assert not list(own.glob("here/*.png"))


def test_claims_that_are_no_json_are_named(call: Call, tmp_path: Path) -> None:
    (tmp_path / "claims.json").write_text("{")
    code, _, err = call("run", "stability_thresholds", "--quick", "--out", ".")
    assert code == 2
    assert "claims.json is no JSON" in err
    assert "hint: remove it, and run again" in err
