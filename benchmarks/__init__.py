"""Where the figures in README come from. Nothing here is installed: run it from the repository's root."""
