"""``validate`` says what it understood of the data, on lines of 80 columns, and a run what it made of a file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from jaxgossip.experiment.config.load import load
from jaxgossip.experiment.runs.run import announced_build
from jaxgossip.simulation import Observer

Called = Callable[..., tuple[int, str, str]]

TABLE = """
topology = {kind = "ring", nodes = 4}
learning = {dataset = "mail.data", model = "softmax", batch_size = 2}
rounds = 2
optimizer.learning_rate = 0.1
"""
INDEX = "left out: column 0, which has no name and numbers or names the lines"


def test_validate_says_what_the_data_are(called: Called, tmp_path: Path) -> None:
    lines = [f"{i},{i % 3}.5,{i % 7}.25,{('ham', 'spam', 'news')[i % 3]}" for i in range(30)]
    (tmp_path / "mail.data").write_text("\n".join([",a,b,kind", *lines]))
    (tmp_path / "c.toml").write_text(TABLE)
    code, out, _ = called("validate", "c.toml")
    assert code == 0
    assert out.splitlines()[:12] == [
        "c.toml is valid",
        "  topology     ring: 4 nodes, 4 edges, degree 2 to 2, 2 on average",
        "  data         mail.data: 27 samples to train on and 3 to test on",
        "  features     2",
        "  classes      3: ham (10), news (10), spam (10)",
        "  notes        fields separated by commas, the first line names the columns;",
        "               labels: column 'kind'; left out: column 0, which has no name and",
        "               numbers or names the lines",
        "  nodes        6 to 7 samples, 6.75 on average",
        "  skew         3 classes on each; class shares 0.23 from those of all nodes on",
        "               average (total variation: 0 iid, up to 1)",
        "  learning     9 parameters a node, 27 samples held",
    ]
    said: list[str] = []

    class Listens(Observer):
        def note(self, text: str) -> None:
            said.append(text)

    announced_build(load(tmp_path / "c.toml"), Listens())
    assert (
        said[1].split()
        == (
            f"mail.data: fields separated by commas, the first line names the columns; labels: column 'kind'; {INDEX}"
        ).split()
    )
    assert all(len(line) <= 80 for line in said[1].splitlines())


@pytest.mark.slow
def test_validate_shortens_what_is_many(called: Called, tmp_path: Path) -> None:
    rows = [f"{i % 26} 1:{i} 2:{i % 5 + 1}" for i in range(260)]
    (tmp_path / "mail.data").write_text("\n".join(rows))
    (tmp_path / "c.toml").write_text(TABLE)
    _, out, _ = called("validate", "c.toml")
    assert "  classes      26 of 10 to 10 samples: 0, 1, 2, 3, 4, 5, 6, 7, … 25\n" in out
    assert "  notes        sparse (svmlight), features counted from 1\n" in out
    called("new", "digits_noniid")
    called("new", "ring_sgd")
    for name in ("digits_noniid.toml", "ring_sgd.toml"):
        code, out, _ = called("validate", name)
        assert code == 0
        assert all(len(line) <= 80 for line in out.splitlines())
    assert "  data " not in out  # quadratics have none


def test_validate_says_what_variants_have_in_common(called: Called, tmp_path: Path) -> None:
    (tmp_path / "mail.data").write_text(
        "".join(f"{i % 3}.5,{i % 7}.25,{'spam' if i % 2 else 'ham'}\n" for i in range(20))
    )
    (tmp_path / "c.toml").write_text(
        TABLE
        + '[[variants]]\nname = "a"\ntopology = {kind = "complete", nodes = 4}\n[[variants]]\nname = "b"\nrounds = 3\n'
    )
    code, out, _ = called("validate", "c.toml")
    assert code == 0
    assert out.splitlines()[:11] == [
        "c.toml is valid: 2 variants, which have in common",
        "  data         mail.data: 18 samples to train on and 2 to test on",
        "  features     2",
        "  classes      2: ham (10), spam (10)",
        "  notes        fields separated by commas, no line of names; labels: column 2,",
        "               counted from 0",
        "  nodes        4 to 5 samples, 4.5 on average",
        "  skew         2 classes on each; class shares 0.23 from those of all nodes on",
        "               average (total variation: 0 iid, up to 1)",
        "  learning     6 parameters a node, 18 samples held",
        "",
    ]


def test_a_picture_shows_each_way_in_which_variants_divide_their_samples(called: Called, tmp_path: Path) -> None:
    (tmp_path / "mail.data").write_text("".join(f"{i % 3}.5,{'spam' if i % 2 else 'ham'}\n" for i in range(40)))
    iid, skewed = ('{kind = "iid"}', '{kind = "dirichlet", alpha = 0.1}')
    more = "".join(
        f'[[variants]]\nname = "{name}"\nrounds = {rounds}\npartition = {kind}\n'
        for name, rounds, kind in (("a", 2, iid), ("b", 3, iid), ("c", 2, skewed))
    )
    (tmp_path / "c.toml").write_text(TABLE + more)
    code, out, _ = called("validate", "c.toml", "--plot", "p.svg")
    assert code == 0
    assert [line for line in out.splitlines() if "wrote" in line] == ["wrote p.svg", "wrote p_c.svg"]
    assert {path.name for path in tmp_path.glob("*.svg")} == {"p.svg", "p_c.svg"}
    for name, kind in (("p", "a: mail.data, iid"), ("p_c", "c: mail.data, dirichlet")):
        assert kind in (tmp_path / f"{name}.svg").read_text()


def test_a_picture_of_nothing_is_refused(called: Called, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        'topology = {kind = "ring", nodes = 4}\nrounds = 2\noptimizer.learning_rate = 0.1\nlearning.dataset = "averaging"\n'
    )
    code, _, err = called("validate", "c.toml", "--plot", "p.png")
    assert code == 2
    assert "'averaging' has no samples whose place on nodes could be drawn" in err
    for command in ("validate", "plan"):
        code, out, err = called(command, "c.toml", "--plot", "p.word")
        assert (code, out) == (2, "")  # before anything is built
        assert "p.word: no picture can be written as '.word'" in err


@pytest.mark.slow
def test_validate_says_what_ratings_are(called: Called, tmp_path: Path) -> None:
    rows = "".join(f"{item},{user},{1 + item % 5}\n" for user in range(4) for item in range(6))
    (tmp_path / "r.csv").write_text("movieId,userId,rating\n" + rows)
    text = 'topology = {kind = "ring", nodes = 4}\noptimizer.learning_rate = 0.1\nrounds = 2\n'
    text += 'learning = {dataset = "ratings", dataset_options = {path = "r.csv", held_out = 0.5, columns = COLUMNS}}\n'
    (tmp_path / "c.toml").write_text(text.replace("COLUMNS", '["item", "user", "rating"]'))
    code, out, _ = called("validate", "c.toml")
    assert code == 0
    assert (
        out.splitlines()[2:7]
        == [
            "  data         r.csv: 12 ratings to train on and 12 to test on, 2.667 on average",
            "  items        6, rated by 4 users",
            "  notes        fields separated by commas, the first line names the columns;",
            "               user: column 1, item: column 0, rating: column 2",
            "  nodes        3 samples on each",
        ]
        or "on average" in out
    )
    (tmp_path / "c.toml").write_text(text.replace("COLUMNS", '["user", "item", "stars"]'))
    code, _, err = called("validate", "c.toml")
    assert code == 2
    assert "a column of ratings cannot be 'stars'" in err
