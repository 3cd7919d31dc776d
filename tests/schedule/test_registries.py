"""The builders' signatures are the keys of a configuration."""

import inspect

import pytest

from jaxgossip.core.registry import Registry
from jaxgossip.experiment.config.schema import configurable, describe_parameters
from jaxgossip.schedule import CHURNS, CLOCKS, CONTACTS, DELAYS, PEERS, TOKEN_ACCOUNTS

SUPPLIED = ("horizon_s", "message_bytes", "speeds", "compute_s")
KEYS = {
    "fixed": {"period_s"},
    "synchronous": {"period_s"},
    "normal": {"period_s", "spread"},
    "poisson": {"period_s"},
    "by_speed": {"period_s", "sigma"},
    "none": set(),
    "constant": {"seconds"},
    "linear": {"seconds_a_byte", "latency_s"},
    "transfer": set(),
    "coin": {"online", "session_s"},
    "diurnal": {"online", "swing", "day_s", "session_s", "zones"},
    "exponential": {"mean_online_s", "mean_offline_s"},
    "trace": {"path", "repeat"},
    "weighted": {"weights"},
    "from_file": {"path", "format", "start_s", "window_s"},
    "random_waypoint": {"side_m", "range_m", "speed_m_s", "spread", "pause_s", "step_s"},
    "random_direction": {"side_m", "range_m", "speed_m_s", "spread", "leg_s", "step_s"},
    "manhattan": {"blocks", "block_m", "range_m", "speed_m_s", "spread", "turning", "step_s"},
    "satellites": {
        "planes",
        "altitudes_km",
        "inclination_deg",
        "phasing",
        "spread_deg",
        "range_km",
        "step_s",
    },
    "matching": set(),
    "newscast": {"view", "liars"},
    "brahms": {"view", "samples", "alpha", "beta", "gamma", "call", "liars", "force", "targets"},
    "proactive": set(),
    "reactive": {"k"},
    "simple": {"capacity"},
    "generalised": {"capacity", "reaction"},
    "randomised": {"capacity", "reaction"},
}


@pytest.mark.parametrize(
    "registry", [CHURNS, CLOCKS, CONTACTS, DELAYS, PEERS, TOKEN_ACCOUNTS], ids=lambda one: one.kind
)
def test_every_builder_has_described_keys(registry: Registry) -> None:
    for name, builder in registry.items():
        keys = configurable(builder, SUPPLIED)
        if name in KEYS:
            assert set(keys) == KEYS[name], name
        described = describe_parameters(builder)
        assert set(described) == set(inspect.signature(builder).parameters), name
        assert registry.summary(name)
