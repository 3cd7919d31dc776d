"""A program traced for one block, carried out for all blocks of a device: in stretches between exchanges, by loops over blocks.

Every value is stored as ``(blocks of the device, *shape)`` if blocks have their own, else as it is.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, Literal, Var
from jaxtyping import Array

from jaxgossip.core.devices.exchanges import exchange_p
from jaxgossip.core.devices.traced import (
    aval_of,
    crosses,
    evaluated,
    inputs_of,
    kinds_of,
    last_uses,
    not_hoisted,
    same_shape,
    scan_counts,
    unfused,
    without_barriers,
    without_calls,
)
from jaxgossip.core.devices.transport import Transport
from jaxgossip.core.errors import InputError


def run_traced(
    transport: Transport,
    jaxpr: Jaxpr,
    consts: Sequence[Any],
    inputs: Sequence[Any],
    of_consts: Sequence[bool],
    of_inputs: Sequence[bool],
    carried: Sequence[bool] = (),
) -> tuple[list[Any], list[bool]]:
    """Return the results of a program traced for a block, and whether each is of a block.

    Args:
        transport: carries out the exchanges.
        jaxpr: the program.
        consts: values of its constants.
        inputs: values of its arguments.
        of_consts: whether each constant is of a block; none are if this is empty.
        of_inputs: whether each argument is of a block.
        carried: whether each argument is what a loop carries, in whose place results may be stored; none is by default.
    """
    jaxpr = without_calls(jaxpr)
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *inputs], strict=True))
    kinds = [*(of_consts or [False] * len(consts)), *of_inputs]
    of_block = dict(zip(values, kinds, strict=True))
    for equation in jaxpr.eqns:
        of_block |= dict(zip(equation.outvars, kinds_of(equation, of_block), strict=True))
    reusable = [entry for entry, carry in zip(jaxpr.invars, carried, strict=bool(carried)) if carry]
    state = _State(transport, jaxpr, values, of_block, reusable)
    for number, equation in enumerate(jaxpr.eqns):
        if not any(out in state.uses for out in equation.outvars):
            continue
        if crosses(equation):
            state.compute(inputs_of(equation), number)
            state.exchange(equation, number)
        elif any(of_block[out] for out in equation.outvars):
            state.waiting.append(equation)
        else:
            state.once(equation)
    state.compute([entry for entry in jaxpr.outvars if isinstance(entry, Var)], len(jaxpr.eqns))
    flags = [isinstance(entry, Var) and of_block[entry] for entry in jaxpr.outvars]
    return [state.read(entry) for entry in jaxpr.outvars], flags


class _State:
    """A program that is being run for all blocks of a device.

    Args:
        transport: carries out the exchanges.
        jaxpr: the program.
        values: the value of every variable that has one.
        of_block: whether each variable is of a block.
        reusable: variables in whose place results may be stored once nothing needs them any more.

    Attributes:
        uses: the number of the last operation that needs each variable.
        waiting: operations on blocks that no exchange has needed yet, in order.
    """

    def __init__(
        self,
        transport: Transport,
        jaxpr: Jaxpr,
        values: dict[Var, Any],
        of_block: dict[Var, bool],
        reusable: Sequence[Var],
    ) -> None:
        self._transport, self._blocks = transport, transport.layout.blocks_each
        self._values, self._of_block, self.uses = values, of_block, last_uses(jaxpr)
        self._reusable = dict.fromkeys(entry for entry in reusable if of_block[entry])
        self._carried: dict[Any, list[Any]] = {}
        self.waiting: list[Any] = []
        # Rows that others see are computed in a buffer of their own: what is made of them can take the place of the state.
        # A halo follows the rows in the same table.
        exchanges = [one for one in reversed(jaxpr.eqns) if one.primitive is exchange_p]
        self._apart = {one.invars[0] for one in exchanges if one.params["kind"] in {"columns", "halo"}}
        self._lengths = {
            one.invars[0]: one.params["results"][0].shape[0] for one in exchanges if one.params["kind"] == "halo"
        }
        self._results = {entry for entry in jaxpr.outvars if isinstance(entry, Var)} - self._apart
        self._tables: dict[Var, Array] = {}
        self._buffers: dict[Var, int | None] = {}

    def read(self, entry: Any) -> Any:
        """Return the value of a variable or a literal."""
        if isinstance(entry, Literal):
            return jnp.asarray(entry.val, aval_of(entry).dtype)
        if entry in self._tables:
            layout = self._transport.layout
            return layout.stacked(self._tables[entry][: layout.rows_each])
        return self._values[entry]

    def once(self, equation: Any) -> None:
        """Compute an operation that depends on no block."""
        self._values.update(zip(equation.outvars, unfused(equation, self.read), strict=True))

    def compute(self, needed: Sequence[Var], now: int) -> None:
        """Compute, for every block, those variables that have no value yet, and all that they depend on.

        Args:
            needed: the variables.
            now: number of the operation that needs them.
        """
        known = self._values.keys() | self._tables.keys()
        wanted, chosen = {entry for entry in needed if entry not in known}, []
        if not wanted:
            return
        for equation in reversed(self.waiting):
            if any(out in wanted for out in equation.outvars):
                chosen.append(equation)
                wanted.update(inputs_of(equation))
        chosen.reverse()
        taken = {id(equation) for equation in chosen}
        self.waiting = [equation for equation in self.waiting if id(equation) not in taken]
        later = {entry for equation in self.waiting for entry in inputs_of(equation)}
        made = {out: None for equation in chosen for out in equation.outvars}
        inputs = [entry for equation in chosen for entry in inputs_of(equation) if entry not in made]
        results = [out for out in made if out in later or self.uses.get(out, -1) >= now]
        self._loop(chosen, list(dict.fromkeys(inputs)), results, now)

    def _dead(self, now: int) -> list[Var]:
        """Return the variables in whose place results may be stored, once all operations before ``now`` are done."""
        later = {entry for equation in self.waiting for entry in inputs_of(equation)}
        return [entry for entry in self._reusable if entry not in later and self.uses.get(entry, -1) < now]

    def _place(self, like: Any, dead: list[Var]) -> Var | None:
        """Take, and return, one of the variables that are ``dead`` and have the shape of a result; None if none has."""
        alike = (entry for entry in dead if same_shape(entry, like))
        if (found := next(alike, None)) is not None:
            dead.remove(found)
            del self._reusable[found]
        return found

    def _loop(self, equations: list[Any], inputs: list[Var], results: list[Var], now: int) -> None:
        """Compute the results of operations on every block, in the place of what nothing needs any more."""
        rows = self._transport.layout.block_rows
        fixed = {entry: self._values[entry] for entry in inputs if not self._of_block[entry]}
        # XLA must not see constants, such as masks that are all true: it would fold them on one device, and not on several.
        fixed = dict(zip(fixed, jax.lax.optimization_barrier(list(fixed.values())), strict=True))
        tables = {entry: self._tables[entry] for entry in inputs if entry in self._tables}
        stacked = {entry: self._values[entry] for entry in inputs if entry not in fixed and entry not in tables}
        if self._blocks == 1:
            alone = {entry: value[0] for entry, value in stacked.items()}
            alone |= {entry: table[:rows] for entry, table in tables.items()}
            made = jax.lax.optimization_barrier(evaluated(equations, results, alone | fixed))
            self._values.update(zip(results, (value[None] for value in made), strict=True))
            return
        donors: dict[Var, int] = {}
        start: list[Array] = []
        dead = self._dead(now)
        for number, out in enumerate(results):
            shape, dtype = (self._blocks, *aval_of(out).shape), aval_of(out).dtype
            donor = None if out in self._apart else self._place(out, dead)
            if out in self._lengths:
                shape = (self._lengths[out], *aval_of(out).shape[1:])
            if donor is None and out in self._results:  # out of the workspace, it would be copied
                start.append(jax.lax.empty(shape, dtype))
            elif donor is None:
                self._buffers[out], buffer = self._transport.buffer(shape, dtype)
                start.append(buffer)
            else:
                donors[donor] = number
                start.append(self._values[donor])
        donors = {entry: number for entry, number in donors.items() if entry in stacked}

        def put(out: Var, whole: Array, value: Array, number: Array) -> Array:
            if out in self._lengths:
                return jax.lax.dynamic_update_slice_in_dim(whole, value, number * rows, 0)
            return jax.lax.dynamic_update_index_in_dim(whole, value, number, 0)

        def one(number: Array, filled: list[Array]) -> list[Array]:
            place = not_hoisted(number)
            given = {
                entry: jax.lax.dynamic_index_in_dim(
                    filled[donors[entry]] if entry in donors else value, place, 0, False
                )
                for entry, value in stacked.items()
            }
            given |= {entry: jax.lax.dynamic_slice_in_dim(table, place * rows, rows) for entry, table in tables.items()}
            # Read before they are written to: else XLA copies all blocks in every step.
            read = jax.lax.optimization_barrier([given[entry] for entry in donors])
            given |= dict(zip(donors, read, strict=True))
            rest, given = without_barriers(equations, given)
            made = evaluated(rest, results, given | fixed)
            return [put(out, whole, value, number) for out, whole, value in zip(results, filled, made, strict=True)]

        made = jax.lax.fori_loop(jnp.int32(0), jnp.int32(self._blocks), one, start)
        for out, value in zip(results, made, strict=True):
            (self._tables if out in self._lengths else self._values)[out] = value
            self._transport.keep(self._buffers.get(out), value)
            if self._buffers.get(out) is None and out not in self._lengths:
                self._reusable[out] = None

    def exchange(self, equation: Any, now: int) -> None:
        """Carry out an exchange, or a loop with exchanges in it, which is operation number ``now``."""
        if equation.primitive is exchange_p:
            self._values.update(zip(equation.outvars, self._exchanged(equation, now), strict=True))
            return
        kinds = [isinstance(entry, Var) and self._of_block[entry] for entry in equation.invars]
        inputs, wanted = (
            [self.read(entry) for entry in equation.invars],
            [self._of_block[out] for out in equation.outvars],
        )
        name = equation.primitive.name
        if name == "scan":
            results = self._scan(equation.params, inputs, kinds, wanted)
        elif name == "while":
            results = self._while(equation.params, inputs, kinds, wanted)
        elif name == "cond":
            results = self._cond(equation.params, inputs, kinds, wanted)
        else:
            raise InputError(f"a mesh cannot carry out '{name}' around an exchange between nodes")
        self._values.update(zip(equation.outvars, results, strict=True))
        self._reusable |= dict.fromkeys(out for out in equation.outvars if self._of_block[out])

    def _exchanged(self, equation: Any, now: int) -> list[Array]:
        """Return the results of an exchange; the same exchange is carried out once."""
        kind, shapes, options = (equation.params[name] for name in ("kind", "results", "options"))
        same = kind, shapes, options, tuple(map(id, equation.invars))
        if same in self._carried:
            return self._carried[same]
        rows, into = equation.invars[0], None
        in_place = kind == "halo" and rows in self._tables and self._lengths[rows] == shapes[0].shape[0]
        if in_place:
            inputs = [self._tables[rows], *map(self.read, equation.invars[1:])]
        else:
            inputs = list(map(self.read, equation.invars))
        kinds = [isinstance(entry, Var) and self._of_block[entry] and not in_place for entry in equation.invars]
        if kind == "columns" and (place := self._place(equation.outvars[0], self._dead(now))) is not None:
            into = self._values[place]
        made = self._transport.carry_out(kind, dict(options), shapes, inputs, kinds, run_traced, into)
        # Fused with what was moved, which depends on the devices, operations could round otherwise.
        self._carried[same] = jax.lax.optimization_barrier(made)
        # All but what stands in buffers that are needed again.
        if kind == "send" or into is not None or self._transport.workspace is None:
            self._reusable |= dict.fromkeys(out for out in equation.outvars if self._of_block[out])
        if in_place:
            self._tables[rows] = self._carried[same][0]
            self._transport.keep(self._buffers[rows], self._tables[rows])
            self._lengths[rows] = 0  # this table holds the rows of this exchange alone
        return self._carried[same]

    def _as(self, values: Sequence[Any], kinds: Sequence[bool], wanted: Sequence[bool]) -> list[Any]:
        """Return the values, those repeated for every block that are to be of blocks and are not."""
        return [
            jnp.broadcast_to(value, (self._blocks, *jnp.shape(value))) if want and not kind else value
            for value, kind, want in zip(values, kinds, wanted, strict=True)
        ]

    def _scan(self, params: Any, inputs: list[Any], kinds: list[bool], wanted: list[bool]) -> list[Any]:
        body, (n_consts, n_carry) = params["jaxpr"], scan_counts(params, inputs)
        consts, of_consts, of_carry = inputs[:n_consts], kinds[:n_consts], wanted[:n_carry]
        carry = self._as(inputs[n_consts:][:n_carry], kinds[n_consts:][:n_carry], of_carry)
        of_xs, transport = kinds[n_consts + n_carry :], self._transport.repeated(params["length"])
        xs = [jnp.moveaxis(x, 1, 0) if kind else x for x, kind in zip(inputs[n_consts + n_carry :], of_xs, strict=True)]

        reusable = [number >= n_consts for number in range(len(inputs))]

        def step(carry: list[Any], xs: list[Any]) -> tuple[list[Any], list[Any]]:
            given, flags = [*consts, *carry, *xs], [*of_consts, *of_carry, *of_xs]
            values, found = run_traced(transport, body.jaxpr, body.consts, given, (), flags, reusable)
            values = self._as(values, found, wanted)
            return values[:n_carry], values[n_carry:]

        carry, ys = jax.lax.scan(step, carry, xs, length=params["length"], reverse=params["reverse"])
        return [*carry, *(jnp.moveaxis(y, 0, 1) if kind else y for y, kind in zip(ys, wanted[n_carry:], strict=True))]

    def _while(self, params: Any, inputs: list[Any], kinds: list[bool], wanted: list[bool]) -> list[Any]:
        n_cond, n_body = params["cond_nconsts"], params["body_nconsts"]
        of_cond, of_body, start = inputs[:n_cond], inputs[n_cond:][:n_body], n_cond + n_body
        cond, body = params["cond_jaxpr"], params["body_jaxpr"]
        transport = self._transport.repeated(1)  # within the loop, whose buffers are its own

        def again(carry: list[Any]) -> Any:
            flags = [*kinds[:n_cond], *wanted]
            values, found = run_traced(transport, cond.jaxpr, cond.consts, [*of_cond, *carry], (), flags)
            if found[0]:
                raise InputError("a mesh cannot run a loop with exchanges in it that ends at some nodes before others")
            return values[0]

        def step(carry: list[Any]) -> list[Any]:
            flags = [*kinds[n_cond:start], *wanted]
            values, found = run_traced(
                transport,
                body.jaxpr,
                body.consts,
                [*of_body, *carry],
                (),
                flags,
                [number >= n_body for number in range(len(flags))],
            )
            return self._as(values, found, wanted)

        return jax.lax.while_loop(again, step, self._as(inputs[start:], kinds[start:], wanted))

    def _cond(self, params: Any, inputs: list[Any], kinds: list[bool], wanted: list[bool]) -> list[Any]:
        if kinds[0]:
            raise InputError("a mesh cannot choose by node between programs with exchanges in them")
        transport = self._transport.repeated(1)  # within the branches, whose buffers are their own

        def of(branch: Any) -> Any:
            def run(*given: Any) -> list[Any]:
                values, found = run_traced(transport, branch.jaxpr, branch.consts, given, (), kinds[1:])
                return self._as(values, found, wanted)

            return run

        return jax.lax.switch(inputs[0], [of(branch) for branch in params["branches"]], *inputs[1:])
