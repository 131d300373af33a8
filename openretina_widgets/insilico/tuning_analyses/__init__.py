"""Tuning analyses: sweeps over conditions, indices and fits."""
