"""What a source of images is: a setting, and what data sets that setting names."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from federated.config.images import Data
from federated.data.sources.listing import Listing
from federated.errors import absolute_path

ListImages = Callable[[], Listing]
DataSets = Mapping[str, ListImages]  # by name


@dataclass(frozen=True)
class Dealing:
    """How data sets are dealt to hospitals, as far as a source must know.

    Attributes:
        pooled: a manifest is one data set, whatever its sites; else each of its sites is one.
        column: column of the manifest that the listing's ``hospital`` is; empty: none.
    """

    pooled: bool = False
    column: str = ""


@dataclass(frozen=True)
class Source:
    """A source of images, declared once.

    Attributes:
        setting: the field of ``schema.Data`` that turns it on; its meaning is our sentence.
        datasets: the data sets that the settings name; called where the setting is not empty.
    """

    setting: str
    datasets: Callable[[Data, Dealing], DataSets]

    @property
    def key(self) -> str:
        """The setting as users write it."""
        return f"data.{self.setting.replace('_', '-')}"

    def is_given(self, data: Data) -> bool:
        """Return whether the settings turn it on."""
        return bool(getattr(data, self.setting))


def published(setting: str, list_images: Callable[[Path], Listing]) -> Source:
    """Return the source of one public data set in one folder, named like its setting.

    Args:
        setting: the field of ``schema.Data`` that holds the folder.
        list_images: returns the listing of a folder.
    """

    def datasets(data: Data, dealing: Dealing) -> DataSets:
        folder = absolute(getattr(data, setting), setting)
        return {setting.replace("_", "-"): lambda: list_images(folder)}

    return Source(setting, datasets)


def absolute(text: str, setting: str) -> Path:
    """Return a path setting as an absolute path, so that the key does not depend on the shell.

    Raises:
        UserError: it starts with the home of a user who is not there.
    """
    return absolute_path(text, f"data.{setting.replace('_', '-')}")
