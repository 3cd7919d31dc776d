"""The divergence of a run, as recorded in its manifest."""

from collections.abc import Mapping
from typing import Any


def diverged_round(manifest: Mapping[str, Any]) -> int | None:
    """Return the round in which a run diverged; None if it did not, or the round is not recorded."""
    if manifest.get("status") != "diverged":
        return None
    round_number = manifest.get("diverged_round", manifest.get("rounds"))  # earlier versions wrote only the latter
    return None if round_number is None else int(round_number)


def divergence(manifest: Mapping[str, Any]) -> str:
    """Return the round in which a run diverged and the reason, in words; empty if it did not diverge."""
    round_number = diverged_round(manifest)
    if round_number is None:
        return ""
    return f"diverged in round {round_number:,}: {manifest.get('reason', 'a model became NaN or infinite')}"
