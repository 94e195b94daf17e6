"""The processes of a run that `torchrun` starts: sums over all of them in a fixed order, and what the first one says."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from zeuxis.errors import ZeuxisError
from zeuxis.runtime import launch
from zeuxis.runtime.launcher_store import LONGEST_WAIT, kept_by_launcher, kept_store, store_key
from zeuxis.runtime.pulse import Pulse
from zeuxis.runtime.tree_sums import tree_sum

_MOST_AXES = 8  # of a tensor whose rows are joined
_TURN = 0.5  # seconds by which process 0 is the first to say what all have to say

_Tensors = Mapping[str, Mapping[str, Tensor]]


class LostRankError(ZeuxisError):
    """Another process of the run has ended, or has stopped to answer."""


@dataclass(frozen=True)
class Ranks:
    """The processes of a run: this one is number `rank` of `size`. A run of one process needs no others."""

    rank: int = 0
    size: int = 1
    by_host: bool = field(default=False, repr=False)  # whether tensors go through the memory of the host

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def mine(self, micro_batches: int) -> range:
        """The micro-batches that this process plays: neighbours, so that it reads one stretch of the data."""
        share = micro_batches // self.size
        return range(self.rank * share, (self.rank + 1) * share)

    def share(self, count: int) -> range:
        """Which of `count` pieces of work this process does: neighbours, as many as any other, or one more or less."""
        return range(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def total(self, tensors: Sequence[Tensor]) -> None:
        """Make each tensor the sum over all processes (in place), the same bits on each of them: a message for each format."""
        wide = [
            tensor for tensor in tensors if tensor.dtype == torch.float64
        ]  # else the others' sums would be rounded twice
        for each in (wide, [tensor for tensor in tensors if tensor.dtype != torch.float64]):
            if self.size > 1 and each:
                self._total(each)

    def _total(self, tensors: Sequence[Tensor]) -> None:
        parts = [t.detach().reshape(-1).to(torch.promote_types(t.dtype, torch.float32)) for t in tensors]
        sizes = [len(part) for part in parts]
        sizes.append(-sum(sizes) % self.size)  # so that each process has as much to add
        flat = torch.cat([*parts, parts[0].new_zeros(sizes[-1])])
        flat = flat.cpu() if self.by_host else flat
        with _answering():
            self._sum_up(flat)
        for tensor, part in zip(tensors, torch.split(flat, sizes)):
            tensor.copy_(part.view(tensor.shape))

    def _sum_up(self, flat: Tensor) -> None:
        """A reduce-scatter and an all-gather: the order of additions in `all_reduce` is not the same for every size."""
        shares = flat.view(self.size, -1)
        received = torch.empty_like(shares)
        if not self.by_host:
            dist.all_to_all_single(received.view(-1), flat)
            _all_gather(flat, tree_sum(list(received.unbind())))
            return
        self._swap(shares.unbind(), received.unbind())
        own = tree_sum([(shares if rank == self.rank else received)[rank] for rank in range(self.size)])
        self._swap([own] * self.size, shares.unbind())
        shares[self.rank].copy_(own)

    def _swap(self, given: Sequence[Tensor], taken: Sequence[Tensor]) -> None:
        """Give each other process a part, and take one: on the host a third of the processor time of the collectives."""
        others = [rank for rank in range(self.size) if rank != self.rank]
        tasks = [dist.P2POp(dist.isend, given[rank], rank) for rank in others]
        for task in dist.batch_isend_irecv(tasks + [dist.P2POp(dist.irecv, taken[rank], rank) for rank in others]):
            task.wait()

    def most(self, tensors: Sequence[Tensor]) -> None:
        """Make each tensor (bool or integers) the largest over all processes, in place: one message."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().reshape(-1).to(torch.int64) for tensor in tensors])
        flat = flat.cpu() if self.by_host else flat
        with _answering():
            dist.all_reduce(flat, dist.ReduceOp.MAX)
        for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors])):
            tensor.copy_(part.view(tensor.shape))

    def assemble(self, rows: Tensor, own: slice) -> None:
        """Give each process all rows (n ...) of a tensor, of which it has its `own`; the bits are kept."""
        if self.size == 1 or not rows.numel():
            return
        there = torch.zeros_like(rows, device="cpu" if self.by_host else rows.device).contiguous()
        there[own] = rows[own].to(there.device)
        with _answering():
            dist.all_reduce(there.view(torch.uint8))  # bytes: whatever the type, what is added are zeros
        rows.copy_(there)

    def joined(self, own: Tensor, count: int, start: int) -> Tensor:
        """All rows (count ...) of a tensor on the host, of which this process has some, from `start` on; perhaps none."""
        if self.size == 1:
            return own
        sides = self.exchange([*own.shape[1:], *[0] * (_MOST_AXES - own.ndim)])  # zeros of who has no rows
        whole = own.new_zeros(count, *(int(side) for side in max(sides) if side))
        mine = slice(start, start + len(own))
        if len(own):
            whole[mine] = own
        self.assemble(whole, mine)
        return whole

    @contextlib.contextmanager
    def one_then_the_others(self) -> Iterator[None]:
        """The block is done by process 0 before the others, who find what it made in the cache."""
        if not self.first:
            self.exchange([0.0])
        yield
        if self.first:
            self.exchange([0.0])

    def exchange(self, numbers: Sequence[float]) -> list[list[float]]:
        """The numbers of every process, by rank; on the host, so that no device is waited for."""
        if self.size == 1:
            return [list(numbers)]
        found = torch.empty(self.size * len(numbers), dtype=torch.float64)
        with _answering():
            _all_gather(found, torch.tensor(numbers, dtype=torch.float64))
        return found.view(self.size, -1).tolist()

    def every(self, part: Tensor) -> list[Tensor]:
        """The tensor of each process, all of one shape, by rank; on the host where they go through it."""
        if self.size == 1:
            return [part]
        sent = (part.cpu() if self.by_host else part).reshape(-1)
        found = sent.new_empty(self.size * len(sent))
        with _answering():
            _all_gather(found, sent)
        return list(found.view(self.size, *part.shape).unbind())

    def told(self, value: Any = None) -> Any:
        """What process 0 says: plain values, as JSON has them."""
        if self.size == 1:
            return value
        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        length = torch.tensor([len(text)])
        with _answering():
            dist.broadcast(length, 0)
            text = text if self.first else torch.empty(int(length), dtype=torch.uint8)
            dist.broadcast(text, 0)
        return json.loads(text.numpy().tobytes())

    def shared(self, tensors: _Tensors | None = None) -> _Tensors:
        """The tensors of process 0, in named groups, on the host."""
        if self.size == 1:
            assert tensors is not None
            return tensors
        groups = tensors or {}
        layout = self.told([[group, name, str(value.dtype)[6:], list(value.shape)]
                            for group, values in groups.items() for name, value in values.items()])  # fmt: skip
        names = self.told(list(groups))
        found: dict[str, dict[str, Tensor]] = {group: {} for group in names}
        for group, name, kind, shape in layout:
            value = torch.empty(shape, dtype=getattr(torch, kind))
            if self.first:
                value = groups[group][name].detach().cpu().contiguous()
            if value.numel():
                with _answering():
                    dist.broadcast(value.reshape(-1).view(torch.uint8), 0)
            found[group][name] = value
        return found


