"""Experiments: configurations, runs and sweeps, run folders, reports and figures."""
