"""What goes wrong, said once: every message names the culprit, every hint the way out."""


class JaxGossipError(Exception):
    """Base of all errors that jaxgossip raises on purpose.

    Args:
        message: one sentence that names the culprit.
        hint: the way out, or empty.
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
    """An argument is not the kind of thing that belongs in its place: a graph where weights do, a name for a function."""


class GraphError(InputError):
    """A graph is malformed, impossible or disconnected."""


class DataError(InputError):
    """A data set or its partition over nodes is unusable."""


class ConfigError(InputError):
    """A configuration names an unknown key, a wrong value or a missing file."""


class RunError(JaxGossipError, RuntimeError):
    """A run that started could not be carried through; the command line exits with 1."""


class JaxGossipWarning(UserWarning):
    """Base of all warnings of jaxgossip."""


class DisconnectedGraphWarning(JaxGossipWarning):
    """The graph has more than one component: no consensus across them is possible."""
