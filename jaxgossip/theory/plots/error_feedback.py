"""Error feedback as outer momentum: what a memory adds later does what momentum of an outer optimizer does.

SparseLoCo, V = βE + x̂ − Y, D = C(V), E⁺ = V − D, sends each number of V with probability ρ if C is random-k of density ρ. Of a
displacement x̂ − Y, what arrives j rounds late is on average

    ρ (β (1 − ρ))ʲ,   in all   ρ/(1 − β (1 − ρ)),

whatever the displacement, since masks do not depend on it. So the mean of V is the accumulator of momentum m = β (1 − ρ), and
the mean model is that of an outer optimizer over the mean of all nodes with momentum m and rate αρ, exactly. On quadratics,
with c of a distance covered by the local steps, its roots are those of z² − (1 + m − αρc) z + m.
"""

from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from jaxgossip import topology
from jaxgossip.algorithms import Algorithm, outer_gossip, sparse_loco
from jaxgossip.compression import random_k
from jaxgossip.learning import Problem, isotropic_quadratic
from jaxgossip.learning.optimizers import Transformation
from jaxgossip.mixing import metropolis_hastings
from jaxgossip.theory import drawing
from jaxgossip.theory.measuring import trajectory
from jaxgossip.theory.plot import Claim, Plot, farthest

N, COLUMNS, ETA, STEPS = 16, 10_000, 0.2, 2
COVERED = 1 - (1 - ETA) ** STEPS
"""c, the part of a distance that the local steps cover."""
B = 1 + np.cos(np.arange(N)) / 2
"""Targets b_i, the same in every column: columns are runs whose masks differ."""
CASES = MappingProxyType({"β = 0.95, ρ = 0.05": (0.95, 0.05), "β = 0.95, ρ = 0.1": (0.95, 0.1)})
"""Decay of the memory β and density ρ, by the name of a line."""
COURSES = MappingProxyType({**CASES, "β = 0, ρ = 0.1": (0.0, 0.1)})
"""Those that learn."""
QUOTED = MappingProxyType({"β = 0.95, ρ = 0.05": 0.5128, "β = 0.95, ρ = 0.1": 0.6897})
"""Gains of the memory, to four digits."""
LAGS, ROUNDS, LONG = 40, 100, 250
DENSITIES = (0.05, 0.1, 0.3)


class Memory(NamedTuple):
    """Predicted or measured behaviour.

    Attributes:
        decays: (k,) values of β.
        late: (LAGS,) part of a displacement that is delivered j rounds late, by line.
        gain: (k,) part that is ever delivered, at the decays, by density.
        course: (ROUNDS + 1,) mean distance from the optimum, of the first one, by line.
        momentum: (ROUNDS + 1,) the same of outer momentum β (1 − ρ) with rate ρ, by line.
    """

    decays: np.ndarray
    late: dict[str, np.ndarray]
    gain: dict[float, np.ndarray]
    course: dict[str, np.ndarray]
    momentum: dict[str, np.ndarray]


def decays(quick: bool) -> np.ndarray:
    """Return values of β."""
    return np.array([0.95, 1.0]) if quick else np.array([0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0])


def gain(decay: np.ndarray | float, density: float) -> np.ndarray | float:
    """Return what of a displacement is ever delivered."""
    return density / (1 - decay * (1 - density))


def distance(decay: float, density: float) -> np.ndarray:
    """Return (ROUNDS + 1,): the distance z from 1 on, with the accumulator v⁺ = β (1 − ρ) v + c z and z⁺ = z − ρ v⁺."""
    z, v, found = 1.0, 0.0, [1.0]
    for _ in range(ROUNDS):
        v = decay * (1 - density) * v + COVERED * z
        z -= density * v
        found.append(z)
    return np.array(found)


def predict(quick: bool) -> Memory:
    """Evaluate the formulas above."""
    lags = np.arange(LAGS)
    course = {name: distance(*case) for name, case in COURSES.items()}
    return Memory(
        decays(quick),
        {name: density * (decay * (1 - density)) ** lags for name, (decay, density) in CASES.items()},
        {density: np.asarray(gain(decays(quick), density)) for density in DENSITIES},
        course,
        course,
    )


def problem() -> Problem:
    """Return the objectives, without noise."""
    return isotropic_quadratic(N, targets=np.tile(B[:, None], COLUMNS), noise=0.0, dtype=jnp.float64)


def once() -> Transformation:
    """Return local steps that move in the first round alone."""
    return optax.sgd(lambda count: jnp.where(jnp.asarray(count) < STEPS, ETA, 0.0))


def make(decay: float, density: float, inner: Transformation) -> Algorithm:
    """Return SparseLoCo with random-k."""
    compressor = random_k(fraction=density)
    return sparse_loco(problem(), inner, compressor, decay=decay, outer_rate=1.0, local_steps=STEPS)


