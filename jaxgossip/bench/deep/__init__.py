"""Benchmarks of deep networks: the networks, the same by plain ``vmap`` of ``grad``, and forms of a convolution."""
