"""`python -m ultrafm` is the command `ultrafm`."""

from ultrafm.cli import main

raise SystemExit(main())
