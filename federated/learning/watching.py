"""One training pass over random images, watched: what of a network its images change or scale.

Types tell most (``federated.exchange.norms``). What they cannot tell is seen here: tensors handed
to a batch or instance norm that is called by hand, whatever computed them from the network's own;
a scale right after a norm that has none; and whatever changes without a gradient.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from federated.exchange.norms import Watched, norms_of, tensors_of
from federated.seeding import global_python_seed

ARITHMETIC = ("add", "sub", "mul", "div", "addcmul", "clone", "_to_copy")
"""What may stand between a norm without a scale and a scale of the network's own."""
FOR_STATISTICS = ("running_mean", "running_var")
FOR_AFFINE = ("weight", "bias")


class NormWatcher(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the network's own tensors, through whatever is computed of them alone, into norms.

    Args:
        tensors: The network's state; memory is followed, so views and ties are seen through.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.affine: set[str] = set()
        self.statistics: set[str] = set()
        self._sources: dict[int, frozenset[str]] = {}
        for name, tensor in tensors.items():
            key = _memory(tensor)
            self._sources[key] = self._sources.get(key, frozenset()) | {name}
        self._of_network = set(self._sources)
        self._unscaled: dict[int, int] = {}  # outputs of norms without a scale: their channels
        self._held: list[Tensor] = []  # no address is used twice while it is followed

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: torch would import its compiler, two seconds, to leave this class alone."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run an operation, and note what it did."""
        result = func(*args, **(kwargs or {}))
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        made = [value for value in tree_leaves(result) if isinstance(value, Tensor)]
        self._held += made
        name = func._schema.name.removeprefix("aten::").rstrip("_")
        if "batch_norm" in name and "backward" not in name:
            self._note_norm(_arguments(func, args, kwargs or {}), made[0])
        elif name in ARITHMETIC:
            self._note_scale(given, made)
        self._follow(given, made)
        return result

    def _note_norm(self, arguments: Mapping[str, Any], normalised: Tensor) -> None:
        scale = self._names(arguments.get(key) for key in FOR_AFFINE)
        self.affine |= scale
        self.statistics |= self._names(arguments.get(key) for key in FOR_STATISTICS)
        if not scale:
            self._unscaled[_memory(normalised)] = normalised.shape[1]

    def _note_scale(self, given: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        channels = [self._unscaled[_memory(t)] for t in given if _memory(t) in self._unscaled]
        others = [tensor for tensor in given if _memory(tensor) not in self._unscaled]
        if not channels or not all(_memory(tensor) in self._sources for tensor in others):
            return
        # An instance norm has the channels of both images, one beside the other.
        scales = [t for t in others if t.numel() and channels[0] % t.numel() == 0]
        self.affine |= self._names(scales)
        self._unscaled.update({_memory(tensor): channels[0] for tensor in made})

    def _follow(self, given: Sequence[Tensor], made: Sequence[Tensor]) -> None:
        is_of_network = all(_memory(tensor) in self._sources for tensor in given)
        names = self._names(given)
        for key in {_memory(tensor) for tensor in made} - self._of_network:
            if is_of_network:
                self._sources[key] = names
            else:
                self._sources.pop(key, None)

    def _names(self, tensors: Iterable[Tensor | None]) -> frozenset[str]:
        found = (self._sources.get(_memory(t), frozenset()) for t in tensors if t is not None)
        return frozenset[str]().union(*found)


def _memory(tensor: Tensor) -> int:
    """Return what identifies the memory behind a tensor as long as it lives."""
    return int(tensor.untyped_storage()._cdata)


def _arguments(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    names = [argument.name for argument in func._schema.arguments]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def watch(make: Callable[[], nn.Module], image_size: int) -> Watched:
    """Return what a training pass shows of a network.

    Args:
        make: Returns the network, a new one at each call, with the same weights.
        image_size: Side of its square input in pixels.
    """
    model = make()
    before = _without_gradient(model)
    watcher = NormWatcher(tensors_of(model))
    training_pass(model, image_size, 0, watcher)
    after = _without_gradient(model)
    changed = _differing(before, after)
    watched = Watched(frozenset(watcher.affine), frozenset(watcher.statistics), changed)
    known = norms_of(model).statistics | watched.statistics | watched.affine
    by_data = frozenset[str]()
    if changed - known:
        other = make()
        training_pass(other, image_size, 1)
        by_data = (_differing(after, _without_gradient(other)) & changed) - known
    state = tensors_of(model).items()
    not_finite = frozenset(name for name, tensor in state if not tensor.isfinite().all())
    return Watched(watched.affine, watched.statistics, changed, by_data, not_finite)


def training_pass(
    model: nn.Module, image_size: int, images: int, watcher: NormWatcher | None = None
) -> Any:
    """Return what a network returns for two random images in training mode.

    Args:
        model: The network.
        image_size: Side of its square input in pixels.
        images: Which images: a seed. What layers draw is the same for all.
        watcher: Sees the operations.
    """
    generator = torch.Generator().manual_seed(images)
    x = torch.randn(2, 3, image_size, image_size, generator=generator)
    with global_python_seed(0), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model.train()
        if watcher is None:
            return model(x)
        with watcher:
            return model(x)


def _without_gradient(model: nn.Module) -> dict[str, Tensor]:
    state = tensors_of(model).items()
    return {name: tensor.detach().clone() for name, tensor in state if not tensor.requires_grad}


def _differing(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> frozenset[str]:
    return frozenset(name for name, tensor in b.items() if not same_bits(a.get(name), tensor))


def same_bits(a: Tensor | None, b: Tensor) -> bool:
    """Return whether two tensors are equal, a NaN being equal to itself."""
    if a is None or a.shape != b.shape or a.dtype != b.dtype:
        return False
    first, second = (t.detach().contiguous().reshape(-1).view(torch.uint8) for t in (a, b))
    return torch.equal(first, second)
