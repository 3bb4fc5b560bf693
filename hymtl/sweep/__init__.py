"""Sweeps: each job skipped, resumed or run, failures kept apart, and a comparison at the end."""
