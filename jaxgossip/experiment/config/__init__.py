"""The configuration: reading TOML, checking, resolving and describing it."""
