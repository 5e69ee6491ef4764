"""The processes of one run, as ``torchrun`` starts them: their rows, and sums over all."""

from __future__ import annotations

import atexit
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, distributed, nn

from reparam.model import Loss


class Ranks:
    """This process among those that train one model together; alone unless torchrun started it.

    Every process holds all weights and takes its share of the rows of every batch. Gradients are
    summed in one message after the backward pass: at the size of these models nothing is gained by
    sending them earlier, and models with several players or unused weights need no special case.

    >>> alone = Ranks()
    >>> alone.size, alone.share(5)
    (1, slice(0, 5, None))
    """

    def __init__(self) -> None:
        self.rank, self.size = 0, 1
        if not distributed.is_available():
            return
        if not distributed.is_initialized() and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            _join()
        if distributed.is_initialized():
            self.rank, self.size = distributed.get_rank(), distributed.get_world_size()

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def share(self, n: int) -> slice:
        """This process's part of n rows; the parts differ by at most one row."""
        edges = [n * rank // self.size for rank in (self.rank, self.rank + 1)]
        return slice(*edges)

    def seed(self, *key: int) -> int:
        """The seed of this process's noise: the run's own for the first, others for the others."""
        if self.first:
            return key[0]
        return int(np.random.SeedSequence((*key, self.rank)).generate_state(1)[0])

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """Refuse in every process what one of them refuses inside, so that none waits for it.

        Raises:
            ValueError: its own, where this process refused; else that another one did.
        """
        try:
            yield
        except ValueError:
            self.largest(1.0)
            raise
        if self.largest(0.0) != [0.0]:
            raise ValueError("torchrun: another process of this run cannot start; it says why")

    def require_same(self, parts: Mapping[str, object]) -> None:
        """Refuse, in every process, what the processes do not have alike.

        Args:
            parts: what must be the same, by the names that the message gives; its ``repr`` counts.

        Raises:
            ValueError: which parts differ.
        """
        if self.size == 1:
            return
        digests = [hashlib.sha256(repr(part).encode()).digest() for part in parts.values()]
        everyone = self.gather(torch.tensor([list(digest) for digest in digests]))
        differ = torch.stack([other != everyone[0] for other in everyone]).any(2).any(0)
        names = [name for name, other in zip(parts, differ.tolist(), strict=True) if other]
        if names:
            raise ValueError(
                f"torchrun: the processes of this run differ in {', '.join(names)}; give every one "
                "the same command, data and folder"
            )

    @torch.no_grad()
    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over the processes, in one message for each type."""
        if self.size == 1:
            return
        by_type: dict[torch.dtype, list[Tensor]] = {}
        for tensor in tensors:
            by_type.setdefault(tensor.dtype, []).append(tensor)
        for group in by_type.values():
            flat = torch.cat([tensor.flatten() for tensor in group])
            distributed.all_reduce(flat)
            for tensor, values in zip(group, flat.split([t.numel() for t in group]), strict=True):
                tensor.copy_(values.view_as(tensor))

    @torch.no_grad()
    def combine(self, loss: Loss, parameters: Sequence[nn.Parameter], weight: float) -> Loss:
        """The loss and the gradients of the whole batch, from those of its parts.

        Args:
            loss: of this process's rows.
            parameters: whose gradients are to become those of the whole batch.
            weight: this process's share of the rows.

        Returns:
            The objective and statistics of the whole batch, and of each term one row, its mean.
        """
        if self.size == 1:
            return loss
        gradients = [p.grad for p in parameters if p.grad is not None]
        torch._foreach_mul_(gradients, weight)
        objective = loss.objective * weight
        terms = {name: term.mean(0, keepdim=True) * weight for name, term in loss.terms.items()}
        statistics = {name: value.clone() for name, value in loss.statistics.items()}
        self.add_up([*gradients, objective, *terms.values(), *statistics.values()])
        return Loss(objective, terms, statistics)

    def broadcast(self, model: nn.Module) -> None:
        """Give every process the first one's weights and buffers."""
        if self.size > 1:
            sent = {name: v.contiguous() for name, v in model.state_dict().items()}
            for value in sent.values():
                distributed.broadcast(value, 0)
            model.load_state_dict(sent)  # which tells modules that their buffers have changed

    def largest(self, *values: float) -> list[float]:
        """The largest of each number over the processes: one clock, one wish to stop."""
        if self.size == 1:
            return list(values)
        together = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(together, distributed.ReduceOp.MAX)
        return together.tolist()

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensors of all processes, on the CPU; they have one shape and type."""
        if self.size == 1:
            return [tensor]
        tensors = [torch.empty_like(tensor) for _ in range(self.size)]
        distributed.all_gather(tensors, tensor)
        return tensors


def _join() -> None:
    """Meet the other processes where torchrun's environment says."""
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        distributed.init_process_group("cpu:gloo,cuda:nccl")
    else:
        distributed.init_process_group("gloo")
    atexit.register(_part)


def _part() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()
