"""Code of the user's own, ``package.module:name``: where it is looked for, and how it fails."""

import importlib
import os
import sys
from typing import Any

from federated.errors import UserError, did_you_mean, shown, shown_path


def look_in(folders: str) -> None:
    """Have modules looked for in these folders, before Python's own as beside a script.

    Args:
        folders: Separated as in PYTHONPATH.
    """
    new = [folder for folder in folders.split(os.pathsep) if folder and folder not in sys.path]
    sys.path[:0] = new


def imported(reference: str, setting: str) -> Any:
    """Return what ``package.module:name`` names.

    Args:
        reference: The module and a name in it.
        setting: Who names it, for the sentence about a mistake.

    Raises:
        UserError: there is no such module or name, or the module fails while it is imported.
    """
    module_name, _, name = reference.partition(":")
    if not module_name or not name or module_name.startswith("."):
        raise UserError(f"{setting} = {shown(reference)}: write package.module:name.")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever code of the user's own may raise
        raise UserError(f"{setting} = {shown(reference)}: {_why(module_name, error)}") from error
    if not hasattr(module, name):
        public = [key for key in vars(module) if not key.startswith("_")]
        hint = did_you_mean(name, public)
        file = getattr(module, "__file__", None) or module_name
        raise UserError(f"{setting} = {shown(reference)}: {file} has no {shown(name)}{hint}.")
    return getattr(module, name)


def _why(module: str, error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}."):
        installed = (sys.prefix, sys.base_prefix, "__editable__")
        others = [shown_path(folder) for folder in sys.path if not folder.startswith(installed)]
        folders = ", ".join(filter(None, others))
        return f"there is no module {error.name}; looked in {folders} and Python's own folders."
    return f"{module} cannot be imported: {reason(error)}"


def reason(error: BaseException) -> str:
    """Return an exception of code that is not ours as the end of a sentence, on one line."""
    text = " ".join(str(error).split())[:200].rstrip(".")
    return f"{type(error).__name__}: {text}." if text else f"{type(error).__name__}."
