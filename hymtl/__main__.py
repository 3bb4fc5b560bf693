"""`python -m hymtl`, the same as the command `hymtl`."""

import sys

from hymtl.cli import main

sys.exit(main())
