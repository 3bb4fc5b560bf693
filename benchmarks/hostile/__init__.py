"""The parts of ``benchmarks/stress.py``: what it kills, mutates and feeds to hymtl, and what it counts."""
