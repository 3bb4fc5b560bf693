"""The local page of a run, and its JSON: drop a picture, see what the network says. Nothing is written to disk."""
