"""``python -m reparam.presets`` writes the table of models that the README shows."""

import sys

from reparam.presets.registry import markdown_table

sys.stdout.write(markdown_table() + "\n")
