"""Nodes that move: how often they meet, how long they stay together, where they are, and whom they see."""

import itertools

import numpy as np
import pytest
from scipy import stats

from jaxgossip.core.errors import InputError
from jaxgossip.schedule import contacts
from jaxgossip.schedule.contacts.satellites import AIR_KM, EARTH_KM
from tests.laws import assert_distributed

SIDE, RANGE = 1000.0, 10.0
WALKS = {"random_direction": 1.0, "random_waypoint": 1.3683}
"""Movements, with ω of Groenevelt, Nain and Koole 2005."""


def steps(source: contacts.ContactSource, count: int) -> np.ndarray:
    """Return (count, n, D) positions."""
    assert source.positions is not None
    return np.stack(list(itertools.islice(source.positions(), count)))


def assert_meetings(name: str, n: int, until_s: float, step_s: float | None, within: float) -> None:
    source = getattr(contacts, name)(n, 1, side_m=SIDE, range_m=RANGE, step_s=step_s)
    found = source.until(until_s)
    begun = (found.t_s > 0).sum()
    rate = begun / (until_s * n * (n - 1) / 2)
    omega = rate * SIDE**2 / (2 * RANGE * 4 / np.pi)  # of one speed of 1 m/s, whose mean relative speed is 4/π
    assert omega == pytest.approx(WALKS[name], rel=within)
    assert 1 / rate == pytest.approx({"random_direction": 39_270, "random_waypoint": 28_700}[name], rel=within)
    # All time in contact by all contacts: those that are cut at either end count for what is seen of them.
    assert found.duration_s.sum() / begun == pytest.approx(np.pi**2 * RANGE / 8, rel=within)
    assert np.pi**2 * RANGE / 8 == pytest.approx(12.34, abs=0.005)


