"""`python -m ddpg` is `ddpg`."""

import sys

from ddpg.cli import main

sys.exit(main())
