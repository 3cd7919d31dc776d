"""The configuration: TOML in, checked, resolved, described."""
