"""What a computation takes of the memory, and what there is."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from openretina_widgets.memory import free_memory

_ON_THE_CPU = ("can't allocate memory", "not enough memory")  # torch has no class for it


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether torch says that the main memory did not suffice."""
    return any(words in str(error) for words in _ON_THE_CPU)


def free_on(device: torch.device) -> float:
    """Return the free bytes of the memory in which the device computes."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return free_memory()


class _CudaMeter:
    """Peak of the memory that torch allocates on a CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.peak = 0

    def __enter__(self) -> _CudaMeter:
        torch.cuda.reset_peak_memory_stats(self._device)
        self._before = torch.cuda.memory_allocated(self._device)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.peak = torch.cuda.max_memory_allocated(self._device) - self._before


class _OperationMeter(TorchDispatchMode):
    """Bytes of what the largest operation reads and writes, times two for what else is alive.

    torch does not tell the peak of its memory on the CPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self._largest = 0

    @property
    def peak(self) -> int:
        return 2 * self._largest

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._weigh(func, args, kwargs or {})

    def _weigh(self, func: Any, args: Any, kwargs: Any) -> Any:
        out = func(*args, **kwargs)
        held = {
            tensor.untyped_storage().data_ptr(): bytes_of(tensor)
            for tensor in tree_leaves((args, kwargs, out))
            if isinstance(tensor, torch.Tensor)
        }
        self._largest = max(self._largest, sum(held.values()))
        return out


class _LeanOperationMeter(_OperationMeter):
    """The same where torch's compiler is not in use.

    torch keeps its compiler from compiling `__torch_dispatch__`, and imports it to do so: 800
    modules, a second, and some 75 MB of every student's kernel. Where nobody has imported it there
    is nothing to keep off.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._weigh(func, args, kwargs or {})


def meter(device: torch.device) -> Any:
    """Return a context that measures; its ``peak`` is in bytes."""
    if device.type == "cuda":
        return _CudaMeter(device)
    return _OperationMeter() if "torch._dynamo" in sys.modules else _LeanOperationMeter()


def bytes_of(tensor: torch.Tensor) -> int:
    """Return the bytes of a tensor's values."""
    return tensor.numel() * tensor.element_size()


class KeptBytes:
    """Counts what a forward pass keeps for the backward pass."""

    def __init__(self) -> None:
        self.total = 0
        self._seen: set[int] = set()
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._keep, lambda kept: kept)

    def _keep(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.total += storage.nbytes()
        return tensor

    def __enter__(self) -> KeptBytes:
        self._hooks.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._hooks.__exit__(*exc_info)
