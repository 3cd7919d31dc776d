"""Methods without the bias that heterogeneous data cause, of local steps, coins and flows."""
