"""First weights from a file: those of another run, on phantoms for example."""

import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from federated.config.training import Model
from federated.errors import UserError, shown
from federated.exchange.sharing import WEIGHTS, group


def load_start(model: nn.Module, settings: Model) -> None:
    """Give a network the first weights that ``model.start`` names; what the file lacks stays.

    The file is one of tensors by the network's own names, as a site's ``final.safetensors`` is, or
    a server's checkpoint, which holds what was shared.

    Raises:
        UserError: the file cannot be read, is another one than at the run's beginning, or holds
            tensors of another network.
    """
    tensors = _tensors(Path(settings.start), settings.start_sha256)
    tensors = group(tensors, WEIGHTS) or tensors
    state = model.state_dict()
    for name, tensor in tensors.items():
        if name not in state:
            raise _refused(settings.start, f"holds {shown(name)}, which this network has not")
        if tensor.shape != state[name].shape:
            shapes = f"{tuple(tensor.shape)} and not {tuple(state[name].shape)}"
            raise _refused(settings.start, f"holds {name} of shape {shapes}")
    if not tensors:
        raise _refused(settings.start, "holds no tensor")
    model.load_state_dict(tensors, strict=False)


def _tensors(path: Path, digest: str) -> dict[str, Tensor]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _refused(str(path), f"cannot be read: {error.strerror}") from error
    if digest and hashlib.sha256(content).hexdigest() != digest:
        raise _refused(
            str(path), "is not the file that the run began with (model.start-sha256); put it back"
        )
    try:
        return load(content)
    except SafetensorError as error:
        raise _refused(str(path), "is no safetensors file") from error


def _refused(path: str, why: str) -> UserError:
    return UserError(f"model.start = {shown(path)} {why}.")
