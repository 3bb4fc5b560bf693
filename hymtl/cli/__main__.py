"""`python -m hymtl.cli`."""

import sys

from hymtl.cli import main

sys.exit(main())
