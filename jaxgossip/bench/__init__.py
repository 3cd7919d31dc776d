"""How fast jaxgossip is on this machine, in copies of the state: timing, cases, references, table and chart."""
