"""Lightning callbacks that a run cannot do without: :mod:`hymtl.experiment` adds them in code."""
