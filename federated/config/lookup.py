"""The settings of a method by its name: one of ours, or the user's own."""

from federated.config.external import imported
from federated.config.given import hyphenated
from federated.config.keys import find_key
from federated.config.method import Method, Value
from federated.config.presets import METHODS
from federated.config.schema import METHOD_SECTIONS
from federated.errors import UserError, did_you_mean, shown


def settings_of(base: str, name: str) -> dict[str, Value]:
    """Return the settings of a method of ours, or of the user's own as ``package.module:name``.

    Args:
        base: The method that is meant.
        name: The method that derives from it, for the sentence about a mistake.

    Raises:
        UserError: there is no such method, or it sets what no method may.
    """
    if ":" not in base:
        if base in METHODS:
            return dict(METHODS[base].settings)
        raise UserError(
            f"there is no method {shown(base)}{did_you_mean(base, METHODS)}; one of your own needs "
            f"[method.{name}] with base = one of {', '.join(METHODS)}, or package.module:name."
        )
    found = imported(base, "methods")
    if not isinstance(found, Method):
        raise UserError(
            f"methods = {shown(base)} is a value of type {type(found).__name__} and no "
            "federated.config.Method."
        )
    settings = {hyphenated(key): value for key, value in found.settings.items()}
    for key in settings:
        find_key(key)
        if key.split(".")[0] not in METHOD_SECTIONS:
            raise UserError(f"{base} sets {key}, which is the same for all methods; leave it out.")
    return settings
