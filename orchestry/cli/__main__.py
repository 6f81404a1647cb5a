"""`python -m orchestry.cli`."""

import sys

from orchestry.cli import main

sys.exit(main())
