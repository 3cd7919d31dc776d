"""Exceptions and warnings: the message names the cause, the hint says how to fix it."""


class JaxGossipError(Exception):
    """Base class of all errors that jaxgossip raises deliberately.

    Args:
        message: one sentence that names the cause.
        hint: how to fix it, or empty.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InputError(JaxGossipError, ValueError):
    """The caller's input cannot be used; the command line exits with 2."""


class ArgumentTypeError(InputError, TypeError):
    """An argument has the wrong type: a graph where weights are expected, or a name in place of a function."""


class GraphError(InputError):
    """A graph is malformed, impossible or disconnected."""


class DataError(InputError):
    """A data set, or its partition over the nodes, cannot be used."""


class ConfigError(InputError):
    """A configuration names an unknown key, a wrong value or a missing file."""


class RunError(JaxGossipError, RuntimeError):
    """A run that had started could not be completed; the command line exits with 1."""


class JaxGossipWarning(UserWarning):
    """Base class of all warnings that jaxgossip issues."""


class DisconnectedGraphWarning(JaxGossipWarning):
    """The graph has more than one component, so consensus across them is impossible."""
