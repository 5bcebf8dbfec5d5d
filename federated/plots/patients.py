"""Whose images a figure may show: those of phantoms, and of patients only if that was asked for."""

from collections.abc import Sequence

from federated.data.origins import phantom_names
from federated.plots.numbers import NothingToDrawError
from federated.runs.reading import Run


def showable(run: Run, *, patients: bool) -> Sequence[str]:
    """Return the hospitals whose images, and what is made of single images, a figure may show.

    An embedding is patient data as its image is: one point a patient, from which an image can be
    sought again, and partly be rebuilt.

    Args:
        run: The run.
        patients: Whether patients' images may be shown, too.

    Raises:
        NothingToDrawError: there is none.
    """
    synthetic = set(phantom_names(run.study.common))
    sites = [site for site in run.sites if patients or site in synthetic]
    if not sites:
        raise NothingToDrawError(
            "images of patients, and embeddings of them, are shown only if that is asked for."
        )
    return sites
