"""Registries: names to builders, ours, the user's own and those of other packages."""

import importlib.metadata

import pytest

import jaxgossip as jg
from jaxgossip.core import registry
from jaxgossip.core.errors import ConfigError
from jaxgossip.core.registry import Registry


def first() -> int:
    return 1


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an installed package offer two topologies, one of them under a name of ours."""
    group = "jaxgossip.topology"
    points = [
        importlib.metadata.EntryPoint("pair", "jaxgossip.topology:path", group),
        importlib.metadata.EntryPoint("first", "jaxgossip.topology:star", group),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda *, group: points if "topology" in group else [])
    registry.offers.cache_clear()
    yield
    registry.offers.cache_clear()


def test_other_packages_offer_builders_by_entry_points(offered: None) -> None:
    found = Registry("topology", [first])
    assert sorted(found) == ["first", "pair"]
    assert found["pair"] is jg.topology.path
    assert found["first"] is first  # a name of ours stays ours
    assert "pair" not in Registry("model", [first])
    with pytest.raises(ConfigError, match="unknown topology 'pear'") as told:
        found["pear"]
    assert told.value.hint == "did you mean 'pair'? allowed: first, pair"


def test_named_builders_are_attributes_too() -> None:
    assert jg.optimizers.pegasos is jg.learning.OPTIMIZERS["pegasos"]
    assert jg.schedule.clocks.normal is jg.schedule.CLOCKS["normal"]
    assert jg.network.schedule is jg.schedule  # as the first release called it
    assert jg.errors.ConfigError is ConfigError
    assert "push_rumour" in jg.theory.PLOTS
