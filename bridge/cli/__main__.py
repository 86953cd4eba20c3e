"""`python -m bridge.cli` is `bridge`, for whoever has no script on the path."""

import sys

from bridge.cli import main

sys.exit(main())
