"""Movement on the ground: nodes that walk, and so meet.

    random_waypoint   to a uniform point of the square in a straight line, then perhaps a pause, then to the next
    random_direction  straight on for an exponential time, then in another direction; the square is a torus
    manhattan         along the streets of a grid on a torus, turning at crossings

All begin in their stationary laws. On a torus nodes are uniform at all times. Random waypoint is heavy in the middle: a leg
under way is drawn in proportion to its length, the node anywhere along it, its speed in inverse proportion to speed; a
pausing node is uniform, at a uniform time of its pause (Navidi and Camp 2004, "Stationary distributions for the random
waypoint mobility model"). Started from uniform points, it would slowly become so.

Two nodes with range r and mean relative speed E[V*] (4v/π if all have speed v) in a square of side ℓ ≫ r meet at the rate
2 ω r E[V*]/ℓ², with ω = 1 on a torus and 1.3683 for random waypoint without pause (Groenevelt, Nain and Koole 2005, "The
message delay in mobile ad hoc networks"); of one speed, a contact lasts π² r/(8v) on average.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial import KDTree

from jaxgossip.core.arguments import guarded, number, whole
from jaxgossip.core.errors import InputError
from jaxgossip.schedule.contacts.sources import ContactSource, Near, check_pairs, moving

MEAN_LEG = (2 + np.sqrt(2) + 5 * np.log1p(np.sqrt(2))) / 15
"""Mean distance of two uniform points of the unit square, .5214."""
LOOKS = 4
"""Looks at the positions while a node crosses its range, if a configuration does not say how many."""


class Legs(NamedTuple):
    """The straight legs on which nodes are.

    Attributes:
        place: (n, 2) float64, where nodes are, in metres.
        velocity: (n, 2) float64, metres per second.
        left_s: (n,) float64, seconds until each leg ends.
    """

    place: np.ndarray
    velocity: np.ndarray
    left_s: np.ndarray


Turn = Callable[[np.ndarray, np.ndarray], Legs]
"""(node (m,), place (m, 2) at the ends of their legs) -> the legs that these nodes begin."""


class _Speeds(NamedTuple):
    """Speeds that are uniform in an interval.

    Attributes:
        low: lowest speed, in metres per second.
        high: highest one.
    """

    low: float
    high: float

    @staticmethod
    def of(what: str, speed_m_s: float, spread: float) -> "_Speeds":
        speed = number(what, "speed_m_s", speed_m_s, above=True)
        spread = number(what, "spread", spread, most=1.0)
        if spread == 1:
            raise InputError(
                f"{what}: with spread = 1 some nodes would come to a stand", hint="a spread below 1, such as 0.9"
            )
        return _Speeds(speed * (1 - spread), speed * (1 + spread))

    def draw(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Return (size,) speeds."""
        return rng.uniform(self.low, self.high, size)

    def draw_on_leg(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Return (size,) speeds of nodes under way, drawn for a distance: slow ones take longer, in proportion to 1/v."""
        return self.low * (self.high / self.low) ** rng.random(size)

    @property
    def seconds_a_metre(self) -> float:
        """Mean seconds that a metre takes."""
        return 1 / self.low if self.low == self.high else float(np.log(self.high / self.low) / (self.high - self.low))


@guarded
def random_waypoint(
    n_nodes: int,
    rng: np.random.Generator,
    *,
    side_m: float,
    range_m: float,
    speed_m_s: float = 1.0,
    spread: float = 0.0,
    pause_s: float = 0.0,
    step_s: float | None = None,
) -> ContactSource:
    """Return nodes that walk to uniform points of a square, one after the other.

    Args:
        n_nodes: number of nodes.
        rng: generator of the walks.
        side_m: side of the square, in metres.
        range_m: distance within which two nodes are in contact, in metres.
        speed_m_s: mean speed, drawn for each leg, in metres per second.
        spread: speeds are uniform within this fraction of the mean, below 1; 0 for one speed.
        pause_s: seconds that nodes rest at every point.
        step_s: seconds between looks at the positions; a quarter of what the fastest needs to cross its range if left out.

    Raises:
        InputError: a length, speed or step is not positive, the spread is not in [0, 1), the pause is negative, or there
            are too many pairs in contact for the memory.
    """
    what = "random_waypoint"
    side, speeds, step, near = _ground(what, n_nodes, side_m, range_m, speed_m_s, spread, step_s, torus=False)
    pause = number(what, "pause_s", pause_s)
    seed = int(rng.integers(2**63))

    def positions() -> Iterator[np.ndarray]:
        rng = np.random.default_rng(seed)
        resting = rng.random(n_nodes) < pause / (pause + MEAN_LEG * side * speeds.seconds_a_metre)
        start, goal = _long_legs(rng, n_nodes, side)

        def legs(place: np.ndarray, goal: np.ndarray, speed: np.ndarray, rests: np.ndarray, pause_s: Any) -> Legs:
            """Return legs to the goals, or rests of ``pause_s``."""
            way = goal - place
            far = np.where(rests, 1.0, np.hypot(*way.T))
            return Legs(place, way * (speed / far)[:, None], np.where(rests, pause_s, far / speed))

        def turn(node: np.ndarray, _: np.ndarray) -> Legs:
            place = goal[node]  # rather than where rounding has led
            rests = ~resting[node] & (pause > 0)
            resting[node] = rests
            goal[node] = np.where(rests[:, None], place, rng.random((node.size, 2)) * side)
            return legs(place, goal[node], speeds.draw(rng, node.size), rests, pause)

        place = start + rng.random((n_nodes, 1)) * (goal - start)
        uniform = rng.random((n_nodes, 2)) * side
        place, goal = (np.where(resting[:, None], uniform, at) for at in (place, goal))
        speed = speeds.draw_on_leg(rng, n_nodes)
        first = legs(place, goal, speed, resting, pause * rng.random(n_nodes))
        yield from _walk(first, turn, step)

    return moving(n_nodes, step, positions, near)


@guarded
def random_direction(
    n_nodes: int,
    rng: np.random.Generator,
    *,
    side_m: float,
    range_m: float,
    speed_m_s: float = 1.0,
    spread: float = 0.0,
    leg_s: float | None = None,
    step_s: float | None = None,
) -> ContactSource:
    """Return nodes that walk straight on for exponential times in random directions, on a square that is a torus.

    Args:
        n_nodes: number of nodes.
        rng: generator of the walks.
        side_m: side of the square, in metres; whoever leaves it comes in on the other side.
        range_m: distance within which two nodes are in contact, in metres; less than half the side.
        speed_m_s: mean speed, drawn for each leg, in metres per second.
        spread: speeds are uniform within this fraction of the mean, below 1; 0 for one speed.
        leg_s: mean seconds between two turns; what the mean speed needs for the side if left out.
        step_s: seconds between looks at the positions; a quarter of what the fastest needs to cross its range if left out.

    Raises:
        InputError: a length, speed or time is not positive, the range is half the side or more, the spread is not in
            [0, 1), or there are too many pairs in contact for the memory.
    """
    what = "random_direction"
    side, speeds, step, near = _ground(what, n_nodes, side_m, range_m, speed_m_s, spread, step_s, torus=True)
    mean_s = 2 * side / (speeds.low + speeds.high) if leg_s is None else number(what, "leg_s", leg_s, above=True)
    seed = int(rng.integers(2**63))

    def positions() -> Iterator[np.ndarray]:
        rng = np.random.default_rng(seed)

        def turn(node: np.ndarray, place: np.ndarray) -> Legs:
            angle, speed = rng.uniform(0, 2 * np.pi, node.size), speeds.draw(rng, node.size)
            velocity = speed[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
            return Legs(place, velocity, mean_s * rng.standard_exponential(node.size))

        first = turn(np.arange(n_nodes), rng.random((n_nodes, 2)) * side)
        yield from _walk(first, turn, step, side)

    return moving(n_nodes, step, positions, near)


@guarded
def manhattan(
    n_nodes: int,
    rng: np.random.Generator,
    *,
    blocks: int,
    block_m: float,
    range_m: float,
    speed_m_s: float = 10.0,
    spread: float = 0.0,
    turning: float = 0.5,
    step_s: float | None = None,
) -> ContactSource:
    """Return nodes that drive along the streets of a grid, on a square that is a torus.

    Bai, Sadagopan and Helmy 2003, "IMPORTANT: a framework to systematically analyze the impact of mobility".

    Args:
        n_nodes: number of nodes.
        rng: generator of the walks.
        blocks: blocks along each side of the square.
        block_m: length of a block, from street to street, in metres.
        range_m: distance within which two nodes are in contact, in metres, also round corners; less than half the side.
        speed_m_s: mean speed of the nodes, in metres per second; each keeps its own.
        spread: their speeds are uniform within this fraction of the mean, below 1; 0 for one speed.
        turning: probability of turning at a crossing, half of it to either side.
        step_s: seconds between looks at the positions; a quarter of what the fastest needs to cross its range if left out.

    Raises:
        InputError: there is no block, a length, speed or step is not positive, the range is half the side or more, the
            spread is not in [0, 1), ``turning`` is no probability, or there are too many pairs in contact for the memory.
    """
    what = "manhattan"
    block = number(what, "block_m", block_m, above=True)
    streets = whole(what, "blocks", blocks, 1)
    ground = _ground(what, n_nodes, streets * block, range_m, speed_m_s, spread, step_s, torus=True)
    side, speeds, step, near = ground
    turning = number(what, "turning", turning, most=1.0)
    seed = int(rng.integers(2**63))

    def positions() -> Iterator[np.ndarray]:
        rng = np.random.default_rng(seed)
        speed = speeds.draw(rng, n_nodes)
        quarter = rng.integers(4, size=n_nodes)  # of a turn: east, north, west, south

        def turn(node: np.ndarray, place: np.ndarray) -> Legs:
            turns = np.where(rng.random(node.size) < turning, rng.choice((1, 3), node.size), 0)
            quarter[node] = (quarter[node] + turns) % 4
            corner = np.round(place / block) * block
            return Legs(corner, speed[node, None] * COMPASS[quarter[node]], block / speed[node])

        place = rng.integers(streets, size=(n_nodes, 2)) * block
        gone = rng.random(n_nodes)
        ahead = COMPASS[quarter]
        first = Legs(place + block * gone[:, None] * ahead, speed[:, None] * ahead, block * (1 - gone) / speed)
        yield from _walk(first._replace(place=_round(first.place, side)), turn, step, side)

    return moving(n_nodes, step, positions, near)


COMPASS = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
COMPASS.flags.writeable = False


def within(range_m: float, side: float | None = None) -> Near:
    """Return the rule by which nodes are in contact within a range, on a torus of a given side if it is not None."""

    def near(place: np.ndarray) -> np.ndarray:
        tree = KDTree(place, boxsize=side, balanced_tree=False, compact_nodes=False)
        return tree.query_pairs(range_m, output_type="ndarray")

    return near


def _ground(
    what: str,
    n_nodes: int,
    side_m: float,
    range_m: float,
    speed_m_s: float,
    spread: float,
    step_s: float | None,
    *,
    torus: bool,
) -> tuple[float, _Speeds, float, Near]:
    """Return (side, speeds, seconds of a step, who is in contact), checked."""
    side, reach = number(what, "side_m", side_m, above=True), number(what, "range_m", range_m, above=True)
    speeds = _Speeds.of(what, speed_m_s, spread)
    if torus and reach >= side / 2:
        raise InputError(
            f"{what}: a range of {reach:g} m reaches round a torus of {side:g} m",
            hint="a range below half the side",
        )
    check_pairs(what, n_nodes, (1.0 if torus else 1.5) * np.pi * (reach / side) ** 2)
    step = reach / (LOOKS * speeds.high) if step_s is None else number(what, "step_s", step_s, above=True)
    return side, speeds, step, within(reach, side if torus else None)


def _walk(legs: Legs, turn: Turn, step_s: float, side: float | None = None) -> Iterator[np.ndarray]:
    """Yield the positions (n, 2) at steps 0, 1, …, of nodes that begin on ``legs`` and turn where these end."""
    place, velocity, left_s = (part.copy() for part in legs)
    everybody = np.arange(left_s.size)
    while True:
        yield place.copy()
        node, rest_s = everybody, np.full(left_s.size, step_s)
        while node.size:
            go_s = np.minimum(rest_s, left_s[node])
            place[node] += velocity[node] * go_s[:, None]
            left_s[node] -= go_s
            rest_s = rest_s - go_s
            ended = left_s[node] <= 0
            node, rest_s = node[ended], rest_s[ended]
            place[node], velocity[node], left_s[node] = turn(node, place[node])
        if side is not None:
            place = _round(place, side)


def _round(place: np.ndarray, side: float) -> np.ndarray:
    """Return positions on a torus, in [0, side)."""
    place = np.mod(place, side)
    place[place >= side] = 0.0  # what is below 0 by less than rounding
    return place


def _long_legs(rng: np.random.Generator, size: int, side: float) -> tuple[np.ndarray, np.ndarray]:
    """Return starts and goals (size, 2) each, of legs drawn in proportion to their lengths."""
    kept: list[np.ndarray] = []
    found = 0
    while found < size:
        ends = rng.random((2 * size + 16, 4))
        lengths = np.hypot(*(ends[:, :2] - ends[:, 2:]).T)
        ends = ends[rng.random(lengths.size) * np.sqrt(2) < lengths]
        kept.append(ends)
        found += len(ends)
    ends = side * np.concatenate(kept)[:size]
    return ends[:, :2], ends[:, 2:]
