"""The events engine: a schedule cut into stretches, levelled into waves, executed in batches."""