ALONE = Ranks()


def _all_gather(output: Tensor, own: Tensor) -> None:
    """Gather equal parts of all processes into one tensor; torch has renamed the call."""
    call = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
    call(output, own)


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    """What torch raises where another process has gone, in our words."""
    try:
        yield
    except RuntimeError as error:
        raise LostRankError(
            "another process of the run has ended; see its message, or the launcher's report"
        ) from error


@contextlib.contextmanager
def processes() -> Iterator[Ranks]:
    """The processes that `torchrun` started, joined; this one alone without it. What all have to say is said once."""
    ranks = _joined() if launch.world_size() > 1 else ALONE
    try:
        yield ranks
    except ZeuxisError as error:
        lost = isinstance(error, LostRankError) and not ranks.first
        if ranks.size > 1 and (lost or not _first_to_say(str(error), ranks)):
            raise SystemExit(error.exit_code) from None
        raise


@functools.lru_cache(maxsize=1)
def _joined() -> Ranks:
    """The process group that the environment describes, with a heartbeat."""
    cuda = torch.cuda.is_available() and launch.local_size() <= torch.cuda.device_count()
    use_own_gpu()
    with _answering():
        if not dist.is_initialized():
            _init("cpu:gloo,cuda:nccl" if cuda else "gloo")
        ranks = Ranks(launch.rank(), launch.world_size(), by_host=not cuda)
        pulse = Pulse(kept_store(f"attempt-{launch.restarts()}"), ranks.rank, ranks.size)
        ranks.exchange([0.0])  # all have a pulse
    pulse.start()
    atexit.register(pulse.end)
    return ranks


def _init(backend: str) -> None:
    """Join torch's process group; in a store of this attempt alone, as one before has left its addresses in the launcher's."""
    if not kept_by_launcher():
        dist.init_process_group(backend, timeout=LONGEST_WAIT)
        return
    store = kept_store(f"attempt-{launch.restarts()}")
    dist.init_process_group(
        backend, timeout=LONGEST_WAIT, store=store, rank=launch.rank(), world_size=launch.world_size()
    )


def use_own_gpu() -> None:
    """Make the GPU of this process the one that `cuda` stands for: each process of a machine has another."""
    if launch.world_size() > 1 and torch.cuda.is_available():
        torch.cuda.set_device(launch.local_rank() % torch.cuda.device_count())


def _first_to_say(message: str, ranks: Ranks) -> bool:
    """Whether no other process has said this; process 0 goes first."""
    if not ranks.first:
        time.sleep(_TURN)
    try:
        store = kept_store(f"attempt-{launch.restarts()}")
        said = store.compare_set(f"said/{store_key(message)}", "", str(ranks.rank))
    except RuntimeError:  # the launcher has gone
        return ranks.first
    return bool(said.decode() == str(ranks.rank))
