"""How a run that diverged did, by what its manifest says of it."""

from collections.abc import Mapping
from typing import Any


def diverged_round(manifest: Mapping[str, Any]) -> int | None:
    """Return the round in which a run diverged; None if it did not, or the manifest does not know."""
    if manifest.get("status") != "diverged":
        return None
    found = manifest.get("diverged_round", manifest.get("rounds"))  # earlier versions wrote the latter alone
    return None if found is None else int(found)


def divergence(manifest: Mapping[str, Any]) -> str:
    """Return in which round a run diverged and what became of its models; empty if it did not diverge."""
    found = diverged_round(manifest)
    if found is None:
        return ""
    return f"diverged in round {found:,}: {manifest.get('reason', 'a model became NaN or infinite')}"
