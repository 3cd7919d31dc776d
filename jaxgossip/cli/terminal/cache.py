"""The optional on-disk cache of compiled programs, with which the next run of the same shape compiles nothing."""

import os
from pathlib import Path

SUBFOLDER = Path("jaxgossip") / "compiled"


def keep_compiled() -> Path:
    """Enable JAX's compilation cache, and return its folder.

    The folder is ``JAX_COMPILATION_CACHE_DIR`` if that is set, else ``jaxgossip/compiled`` in the user's cache folder.
    Programs are identified by code, compiler options, device and versions, so a cached program is the one that would have
    been compiled.
    """
    import jax

    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR") or base / SUBFOLDER)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return folder
