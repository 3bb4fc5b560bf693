"""Kept features: training on what a fixed backbone, or its fixed part, gave once."""
