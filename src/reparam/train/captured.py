"""Steps captured whole, optimizer included, as CUDA graphs: what is replayed needs no Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from reparam.model import Batch, Player
from reparam.train.optimizers import moments
from reparam.train.random import generator_states, restore_generators
from reparam.train.state import Training
from reparam.train.tally import Measured
from reparam.train.updates import Step, turns

# Of the values of two steps, relative, or in nats of a whole batch: float32 sums in another order,
# as some kernels form them, through one update of the weights.
TOLERANCE = 1e-3
TRIED = 2  # what changes between two steps outside of the device is seen in the second


class Captured:
    """A step as a graph on batches of one shape; what it returns is overwritten by the next."""

    def __init__(self, step: Step, like: Batch) -> None:
        self.batch = like.each(torch.clone)
        self.graph = torch.cuda.CUDAGraph()
        # A capture that fails leaves its stream the current one: the outer context puts it back.
        # Other threads, which may read the next batch meanwhile, are none of its business.
        capture = torch.cuda.graph(self.graph, capture_error_mode="thread_local")
        with torch.cuda.stream(torch.cuda.current_stream()), capture:
            self.measured = step(self.batch)

    def __call__(self, batch: Batch) -> Measured:
        for ours, theirs in zip(self.batch, batch, strict=True):
            if ours is not None and theirs is not None:
                ours.copy_(theirs)
        self.graph.replay()
        return self.measured


def captured(
    training: Training,
    players: Sequence[Player],
    steps: Mapping[str, Step],
    warn: Callable[[str], None],
) -> Mapping[str, Step]:
    """The steps of all players as graphs, where that can be done; else as they are.

    Two steps are made as they are and two by replaying, from the same weights and generators; both
    must have the same losses, and what they moved is put back. A model whose loss waits for the
    device, depends on what Python counts from step to step, or replaces its buffers, trains as it
    is, with the reason. What Python counts is not put back, and a change of it after these two
    steps is not seen: counters belong in buffers.
    On CPUs, on a device that is not the current one, and with several processes, nothing is
    captured.
    """
    if not _capturable(training):
        return steps
    before = _Snapshot(training)
    try:
        with _aside():
            wanted = _trial(training, players, steps)
        before.refuse_replaced()
        like = {p.name: batch for p, batch in turns(training.read, training.step, players)}
        graphs = {name: Captured(step, like[name]) for name, step in steps.items()}
        before.put_back()
        replayed = _trial(training, players, graphs)
        if not all(map(_near, replayed, wanted)):
            raise ValueError("replayed, its losses are others")
    except Exception as error:  # of any kind: CUDA's, or the model's own, raised again as it is
        _renew_generator(training.device)
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        warn(f"a step cannot be captured, and runs as it is: {type(error).__name__}: {reason}")
        return steps
    finally:
        before.put_back()
    return graphs


def _capturable(training: Training) -> bool:
    if training.device.type != "cuda" or training.ranks.size > 1:
        return False
    # Streams and captures are those of the current device.
    return training.device.index in (None, torch.cuda.current_device())


def _renew_generator(device: torch.device) -> None:
    """After a capture that failed the default generator still counts for a graph: give it a state
    of its own, whose numbers are then put back.
    """
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].graphsafe_set_state(torch.Generator(device))


@contextmanager
def _aside() -> Iterator[None]:
    """On a stream of its own, where libraries prepare what a capture must find prepared."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        yield
    torch.cuda.current_stream().wait_stream(aside)


def _trial(
    training: Training, players: Sequence[Player], steps: Mapping[str, Step]
) -> list[Tensor]:
    """The objective and the terms of the steps that come next."""
    found = []
    for step in range(training.step, training.step + TRIED):
        for player, batch in turns(training.read, step, players):
            values = steps[player.name](batch).values.clone()
            found.append(values[[0, *range(2, len(values))]])  # the gradients' sum cancels
    return found


def _near(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)


class _Snapshot:
    """Weights, buffers, what optimizers remember, and generators, all by name."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.places = {name: tensor.data_ptr() for name, tensor in self._of_model()}
        self.copies = {key: t.detach().clone() for key, t in (*self._of_model(), *self._moments())}
        self.generators = generator_states(training.device)

    def _of_model(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.training.model.named_parameters()
        yield from self.training.model.named_buffers()

    def _moments(self) -> Iterator[tuple[tuple[str, int, str], Tensor]]:
        for player, optimizer in self.training.optimizers.items():
            for place, slots in moments(optimizer, self.training.weights[player]).items():
                yield from (((player, place, name), slot) for name, slot in slots.items())

    def refuse_replaced(self) -> None:
        """ValueError where a step made another tensor of one that the graph would go on reading."""
        for name, tensor in self._of_model():
            if tensor.data_ptr() != self.places[name]:
                raise ValueError(f"{name} is replaced in a step; change it in place, as by copy_")

    @torch.no_grad()
    def put_back(self) -> None:
        """What an optimizer remembers since is that of none: zeros."""
        for name, tensor in self._of_model():
            tensor.copy_(self.copies[name])
        for key, slot in self._moments():
            slot.copy_(self.copies[key]) if key in self.copies else slot.zero_()
        for parameter in self.training.model.parameters():
            parameter.grad = None
        restore_generators(self.generators, self.training.device)
