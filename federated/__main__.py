"""``python -m federated`` is the command ``consilium``."""

import sys

from federated.commands.main import main

sys.exit(main())
