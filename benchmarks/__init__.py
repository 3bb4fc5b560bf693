"""Where the figures of docs/ come from. Nothing here is installed: run it from the repository's root."""
