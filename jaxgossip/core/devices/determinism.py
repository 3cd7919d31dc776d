"""What makes a program give the same bits each time it runs, on devices where it would not by default."""

import jax


def compiler_options() -> dict[str, bool]:
    """Return the options of XLA with which all programs of a run are compiled; none are needed on CPUs and TPUs.

    GPUs add what is scattered to the same place in the order in which threads come, unless they are told not to.
    """
    return {"xla_gpu_deterministic_ops": True} if jax.default_backend() == "gpu" else {}
