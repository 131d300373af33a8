"""Stimuli: builders and readers."""
