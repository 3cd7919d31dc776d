"""Check what a GPU, a TPU or a CPU computes, how fast, and in how much memory, in a few minutes and without a network.

Usage: python scripts/accelerator_check.py [--only SECTION[:WORD],...] [--minutes M] [--small] [--json FILE]

Sections:
  canary      products and own kernels on 32,769 and 40,001 rows, against NumPy in float64
  operators   every mixing, on graphs of every structure, against its float64 matrix
  algorithms  every algorithm and protocol for three rounds, against the same on the CPU
  memory      peak memory of runs, against their plan
  cnn         convolutional networks against the CPU; a round of 1,000 of them
  events      a million nodes with clocks of their own
  rounds      whole rounds of 10⁶, 10⁷ and 10⁸ nodes: first rounds against float64, then node-updates a second,
              copies of the state on the device, and the share of the floor of memory traffic

What does not fit into the memory of the device or into the time is skipped, with a note. Progress goes to stderr, the table to
stdout. The exit code is 0 if nothing failed, 1 if a check failed or crashed, 2 for options that cannot be used, and 130 after
Ctrl-C.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxgossip.bench.accelerator import table
from jaxgossip.bench.accelerator.check import FULL, SMALL, Sizes
from jaxgossip.bench.accelerator.run import Choice, Row, failed, run
from jaxgossip.core import disk
from jaxgossip.core.errors import InputError
from jaxgossip.simulation.results.provenance import provenance

MINUTES = 8.0
INTERRUPTED = 130


def main(words: list[str]) -> int:
    """Make the checks; return the exit code."""
    title, _, *paragraphs = (__doc__ or "").split("\n\n")
    parser = argparse.ArgumentParser(
        description=title,
        epilog="\n\n".join(paragraphs),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--only",
        default="",
        metavar="SECTION[:WORD],...",
        help="only these sections, or checks with WORD in their name",
    )
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help=f"time after which the rest is skipped (default {MINUTES:g})"
    )
    parser.add_argument("--small", action="store_true", help="sizes that a CPU goes through in a minute or two")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there as well")
    options = parser.parse_args(words)
    if not options.minutes > 0:
        parser.error("--minutes must be above 0")
    if options.json is not None and not options.json.absolute().parent.is_dir():
        parser.error(f"--json: no such folder: {options.json.absolute().parent}")
    try:
        choice = Choice.of(options.only)
    except InputError as error:
        parser.error(f"--only: {error}")
    try:
        machine = provenance()
    except RuntimeError as error:  # asked for a device that it does not find
        parser.error(f"JAX does not start: {error}")
    rows, code = check(machine, SMALL if options.small else FULL, choice, options.minutes, options.json)
    if not rows and not code:
        parser.error(f"--only: no check of that name: {options.only}")
    return code


def check(
    machine: Mapping[str, Any], sizes: Sizes, choice: Choice, minutes: float, path: Path | None
) -> tuple[list[Row], int]:
    """Make the checks and print them as they are made; return the rows and the exit code.

    Args:
        machine: versions, device and flags.
        sizes: the sizes.
        choice: the sections and checks that are asked for.
        minutes: time after which the rest is skipped.
        path: file for the figures as JSON; it is written anew after every check, so that a crash of the process leaves it.
    """
    began, rows = time.monotonic(), list[Row]()

    def save(*, ended: bool) -> None:
        if path is not None:
            found = table.record(machine, sizes, rows, time.monotonic() - began, ended=ended)
            disk.write(path, json.dumps(found, indent=1, allow_nan=False, ensure_ascii=False) + "\n")

    print(table.title(machine, sizes), flush=True)
    try:
        for row in run(sizes, choice, minutes, begun=lambda name: print(f"{name} …", file=sys.stderr, flush=True)):
            if not rows or rows[-1].section != row.section:
                print(table.heading(row.section))
            print(table.line(row), flush=True)
            rows.append(row)
            save(ended=False)
    except KeyboardInterrupt:
        print(table.summary(rows, time.monotonic() - began))
        print("interrupted: not all checks were made")
        return rows, INTERRUPTED
    print(table.summary(rows, time.monotonic() - began))
    save(ended=True)
    return rows, 1 if failed(rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
