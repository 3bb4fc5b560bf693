"""Data: pictures found, downloaded or drawn, split, and made into batches. Nothing here knows a network."""
