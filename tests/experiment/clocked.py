"""A small run in which every node acts by its own clock, for the tests of such runs."""

from pathlib import Path

NODES, CYCLES = 6, 4
TEXT = f"""
name = "clocked"
rounds = {CYCLES}
[topology]
kind = "ring"
nodes = {NODES}
[learning]
dataset = "isotropic_quadratic"
init = "independent"
[algorithm]
kind = "gossip_learning"
[optimizer]
kind = "sgd"
learning_rate = 0.1
[evaluation]
every = 2
baselines = []
"""


def written(folder: Path) -> Path:
    """Return the file of the configuration, once it is there beside a trace, devices and contacts that it may name."""
    (folder / "trace.csv").write_text("node,start_s,end_s\n0,0,2\n1,1,4\n")
    (folder / "devices.json").write_text('{"1": {"active": [0, 2], "inactive": [1.5, 3], "finish_time": 4}}')
    lines = "".join(f"{node / 2},{node},{(node + 1) % NODES},2.5\n" for node in range(NODES))
    (folder / "contacts.csv").write_text("t_s,u,v,duration_s\n" + lines)
    (folder / "clocked.toml").write_text(TEXT)
    return folder / "clocked.toml"
