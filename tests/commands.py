"""Commands run in this process, where no fixture of a single test can."""

from __future__ import annotations

import sys

import pytest

from reparam.cli.main import main


def succeed(*words: object) -> None:
    """Run a command that has to succeed."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as exit_:
        patch.setattr(sys, "argv", ["reparam", *map(str, words)])
        main()
    assert not exit_.value.code, words
