"""The errors that jaxgossip raises on purpose, under their public names."""

from jaxgossip.core.errors import (
    ArgumentTypeError,
    ConfigError,
    DataError,
    DisconnectedGraphWarning,
    GraphError,
    InputError,
    JaxGossipError,
    JaxGossipWarning,
    RunError,
)

__all__ = [
    "ArgumentTypeError",
    "ConfigError",
    "DataError",
    "DisconnectedGraphWarning",
    "GraphError",
    "InputError",
    "JaxGossipError",
    "JaxGossipWarning",
    "RunError",
]
