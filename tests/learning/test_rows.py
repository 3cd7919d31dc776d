"""Rows and parameters: conversion from a result's rows to the model's parameters and back."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxgossip as jg


def test_rows_become_parameters_and_parameters_rows() -> None:
    """With private parameters, which come last, a row differs from that of ravel_pytree."""

    def init(key):
        return {"body": jnp.zeros((3, 2)), "head": jnp.zeros(2)}

    model = jg.learning.models.from_functions(init, lambda params, x: x @ params["body"] @ params["head"], "logistic")
    data = jg.learning.from_arrays(np.eye(40, 3), np.arange(40) % 2)
    problem = jg.learning.classification(data, "iid", model, nodes=4, private=["body"])
    params = {"body": jnp.arange(6.0).reshape(3, 2), "head": jnp.asarray([7.0, 8.0])}
    row = problem.row(params)
    np.testing.assert_array_equal(row, [7, 8, 0, 1, 2, 3, 4, 5])
    jax.tree.map(np.testing.assert_array_equal, problem.params(row), params)
