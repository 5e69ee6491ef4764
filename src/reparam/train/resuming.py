"""Where a resumed run goes on."""

from __future__ import annotations

from pathlib import Path

from reparam.train.folder import END_FILE, STATE_FILE, RunFolder, State
from reparam.train.state import Training


def put_back(training: Training, folder: RunFolder) -> bool:
    """Take the run up where it goes on; whether it has a checkpoint.

    That is its last one, or the end of an earlier descent where that has steps to make now: what
    followed it depends on its weights, and is done again.
    """
    last = folder.state()
    if last is None:
        return False
    for stage in range(min(last[1]["stage"], len(training.model.stages))):
        end = folder.end(stage)
        if end is not None:
            _restore(training, folder.path / END_FILE.format(stage), end)
            if not training.ended:
                return True
    _restore(training, folder.path / STATE_FILE, last)
    return True


def _restore(training: Training, file: Path, state: State) -> None:
    try:
        training.restore(*state)
    except (LookupError, TypeError, ValueError, RuntimeError, AssertionError) as error:
        name = f"{type(error).__name__}: " if isinstance(error, LookupError) else ""
        reason = " ".join(f"{name}{error}".split())
        raise ValueError(
            f"{file}: not a state of this run, or a damaged one, or one of a version that built "
            f"the model otherwise: {reason}"
        ) from error