@pytest.mark.by_default("random_waypoint")
@pytest.mark.parametrize("name", WALKS)
def test_pairs_meet_as_often_and_as_long_as_published(name: str) -> None:
    assert_meetings(name, 500, 1200.0, None, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", WALKS)
def test_pairs_meet_as_often_and_as_long_as_published_looked_at_every_second(name: str) -> None:
    assert_meetings(name, 1500, 1000.0, 1.0, 0.02)


def assert_square(place: np.ndarray, side: float, law=None) -> None:
    law = law or stats.uniform(0, side).cdf
    assert ((place >= 0) & (place <= side)).all()
    for axis in range(2):
        assert_distributed(place[:, axis], law)


def waypoint_density(x: np.ndarray) -> np.ndarray:
    """Return the distribution function of a coordinate of nodes under way, of legs drawn in proportion to their length."""
    rng = np.random.default_rng(0)
    ends = rng.random((400_000, 4))
    ends = ends[rng.random(len(ends)) * np.sqrt(2) < np.hypot(*(ends[:, :2] - ends[:, 2:]).T)]
    place = np.sort(ends[:, 0] + rng.random(len(ends)) * (ends[:, 2] - ends[:, 0]))
    return np.searchsorted(place, x) / place.size


def test_movement_is_stationary_from_the_start() -> None:
    n = 4000
    walking = steps(
        contacts.random_waypoint(n, 0, side_m=1.0, range_m=0.01, speed_m_s=0.05, spread=0.5, step_s=5.0), 12
    )
    for place in walking[[0, 1, 11]]:
        assert_square(place, 1.0, waypoint_density)
    moved = np.hypot(*(walking[1] - walking[0]).T)
    assert (moved <= 0.075 * 5 + 1e-9).all()
    # Of nodes that pause, a share E[pause]/(E[pause] + E[leg]) rests, at uniform points.
    leg_s = 0.5214054 / 0.05
    paused = steps(
        contacts.random_waypoint(n, 0, side_m=1.0, range_m=0.01, speed_m_s=0.05, pause_s=10.0, step_s=0.01), 2
    )
    still = (paused[1] == paused[0]).all(axis=1)
    assert still.mean() == pytest.approx(10 / (10 + leg_s), abs=4 * 0.5 / np.sqrt(n))
    assert_square(paused[0][still], 1.0)
    later = steps(contacts.random_waypoint(n, 0, side_m=1.0, range_m=0.01, speed_m_s=0.05, pause_s=10.0, step_s=7.0), 8)
    assert_square(later[7], 1.0, lambda x: still.mean() * x + (1 - still.mean()) * waypoint_density(x))
    straight = steps(
        contacts.random_direction(n, 0, side_m=1.0, range_m=0.01, speed_m_s=0.05, leg_s=3.0, step_s=5.0), 6
    )
    for place in straight[[0, 5]]:
        assert_square(place, 1.0)


def test_speeds_are_drawn_by_time_under_way() -> None:
    # In time, speeds of legs of given lengths are in inverse proportion to speed: v₀ (v₁/v₀)^U.
    place = steps(contacts.random_waypoint(6000, 0, side_m=1e6, range_m=1.0, speed_m_s=2.0, spread=0.75, step_s=1.0), 2)
    speed = np.hypot(*(place[1] - place[0]).T)
    assert_distributed(speed[speed > 0.499], stats.loguniform(0.5, 3.5).cdf)


def test_drivers_keep_to_streets_and_turn_at_crossings_alone() -> None:
    n, block, blocks = 3000, 100.0, 4
    driving = contacts.manhattan(n, 0, blocks=blocks, block_m=block, range_m=20.0, spread=0.5, turning=0.5, step_s=2.0)
    place = steps(driving, 40)
    off = np.abs(place - np.round(place / block) * block)
    assert (off.min(axis=2) < 1e-6).all()  # on a street
    assert (place < blocks * block).all()
    assert_distributed(place[39][np.arange(n), off[39].argmax(axis=1)], stats.uniform(0, blocks * block).cdf)
    move = (place[1:] - place[:-1] + 200.0) % 400.0 - 200.0
    length = np.abs(move).sum(axis=2)  # along the streets
    straight = np.abs(move).min(axis=2) < 1e-6
    assert (length <= 15 * 2 + 1e-6).all()
    speed = length[straight]
    assert speed.min() >= 0  # who turns back is never seen: there is no way back but round a block
    always = contacts.manhattan(n, 0, blocks=blocks, block_m=block, range_m=20.0, turning=0.0, step_s=2.0)
    ahead = steps(always, 5)
    there = (ahead[1:] - ahead[:-1] + 200.0) % 400.0 - 200.0
    np.testing.assert_allclose(np.abs(there).sum(axis=2), 20.0, atol=1e-6)
    np.testing.assert_allclose(there, np.broadcast_to(there[0], there.shape), atol=1e-6)


def test_who_is_near_is_who_is_within_range_round_the_torus_too() -> None:
    for source, torus in (
        (contacts.random_waypoint(80, 0, side_m=50.0, range_m=9.0, step_s=1.0), False),
        (contacts.random_direction(80, 0, side_m=50.0, range_m=9.0, step_s=1.0), True),
    ):
        place = steps(source, 4)
        for step, window in enumerate(itertools.islice(source.windows(1.0), 4)):
            apart = np.abs(place[step][:, None] - place[step][None])
            apart = np.minimum(apart, 50.0 - apart) if torus else apart
            near = np.argwhere(np.triu(np.hypot(*np.moveaxis(apart, 2, 0)) <= 9.0, 1))
            assert {*zip(window.u.tolist(), window.v.tolist(), strict=True)} == {*map(tuple, near.tolist())}
            assert (window.duration_s == 1.0).all()


def test_satellites_go_round_in_their_planes_and_see_past_the_earth() -> None:
    n, planes, heights = 48, 4, [550.0, 1200.0]
    source = contacts.satellites(n, planes=planes, altitudes_km=heights, inclination_deg=60.0, phasing=1, step_s=60.0)
    place = steps(source, 90)
    radius = np.linalg.norm(place, axis=2)
    np.testing.assert_allclose(
        radius, np.broadcast_to(np.repeat(np.array(heights) + 6371, 24), radius.shape), rtol=1e-12
    )
    # A revolution at 550 km takes 5,730 s: Kepler's third law.
    period = 2 * np.pi * np.sqrt(6921.0**3 / 398600.4418)
    assert period == pytest.approx(5730, abs=1)
    alone = steps(contacts.satellites(1, planes=1, altitudes_km=[550.0], step_s=period / 4), 5)
    np.testing.assert_allclose(alone[4], alone[0], atol=1e-6)
    np.testing.assert_allclose(alone[2], -alone[0], atol=1e-6)
    assert np.abs(place[:, :, 2]).max() <= (6371 + 1200) * np.sin(np.radians(60)) + 1e-9
    # Satellites of a plane keep their distance; planes are tilted alike, and turned about the axis.
    within = np.linalg.norm(place[:, 0] - place[:, 1], axis=1)
    np.testing.assert_allclose(within, 2 * 6921 * np.sin(np.pi / 6), rtol=1e-9)
    normal = np.cross(place[0, ::6], place[1, ::6])
    tilt = normal[:, 2] / np.linalg.norm(normal, axis=1)
    np.testing.assert_allclose(tilt, 0.5, rtol=1e-6)
    assert np.round(np.degrees(np.arctan2(normal[:4, 0], -normal[:4, 1])) % 360).tolist() == [0, 90, 180, 270]
    # Who sees whom: the line between them passes above the atmosphere.
    window = next(source.windows(60.0))
    seen = {*zip(window.u.tolist(), window.v.tolist(), strict=True)}
    share = np.linspace(0, 1, 4001)[:, None]
    for a, b in itertools.combinations(range(n), 2):
        height = np.linalg.norm(share * place[0, a] + (1 - share) * place[0, b], axis=1).min() - EARTH_KM
        assert ((a, b) in seen) == (height >= AIR_KM - 1e-3), (a, b, height)
    short = next(
        contacts.satellites(n, planes=planes, altitudes_km=heights, inclination_deg=60.0, range_km=3000.0).windows(1.0)
    )
    apart = np.linalg.norm(place[0][:, None] - place[0][None], axis=2)
    near = {(a, b) for a, b in np.argwhere(np.triu(apart <= 3000.0, 1)).tolist()}
    assert {*zip(short.u.tolist(), short.v.tolist(), strict=True)} == near


GROUND = {"side_m": 100.0, "range_m": 10.0}


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("random_waypoint", {**GROUND, "range_m": 0.0}, "random_waypoint: range_m must be above 0, not 0.0"),
        ("random_waypoint", {**GROUND, "spread": 1.0}, "random_waypoint: with spread = 1 some nodes would come to a stand (a spread below 1, such as 0.9)"),
        ("random_waypoint", {**GROUND, "pause_s": -1.0}, "random_waypoint: pause_s must be at least 0, not -1.0"),
        ("random_direction", {**GROUND, "range_m": 50.0}, "random_direction: a range of 50 m reaches round a torus of 100 m (a range below half the side)"),
        ("random_direction", {**GROUND, "leg_s": 0.0}, "random_direction: leg_s must be above 0, not 0.0"),
        ("manhattan", {"blocks": 0, "block_m": 10.0, "range_m": 1.0}, "manhattan: blocks must be a whole number of at least 1, not 0"),
        ("satellites", {"planes": 4, "altitudes_km": [500.0]}, "satellites: 6 satellites do not divide into 1 × 4 planes (8 of them, or other planes)"),
        ("satellites", {"planes": 2, "altitudes_km": []}, "satellites: altitudes_km names no shell (one altitude a shell, such as [550])"),
        ("satellites", {"planes": 2, "altitudes_km": [80.0]}, "satellites: altitudes_km[0] must be above 80, not 80.0"),
    ],
)  # fmt: skip
def test_movement_that_cannot_be_is_refused(name: str, options: dict, text: str) -> None:
    rng = {} if name == "satellites" else {"rng": 0}
    with pytest.raises(InputError) as caught:
        getattr(contacts, name)(6, **rng, **options)
    assert str(caught.value) == text


def test_too_many_pairs_for_the_memory_are_refused_before_any_is_made() -> None:
    with pytest.raises(InputError, match="pairs are in contact at once need about"):
        contacts.random_waypoint(10**7, 0, side_m=100.0, range_m=50.0)
