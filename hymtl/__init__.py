"""hymtl: what finetuning, freezing and int8 quantization each buy and cost, measured on your pictures."""

__version__ = "0.1.0"