def outer(decay: float, density: float) -> Algorithm:
    """Return the outer optimizer over the mean of all nodes that is to be the same on average."""
    momentum = optax.sgd(density, momentum=decay * (1 - density))
    return outer_gossip(
        problem(), optax.sgd(ETA), metropolis_hastings(topology.complete(N)), outer=momentum, local_steps=STEPS
    )


def followed(algorithm: Algorithm, rounds: int) -> np.ndarray:
    """Return (rounds + 1,): the mean model over nodes and columns, from a start at 0, as a part of the mean target."""
    start = algorithm.init(jax.random.key(0))
    start = start._replace(x=jnp.zeros_like(start.x))
    return trajectory(algorithm, rounds, start=start, of=lambda x: x.mean() / B.mean())


def measure(quick: bool) -> Memory:
    """Run one displacement through the memory, then learning with it, and with momentum in its place."""
    delivered = {
        (decay, density): followed(make(decay, density, once()), LONG) / COVERED
        for density in DENSITIES
        for decay in decays(quick).tolist()
    }
    late = {name: np.diff(delivered[case])[:LAGS] for name, case in CASES.items()}
    gains = {
        density: np.array([delivered[decay, density][-1] for decay in decays(quick).tolist()]) for density in DENSITIES
    }
    course = {name: 1 - followed(make(*case, optax.sgd(ETA)), ROUNDS) for name, case in COURSES.items()}
    momentum = {name: 1 - followed(outer(*case), ROUNDS) for name, case in COURSES.items()}
    return Memory(decays(quick), late, gains, course, momentum)


def draw(predicted: Memory, measured: Memory) -> Figure:
    """Left: what arrives how late; middle: what arrives at all; right: learning with the memory, and with momentum."""
    figure, (left, middle, right) = drawing.page(3, width=4.0)
    lags = np.arange(LAGS)
    for number, name in enumerate(CASES):
        drawing.points(left, lags, measured.late[name], number, name)
        drawing.theory(left, lags, predicted.late[name], claimed=f"delivered late, {name}")
    left.set(xlabel="rounds late j", ylabel="part of a displacement delivered", ylim=(0, None))
    drawing.title(left, "the memory delivers ρ (β (1 − ρ))ʲ")
    drawing.legend(left, loc="upper right")
    fine = np.linspace(0, 1, 101)
    for number, density in enumerate(DENSITIES):
        drawing.points(middle, measured.decays, measured.gain[density], number, f"ρ = {density:g}")
        drawing.theory(middle, fine, np.asarray(gain(fine, density)), claimed=f"gain, ρ = {density:g}")
    middle.set(xlabel="decay of the memory β", ylabel="part of a displacement ever delivered", ylim=(0, 1.05))
    drawing.title(middle, "gain ρ/(1 − β (1 − ρ))")
    drawing.legend(middle, loc="upper left")
    rounds = np.arange(ROUNDS + 1)
    for number, name in enumerate(COURSES):
        drawing.series(right, rounds, measured.course[name], number, f"SparseLoCo, {name}")
        drawing.theory(right, rounds, predicted.course[name], claimed=f"course, {name}")
    right.axhline(0, color="#bbbbbb", linewidth=0.8, zorder=1)
    right.set(xlabel="round", ylabel="mean distance left from the optimum")
    drawing.title(right, "as outer momentum β (1 − ρ) with rate ρ")
    drawing.legend(right, loc="upper right")
    return figure


def claims(predicted: Memory, measured: Memory) -> list[Claim]:
    """Return the claims: deliveries within 0.001, gains within 1 %, courses within 0.01, those of momentum exactly."""
    checks = [
        farthest(f"delivered late, {name}", measured.late[name], predicted.late[name], 1e-3, "absolute")
        for name in CASES
    ]
    checks += [
        farthest(f"gain, ρ = {density:g}", measured.gain[density], predicted.gain[density], 0.01)
        for density in DENSITIES
    ]
    for name, quoted in QUOTED.items():
        decay, density = CASES[name]
        (found,) = measured.gain[density][measured.decays == decay]
        checks.append(Claim(f"gain, {name}, as quoted", float(found), quoted, 0.01))
    for name in COURSES:
        checks.append(farthest(f"course, {name}", measured.course[name], predicted.course[name], 0.01, "absolute"))
        checks.append(
            farthest(f"outer momentum, {name}", measured.momentum[name], predicted.momentum[name], 1e-12, "absolute")
        )
    return checks


def error_feedback() -> Plot:
    """A memory of what was not sent takes the place of an outer momentum, and delivers the less the faster it decays."""
    source = "Sarfi et al. 2025, SparseLoCo"
    return Plot("Error feedback as outer momentum", source, predict, measure, draw, claims)
