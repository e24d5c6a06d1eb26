"""``python -m hpcsim``: the same as the ``hpcsim`` command."""

import sys

from hpcsim.cli.main import main

sys.exit(main())
