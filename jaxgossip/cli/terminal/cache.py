"""Compiled programs kept on disk, for those who ask: the next run of the same shape compiles nothing."""

import os
from pathlib import Path

KEPT = Path("jaxgossip") / "compiled"


def keep_compiled() -> Path:
    """Let JAX keep compiled programs, and find them again, in the folder returned.

    It is ``JAX_COMPILATION_CACHE_DIR`` if that is set, else ``jaxgossip/compiled`` in the user's cache folder. A program is
    found by its code, compiler options, device and versions: what runs is what would have been compiled.
    """
    import jax

    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR") or base / KEPT)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return folder
