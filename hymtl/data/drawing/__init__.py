"""How :mod:`hymtl.data.drawn` draws: strokes, the insects and plants made of them, what an insect stands on."""
