"""``python -m reparam``."""

from reparam.cli.main import main

main()
