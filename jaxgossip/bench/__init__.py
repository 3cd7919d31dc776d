"""Benchmarks of jaxgossip in units of a copy of the state: timing, cases, references, table and chart."""
