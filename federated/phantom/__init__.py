"""Synthetic hospitals: patients with chests and diseases, seen by the site's scanner.

Every image is a function of (seed, site, patient, slice, size, dials) and of nothing else, so
that any part of a hospital can be made anywhere in whatever order.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from federated.config.images import Phantom
from federated.phantom.anatomy import render_section
from federated.phantom.chest import draw_chest
from federated.phantom.findings import draw_findings
from federated.phantom.lesions import infect
from federated.phantom.scanner import Grey, ScannerProfile, acquire, profile_for
from federated.seeding import numpy_generator

LEVELS = (0.12, 0.92)  # where slices are taken, 0 being the apex and 1 the diaphragm


@dataclass(frozen=True)
class PhantomSite:
    """The N = patients x slices images of a synthetic hospital.

    Attributes:
        images: uint8 greys, (N, R, R).
        labels: int64, (N,); 1 is COVID, 0 is not.
        patients: N names of patients; all images of a patient have one label.
        ids: N names of images.
        severity: share of the lung that COVID has infected, (N,) in [0, 1]; 0 iff label 0.
    """

    images: Grey
    labels: npt.NDArray[np.int64]
    patients: tuple[str, ...]
    ids: tuple[str, ...]
    severity: npt.NDArray[np.float64]


def phantom_site(phantom: Phantom, site: int, size: int) -> PhantomSite:
    """Return a synthetic hospital.

    Args:
        phantom: number of patients and slices, seed and the dials.
        site: number of the hospital, from 0; hospitals share no patient.
        size: side of the images in pixels.
    """
    profile = profile_for(site, phantom.shift, phantom.seed)
    count = phantom.patients * phantom.slices
    images = np.empty((count, size, size), np.uint8)
    severity = np.empty(count)
    for patient in range(phantom.patients):
        rows = slice(patient * phantom.slices, (patient + 1) * phantom.slices)
        images[rows], severity[rows] = phantom_patient(phantom, site, patient, size, profile)
    covid = [has_covid(phantom.seed, site, patient) for patient in range(phantom.patients)]
    names = [f"phantom{site}-p{patient:04d}" for patient in range(phantom.patients)]
    return PhantomSite(
        images=images,
        labels=np.repeat(np.array(covid, np.int64), phantom.slices),
        patients=tuple(name for name in names for _ in range(phantom.slices)),
        ids=tuple(f"{name}-s{number:02d}" for name in names for number in range(phantom.slices)),
        severity=severity,
    )


def phantom_patient(
    phantom: Phantom, site: int, patient: int, size: int, profile: ScannerProfile
) -> tuple[Grey, npt.NDArray[np.float64]]:
    """Return a patient's images, (slices, size, size), and infected shares, (slices,)."""
    place = f"phantom-{site}"
    chest = draw_chest(numpy_generator(phantom.seed, place, patient, "chest"))
    findings = draw_findings(
        has_covid(phantom.seed, site, patient),
        phantom.difficulty,
        numpy_generator(phantom.seed, place, patient, "findings"),
    )
    images = np.empty((phantom.slices, size, size), np.uint8)
    severity = np.empty(phantom.slices)
    for number in range(phantom.slices):
        rng = numpy_generator(phantom.seed, place, patient, f"slice-{number}")
        low, high = LEVELS
        level = low + (high - low) * (number + rng.random()) / phantom.slices
        section = render_section(chest, level, size, rng)
        tissue, severity[number] = infect(section, findings, level, rng)
        images[number] = acquire(section.hounsfield(tissue), profile, rng)
    return images, severity


def has_covid(seed: int, site: int, patient: int) -> bool:
    """Return whether a patient has COVID: exactly one, at random, of each two neighbours."""
    pair = numpy_generator(seed, f"phantom-{site}", patient // 2, "label")
    return bool((patient + pair.integers(2)) % 2)


def contact_sheet(images: Grey, columns: int) -> Grey:
    """Return (N, R, R) images side by side, row by row, with black where there is none."""
    count, height, width = images.shape
    rows = -(-count // columns)
    tiles = np.zeros((rows * columns, height, width), np.uint8)
    tiles[:count] = images
    grid = tiles.reshape(rows, columns, height, width).swapaxes(1, 2)
    return grid.reshape(rows * height, columns * width)
