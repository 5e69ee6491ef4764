"""The curves of a run for TensorBoard, as they come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reparam.train.history import Row


def tensorboard_writer(folder: Path, step: int) -> Callable[[Row], None]:
    """A function that writes a row of the curves below ``folder``; later steps are dropped first.

    Raises:
        ValueError: the extra ``tensorboard`` is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError(
            "tensorboard: is not installed; pip install 'reparam[tensorboard]'"
        ) from error
    writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def write(row: Row) -> None:
        for name, value in row.items():
            writer.add_scalar(name, value, int(row["step"]))
        writer.flush()

    return write
