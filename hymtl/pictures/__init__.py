"""A run's pictures: what is drawn of it, as PNG files and in TensorBoard."""
