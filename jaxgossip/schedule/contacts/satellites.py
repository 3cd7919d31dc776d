"""Satellites on circular orbits, in contact where they see each other past the Earth.

A Walker constellation i: T/P/F has T satellites in P planes of inclination i, whose ascending nodes are spread evenly over
the equator (a delta, 360°) or half of it (a star, 180°); satellites of a plane are spread evenly along it, and those of the
next plane are F/T of a revolution ahead (Walker 1984, "Satellite constellations"). On a circle of radius a they go round
at √(μ/a³). Two of them at radii a and b see each other if the line between passes above the atmosphere, up to radius R:
if they are no further apart than √(a² − R²) + √(b² − R²).
"""

from collections.abc import Iterator

import numpy as np

from jaxgossip.core.arguments import guarded, number, whole
from jaxgossip.core.errors import InputError
from jaxgossip.schedule.contacts.sources import ContactSource, check_pairs, moving
from jaxgossip.schedule.contacts.walks import within

EARTH_KM = 6371.0
"""Mean radius of the Earth."""
AIR_KM = 80.0
"""Height above it that lines of sight have to keep."""
MU_KM3_S2 = 398600.4418
"""Standard gravitational parameter of the Earth."""


@guarded
def satellites(
    n_nodes: int,
    *,
    planes: int,
    altitudes_km: list[float],
    inclination_deg: float = 53.0,
    phasing: int = 1,
    spread_deg: float = 360.0,
    range_km: float | None = None,
    step_s: float = 10.0,
) -> ContactSource:
    """Return satellites of Walker constellations, one shell at each altitude, plane after plane.

    Args:
        n_nodes: number of satellites, the same in every plane of every shell.
        planes: planes of each shell.
        altitudes_km: height of each shell above the Earth's mean radius, in kilometres.
        inclination_deg: inclination of the planes, in degrees.
        phasing: F, by how many T-ths of a revolution each plane is ahead of the one before.
        spread_deg: over how much of the equator the ascending nodes are spread: 360 for a delta, 180 for a star.
        range_km: largest distance of a link, in kilometres; left out, all that see each other are in contact.
        step_s: seconds between looks at the positions.

    Raises:
        InputError: the satellites do not divide into the planes, there is no shell, an altitude is not above 80 km, a
            range or step is not positive, an angle or the phasing is out of range, or there are too many pairs in contact
            for the memory.
    """
    what = "satellites"
    shells = [
        number(what, f"altitudes_km[{k}]", height, least=AIR_KM, above=True) for k, height in enumerate(altitudes_km)
    ]
    if not shells:
        raise InputError(f"{what}: altitudes_km names no shell", hint="one altitude a shell, such as [550]")
    in_shell = whole(what, "planes", planes, 1) * len(shells)
    if n_nodes % in_shell:
        raise InputError(
            f"{what}: {n_nodes:,} satellites do not divide into {len(shells)} × {planes} planes",
            hint=f"{n_nodes - n_nodes % in_shell + in_shell:,} of them, or other planes",
        )
    each = n_nodes // in_shell
    tilt = np.radians(number(what, "inclination_deg", inclination_deg, most=180.0))
    spread = np.radians(number(what, "spread_deg", spread_deg, above=True, most=360.0))
    radius = np.repeat(EARTH_KM + np.array(shells), planes * each)
    horizon = np.sqrt(radius**2 - (EARTH_KM + AIR_KM) ** 2)
    farthest = 2 * float(horizon.max())
    reach = farthest if range_km is None else min(farthest, number(what, "range_km", range_km, above=True))
    check_pairs(what, n_nodes, (reach / (2 * float(radius.min()))) ** 2)
    plane, place = np.divmod(np.arange(n_nodes) % (planes * each), each)
    node = spread * plane / planes
    ahead_by = whole(what, "phasing", phasing, 0)
    start = 2 * np.pi * (place / each + ahead_by * plane / (planes * each))
    rate = np.sqrt(MU_KM3_S2 / radius**3)
    toward = np.stack([np.cos(node), np.sin(node), np.zeros(n_nodes)], axis=1)
    ahead = np.stack(
        [-np.sin(node) * np.cos(tilt), np.cos(node) * np.cos(tilt), np.full(n_nodes, np.sin(tilt))], axis=1
    )
    in_range = within(reach)
    step_s = number(what, "step_s", step_s, above=True)

    def positions() -> Iterator[np.ndarray]:
        step = 0
        while True:
            angle = (start + rate * (step * step_s))[:, None]
            yield radius[:, None] * (np.cos(angle) * toward + np.sin(angle) * ahead)
            step += 1

    def near(place: np.ndarray) -> np.ndarray:
        pairs = in_range(place)
        apart = np.linalg.norm(place[pairs[:, 0]] - place[pairs[:, 1]], axis=1)
        return pairs[apart <= horizon[pairs[:, 0]] + horizon[pairs[:, 1]]]

    return moving(n_nodes, step_s, positions, near)
