"""Traced programs: what is in them, what of them is of a block, and how parts of them are computed."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import (
    ClosedJaxpr,  # pyright: ignore[reportPrivateImportUsage] - exported, but not by the stubs
    DebugInfo,
    Jaxpr,
    Literal,
    Var,
    jaxpr_as_fun,
)
from jaxtyping import Array

from jaxgossip.core.devices.exchanges import exchange_p

CALLS = ("jit", "pjit", "closed_call", "core_call", "remat2", "checkpoint", "custom_jvp_call", "custom_vjp_call")
"""Primitives that call a program; those with exchanges are taken apart."""


def unfused(equation: Any, read: Callable[[Any], Any]) -> list[Any]:
    """Return the results of an operation that XLA does not fuse with others: it would round otherwise on several devices."""
    if equation.primitive.name == "div" and jnp.issubdtype(aval_of(equation.outvars[0]).dtype, jnp.inexact):
        # By a number that it sees, XLA multiplies with the inverse, depending on what else divides by it.
        shape = aval_of(equation.outvars[0]).shape
        operands = jax.lax.optimization_barrier([jnp.broadcast_to(read(entry), shape) for entry in equation.invars])
        return jax.lax.optimization_barrier([jax.lax.div(*operands)])
    if equation.primitive.name not in CALLS:
        results = evaluated([equation], list(equation.outvars), {entry: read(entry) for entry in inputs_of(equation)})
        is_exact = not any(jnp.issubdtype(result.dtype, jnp.inexact) for result in results)
        return results if is_exact else jax.lax.optimization_barrier(results)
    closed = called(equation)
    inner = closed.jaxpr
    variables = [*inner.constvars, *inner.invars]
    values = dict(zip(variables, [*closed.consts, *map(read, equation.invars)], strict=True))

    def inside(entry: Any) -> Any:
        return jnp.asarray(entry.val, aval_of(entry).dtype) if isinstance(entry, Literal) else values[entry]

    for part in inner.eqns:
        values.update(zip(part.outvars, unfused(part, inside), strict=True))
    return [inside(entry) for entry in inner.outvars]


def called(equation: Any) -> ClosedJaxpr:
    """Return the program that an operation calls."""
    program = next(value for value in equation.params.values() if is_program(value))
    return program if isinstance(program, ClosedJaxpr) else ClosedJaxpr(program, ())


def not_hoisted(number: Array) -> Array:
    """Return the number of a step of a loop, in a way that XLA must not compile the loop to one function for a CPU.

    It does so with loops of elementwise operations alone (its pass "small-while-loop-hoisting"). They would then run on one
    core, and round otherwise for another number of steps. No such function can sort.
    """
    if jax.default_backend() != "cpu":
        return number
    return jax.lax.sort(jnp.stack([number, jnp.full_like(number, jnp.iinfo(number.dtype).max)]))[0]


def evaluated(equations: list[Any], results: list[Var], inputs: dict[Var, Any]) -> list[Any]:
    """Return the results of operations, given the values of their inputs."""
    part = program_of(list(inputs), results, equations)
    return jaxpr_as_fun(ClosedJaxpr(part, ()))(*inputs.values())


def without_barriers(equations: list[Any], inputs: dict[Var, Any]) -> tuple[list[Any], dict[Var, Any]]:
    """Return (the other operations, all inputs) without the barriers around inputs alone, for which XLA would copy blocks.

    Such a barrier stands between no two operations: it keeps nothing from being computed again.
    """
    rest, found = [], dict(inputs)
    for equation in equations:
        inside = all(isinstance(entry, Var) and entry in found for entry in equation.invars)
        if equation.primitive.name == "optimization_barrier" and inside:
            found.update((out, found[entry]) for out, entry in zip(equation.outvars, equation.invars, strict=True))
        else:
            rest.append(equation)
    return rest, found


def program_of(inputs: list[Var], results: list[Any], equations: list[Any], n_consts: int = 0) -> Jaxpr:
    """Return a program of operations; the first ``n_consts`` of its inputs are its constants."""
    effects = frozenset().union(*(equation.effects for equation in equations))
    names = DebugInfo(
        "block", "a part of a program for one block", ("",) * (len(inputs) - n_consts), ("",) * len(results)
    )
    return Jaxpr(inputs[:n_consts], inputs[n_consts:], results, equations, effects, names)


def inputs_of(equation: Any) -> list[Var]:
    """Return the variables that an operation takes."""
    return [entry for entry in equation.invars if isinstance(entry, Var)]


def same_shape(one: Var, other: Var) -> bool:
    """Return whether two variables have the same shape and dtype."""
    return (aval_of(one).shape, aval_of(one).dtype) == (aval_of(other).shape, aval_of(other).dtype)


def aval_of(entry: Any) -> Any:
    """Return the shape and dtype of a variable or a literal."""
    return entry.aval


def crosses(equation: Any) -> bool:
    """Return whether an operation is an exchange, or contains one."""
    return equation.primitive is exchange_p or any(
        crosses(inner) for part in programs_in(equation) for inner in part.eqns
    )


def programs_in(equation: Any) -> list[Any]:
    """Return the programs within an operation."""
    if equation.primitive is exchange_p:
        return []
    found = jax.tree.leaves(list(equation.params.values()), is_leaf=is_program)
    return [getattr(part, "jaxpr", part) for part in found if is_program(part)]


def is_program(value: Any) -> bool:
    """Return whether a value is a traced program."""
    return hasattr(getattr(value, "jaxpr", value), "eqns")


def avals_of(jaxpr: Any) -> list[Any]:
    """Return the shapes and dtypes of all intermediate results of a program."""
    found = [variable.aval for equation in jaxpr.eqns for variable in equation.outvars]
    return found + [aval for equation in jaxpr.eqns for part in programs_in(equation) for aval in avals_of(part)]


def last_uses(jaxpr: Jaxpr) -> dict[Var, int]:
    """Return the number of the last operation that needs each variable; results are needed after all of them."""
    uses = {entry: len(jaxpr.eqns) for entry in jaxpr.outvars if isinstance(entry, Var)}
    for number in range(len(jaxpr.eqns) - 1, -1, -1):
        equation = jaxpr.eqns[number]
        if any(out in uses for out in equation.outvars):
            for entry in inputs_of(equation):
                uses.setdefault(entry, number)
    return uses


def scan_counts(params: Any, inputs: Sequence[Any]) -> tuple[int, int]:
    """Return (number of constants, number of carried values) of a scan."""
    if "num_consts" in params:  # of earlier versions of JAX
        return params["num_consts"], params["num_carry"]
    consts, carry, _ = map(list, params["ft_in"].update(inputs).unpack())
    return len(consts), len(carry)


def kinds_of(equation: Any, of_block: dict[Var, bool]) -> list[bool]:
    """Return whether each result of an operation is of a block."""
    if equation.primitive is exchange_p:
        return [result.per_block for result in equation.params["results"]]
    kinds = [isinstance(entry, Var) and of_block[entry] for entry in equation.invars]
    if equation.primitive.name == "scan" and crosses(equation):
        n_consts, n_carry = scan_counts(equation.params, kinds)
        start = n_consts + n_carry
        return loop_kinds(equation.params["jaxpr"].jaxpr, kinds[:n_consts], kinds[n_consts:start], kinds[start:])
    if equation.primitive.name == "while" and crosses(equation):
        n_cond, n_body = equation.params["cond_nconsts"], equation.params["body_nconsts"]
        start = n_cond + n_body
        return loop_kinds(equation.params["body_jaxpr"].jaxpr, kinds[n_cond:start], kinds[start:], [])
    if equation.primitive.name == "cond" and crosses(equation):
        found = [loop_kinds(branch.jaxpr, kinds[1:], [], []) for branch in equation.params["branches"]]
        return [any(of_branches) for of_branches in zip(*found, strict=True)]
    return [any(kinds)] * len(equation.outvars)


def loop_kinds(body: Jaxpr, consts: list[bool], carry: list[bool], xs: list[bool]) -> list[bool]:
    """Return the kinds of what a loop carries and stacks, given those that it begins with."""
    while True:
        of_block = dict.fromkeys(body.constvars, False) | dict(zip(body.invars, [*consts, *carry, *xs], strict=True))
        for equation in body.eqns:
            of_block |= dict(zip(equation.outvars, kinds_of(equation, of_block), strict=True))
        found = [isinstance(entry, Var) and of_block[entry] for entry in body.outvars]
        after = [one or other for one, other in zip(carry, found, strict=False)]
        if after == carry:
            return [*carry, *found[len(carry) :]]
        carry = after


def without_calls(jaxpr: Jaxpr) -> Jaxpr:
    """Return a program in which those calls are taken apart that contain exchanges."""

    def is_apart(equation: Any) -> bool:
        return equation.primitive.name in CALLS and crosses(equation)

    while any(is_apart(equation) for equation in jaxpr.eqns):
        variables, outer = [*jaxpr.constvars, *jaxpr.invars], jaxpr

        def flat(*arrays: Any, outer: Jaxpr = outer, variables: list[Var] = variables) -> list[Any]:
            values = dict(zip(variables, arrays, strict=True))
            for equation in outer.eqns:
                inputs = {entry: values[entry] for entry in inputs_of(equation)}
                if is_apart(equation):
                    given = [entry.val if isinstance(entry, Literal) else values[entry] for entry in equation.invars]
                    results = jaxpr_as_fun(called(equation))(*given)
                else:
                    results = evaluated([equation], list(equation.outvars), inputs)
                values.update(zip(equation.outvars, results, strict=True))
            return [entry.val if isinstance(entry, Literal) else values[entry] for entry in outer.outvars]

        traced = jax.make_jaxpr(flat)(
            *(jax.ShapeDtypeStruct(aval_of(v).shape, aval_of(v).dtype) for v in variables)
        ).jaxpr
        jaxpr = program_of(list(traced.invars), list(traced.outvars), list(traced.eqns), len(jaxpr.constvars))
    return jaxpr
