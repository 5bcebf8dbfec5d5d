"""What there is: ``consilium methods``, ``models``, ``config`` and ``completion``."""

import argparse
from typing import Any

from federated.errors import UserError, did_you_mean, shown

SHELLS = ("bash", "zsh", "tcsh")


def add(commands: Any, parser: argparse.ArgumentParser) -> None:
    """Add the commands to the command's subparsers; completion needs the whole ``parser``."""
    methods = commands.add_parser("methods", help="list the methods and what makes each")
    methods.set_defaults(call=_methods)

    models = commands.add_parser("models", help="list the networks, their size and their heads")
    models.set_defaults(call=_models)

    config = commands.add_parser(
        "config",
        help="list every setting, its default and its meaning",
        epilog="examples: consilium config train · consilium config memory rollout.policy",
    )
    config.add_argument(
        "words", nargs="*", metavar="WORD", help="only settings with this in their name or meaning"
    )
    config.add_argument("--markdown", action="store_true", help="as docs/CONFIG.md has it")
    config.set_defaults(call=_config)

    completion = commands.add_parser(
        "completion",
        help="print a script with which a shell completes commands, options and settings",
        epilog='for bash: eval "$(consilium completion bash)" in ~/.bashrc; for zsh: consilium '
        "completion zsh > a file _consilium in a folder of $fpath",
    )
    completion.add_argument("shell", choices=SHELLS)
    completion.set_defaults(call=lambda a: _completion(parser, a.shell))


def _methods(arguments: argparse.Namespace) -> None:
    from federated.config.presets import METHODS

    for name, method in METHODS.items():
        settings = ", ".join(f"{key} = {value}" for key, value in method.settings.items())
        print(f"{name}\n  {method.summary}\n  source: {method.source}\n  {settings}\n")


def _models(arguments: argparse.Namespace) -> None:
    from federated.lazy import without_collector

    with without_collector():
        from federated.config.schema import Config
        from federated.learning.models import MODELS, build_model
    side = Config().data.image_size
    for name, factory in MODELS.items():
        model = build_model(
            name, width=1.0, image_size=max(side, 64), norm="batch", generator_seed=0
        )
        weights = sum(parameter.numel() for parameter in model.parameters())
        summary = (factory.__doc__ or "").strip().split("\n")[0]
        print(f"{name}\n  {summary}\n  {weights:,} weights at model.width = 1, 2 classes")
        print(f"  heads: {', '.join(getattr(model, 'heads', ())) or 'none named'}\n")
    print("one of your own: model.name = package.module:factory (docs/MODEL.md)")


def _config(arguments: argparse.Namespace) -> None:
    from federated.config.keys import CALENDAR, KEYS, plain, reference

    if arguments.markdown:
        print(reference(), end="")
        print("\n" + reference(CALENDAR), end="")
        return
    words = [word.lower() for word in arguments.words]
    shown_keys = {
        name: key
        for name, key in KEYS.items()
        if not words or any(word in name or word in key.meaning.lower() for word in words)
    }
    if not shown_keys:
        raise UserError(
            f"no setting has {' or '.join(map(shown, arguments.words))} in its name or meaning"
            f"{did_you_mean(arguments.words[0], KEYS)}; consilium config lists all."
        )
    for name, key in shown_keys.items():
        print(f"{name} = {plain(key.default)!r}\n    {key.meaning}{key.range_text()}")


def _completion(parser: argparse.ArgumentParser, shell: str) -> None:
    import shtab

    from federated.config.keys import KEYS

    settings = " ".join(f"{name}=" for name in KEYS)
    preamble = {
        "bash": f'_consilium_settings() {{ compgen -f -- "$1"; compgen -W "{settings}" -- "$1"; }}',
        "zsh": f"_consilium_settings() {{ _files; compadd -S '' -- {settings} }}",
        "tcsh": "",
    }
    words = dict.fromkeys(("bash", "zsh"), "_consilium_settings")
    for command in _subparsers(parser):
        for action in command._actions:
            if action.dest == "settings":
                action.complete = words  # type: ignore[attr-defined]
            elif action.dest in ("folder", "config", "to", "picture"):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    # shtab takes a text or, as here, a text a shell; its types say only the first.
    print(shtab.complete(parser, shell=shell, preamble=preamble))  # type: ignore[arg-type]


def _subparsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Return the parsers of all commands, those of their verbs included."""
    found = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                found += [command, *_subparsers(command)]
    return found
