"""The events engine: a schedule is cut into segments, sorted into conflict-free waves, and executed in batches."""
