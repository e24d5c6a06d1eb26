"""The command line with other arguments or environment on one rank (F-27): RANK NAME=VALUE... -- ARG... -- ARG..."""

from __future__ import annotations

import os
import sys

odd = os.environ["OMPI_COMM_WORLD_RANK"] == sys.argv[1]
first = sys.argv.index("--")
second = sys.argv.index("--", first + 1)
if odd:
    os.environ.update(setting.split("=", 1) for setting in sys.argv[2:first])
sys.argv[1:] = sys.argv[second + 1 :] if odd else sys.argv[first + 1 : second]

from hpcsim.cli.main import main  # noqa: E402

sys.exit(main())
