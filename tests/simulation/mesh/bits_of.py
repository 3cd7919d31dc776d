"""Prints the digest of all bits of cases after some rounds on a mesh, in one process or as one of several.

``python -m tests.simulation.mesh.bits_of DEVICES [--join HOST:PORT PROCESSES PROCESS] [CASE…]``, with the number of devices of
this process; all cases if none is named. Whatever the mesh, the digests are to be the same.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence

import jax
from jax.sharding import Mesh

import jaxgossip as jg
from jaxgossip.core.devices.processes import join, part
from tests.simulation.mesh import cases


def digests(names: Sequence[str], mesh: Mesh) -> Iterator[tuple[str, str]]:
    """Yield (name, digest) of cases on a mesh."""
    every = cases.every_case()
    for name in names or every:
        make, conditions = every[name]
        first = cases.begun(make(), **conditions)
        yield name, cases.fingerprint(cases.spread(make(), mesh, first, **conditions))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("devices", type=int)
    parser.add_argument("--join", nargs=3)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", given.devices)
    if given.join:
        join(given.join[0], int(given.join[1]), int(given.join[2]))
    for pair in digests(given.names, jg.mesh()):
        sys.stdout.write(json.dumps(pair) + "\n")
        sys.stdout.flush()
    if given.join:
        part()


if __name__ == "__main__":
    main()
