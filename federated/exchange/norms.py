"""Which tensors of a network belong to its normalisation: by type, by watching it, by identity.

A tensor is judged by the *type of the module that owns it*, never by its name: names such as
``downsample.1`` or ``denseblock3.norm2`` hide a batch norm, and ``bn10`` starts with ``bn1``.
What types cannot tell, such as ``F.batch_norm`` called by hand, a training pass shows
(``federated.learning.watching``); the same memory under two names is one tensor.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

STATISTICS = {"running_mean", "running_var", "num_batches_tracked"}
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
Names = frozenset[str]
NONE: Names = frozenset()


@dataclass(frozen=True)
class Watched:
    """What a training pass shows of a network, as names of tensors in its state.

    Attributes:
        affine: Scale or shift of a batch or instance norm that was called.
        statistics: Handed to such a call as running statistics.
        changed: Without gradient, and yet other than before the pass.
        by_data: Those of ``changed`` whose new value depends on the images.
        not_finite: Not finite after the pass.
    """

    affine: Names = NONE
    statistics: Names = NONE
    changed: Names = NONE
    by_data: Names = NONE
    not_finite: Names = NONE


UNWATCHED = Watched()


@dataclass(frozen=True)
class Norms:
    """Names of the tensors that a network normalises with."""

    affine: Names
    statistics: Names


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of ``model.state_dict()`` themselves, not detached."""
    state = model.state_dict(keep_vars=True)
    return {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}


def holds_statistics(module: nn.Module) -> bool:
    """Return whether a module normalises with statistics of the data it has seen.

    True of every torch batch norm (1d, 2d, 3d, sync, lazy) and instance norm, and of any other
    module that owns ``running_mean`` and ``running_var`` (frozen and in-place variants).
    Group and layer norm keep no statistics and are shared like convolutions.
    """
    tensors = {name for name, _ in _own_tensors(module)}
    return isinstance(module, _NormBase) or {"running_mean", "running_var"} <= tensors


def _own_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_buffers(recurse=False)
    yield from module.named_parameters(recurse=False)


def subtree(module: nn.Module, path: str, *, whole: bool) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors at and below a normalising module, such as those of a parametrisation.

    Of a module that is none of torch's norms, layers of torch's that it may hold, such as a
    convolution, are not part of the normalisation (``whole`` is False).
    """
    for name, tensor in _own_tensors(module):
        yield f"{path}{name}", tensor
    for name, child in module.named_children():
        is_layer = type(child).__module__.startswith("torch.nn.modules")
        if whole or isinstance(child, CONTAINERS) or not is_layer:
            yield from subtree(child, f"{path}{name}.", whole=whole)


def norms_of(model: nn.Module, watched: Watched = UNWATCHED) -> Norms:
    """Return the tensors of all batch norms in ``model.state_dict()``, and all that behave so.

    Args:
        model: Any network.
        watched: What a training pass showed; what it changed without a gradient is a statistic.
    """
    affine: set[str] = set(watched.affine)
    statistics: set[str] = set()
    for path, module in model.named_modules(remove_duplicate=False):
        if holds_statistics(module):
            prefix = f"{path}." if path else ""
            for name, tensor in subtree(module, prefix, whole=isinstance(module, _NormBase)):
                is_affine = isinstance(tensor, nn.Parameter)
                is_affine &= name.rpartition(".")[2] not in STATISTICS
                (affine if is_affine else statistics).add(name)
    statistics |= watched.statistics | (watched.changed - affine)
    names = model.state_dict().keys()
    return Norms(frozenset(affine & names - watched.statistics), frozenset(statistics & names))


def norm_tensors(model: nn.Module, *, affine: bool) -> Names:
    """Return names of all batch-norm tensors, the affine part too or the statistics alone."""
    norms = norms_of(model)
    return norms.affine | norms.statistics if affine else norms.statistics


def tied_to(tensors: dict[str, Tensor], names: Names) -> Names:
    """Return ``names`` and every name whose tensor shares memory with theirs, views included."""
    spans = sorted(
        (*_span(tensor), name) for name, tensor in tensors.items() if _has_memory(tensor)
    )
    tied, cluster, end = set(names), set[str](), -1
    for first, last, name in spans:
        if first >= end:
            cluster = set()
        cluster.add(name)
        end = max(end, last)
        if cluster & tied:
            tied |= cluster
    return frozenset(tied)


def _has_memory(tensor: Tensor) -> bool:
    return tensor.numel() > 0 and tensor.device.type != "meta"


def _span(tensor: Tensor) -> tuple[int, int]:
    """Return the first address of a tensor, and the one behind its last element."""
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    elements = 1 + sum((size - 1) * step for size, step in steps)
    return tensor.data_ptr(), tensor.data_ptr() + elements * tensor.element_size()
