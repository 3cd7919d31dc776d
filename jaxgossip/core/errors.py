"""Exceptions and warnings: the message names the cause, the hint says how to fix it."""


class JaxGossipError(Exception):
    """Base class of jaxgossip's own errors.

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
    """An argument is missing, unknown or of the wrong type, such as a graph where weights are expected."""


class GraphError(InputError):
    """A graph, or the weights or mixing on it, cannot be used.

    It is malformed, impossible, disconnected, unsuitable for the method, or too large for the free memory; or its
    eigenvalues do not converge.
    """


class DataError(InputError):
    """A data set, its partition over the nodes, or the parameters of a problem cannot be used."""


class ConfigError(InputError):
    """A configuration, name, file or run folder cannot be used.

    There is an unknown key or name, a wrong value, a missing or damaged file, or a folder in use.
    """


class RunError(JaxGossipError, RuntimeError):
    """A run that had started could not be completed; the command line exits with 1."""


class JaxGossipWarning(UserWarning):
    """Base class of jaxgossip's own warnings."""


class DisconnectedGraphWarning(JaxGossipWarning):
    """The graph has more than one component, so consensus across them is impossible."""
