"""Many runs of one configuration: variants, and grids of keys and seeds."""
