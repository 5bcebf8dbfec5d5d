"""Synthetic hospitals: repeatable, balanced, disjoint, plausible and not too easy."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from federated.config.images import Phantom
from federated.phantom import contact_sheet, has_covid, phantom_patient, phantom_site
from federated.phantom.anatomy import render_section
from federated.phantom.chest import draw_chest, rib_cage
from federated.phantom.findings import confounded, contrast, covid_pneumonia
from federated.phantom.lesions import infect
from federated.phantom.scanner import profile_for

SMALL = Phantom(patients=6, slices=2)
MANY = Phantom(patients=60, slices=2)


@pytest.fixture(scope="module")
def site():
    return phantom_site(SMALL, 0, 48)


@pytest.fixture(scope="module")
def hospitals():
    return {
        shift: [phantom_site(replace(MANY, shift=shift), site, 40) for site in range(4)]
        for shift in (0.0, 1.0)
    }


def test_shapes_and_types(site):
    assert site.images.shape == (12, 48, 48)
    assert site.images.dtype == np.uint8
    assert site.labels.dtype == np.int64
    assert len(site.patients) == len(site.ids) == len(site.severity) == len(site.labels) == 12
    assert len(set(site.ids)) == 12
    assert len(set(site.patients)) == 6


def test_a_site_repeats_bit_by_bit(site):
    again = phantom_site(SMALL, 0, 48)
    assert np.array_equal(site.images, again.images)
    assert np.array_equal(site.severity, again.severity)


def test_the_order_and_the_number_of_patients_change_no_bit(site):
    profile = profile_for(0, SMALL.shift, SMALL.seed)
    for patient in reversed(range(6)):
        images, severity = phantom_patient(replace(SMALL, patients=99), 0, patient, 48, profile)
        assert np.array_equal(images, site.images[2 * patient : 2 * patient + 2])
        assert np.array_equal(severity, site.severity[2 * patient : 2 * patient + 2])


@pytest.mark.parametrize("change", [{"seed": 1}, {"difficulty": 0.9}, {"shift": 0.3}])
def test_seed_and_dials_change_the_images(site, change):
    assert not np.array_equal(phantom_site(replace(SMALL, **change), 0, 48).images, site.images)


def test_sites_share_no_patient(site):
    other = phantom_site(replace(SMALL, shift=0.0), 1, 48)
    alike = phantom_site(replace(SMALL, shift=0.0), 0, 48)
    assert not set(site.patients) & set(other.patients)
    assert not (alike.images[:, None] == other.images[None]).all(axis=(2, 3)).any()


@pytest.mark.parametrize("patients", [3, 10, 101])
def test_half_of_the_patients_have_covid(patients):
    covid = sum(has_covid(0, 0, patient) for patient in range(patients))
    assert abs(covid - patients / 2) <= 0.5


def test_neighbours_do_not_simply_alternate():
    covid = [has_covid(0, 0, patient) for patient in range(40)]
    assert len(set(covid[::2])) == 2


def test_all_slices_of_a_patient_have_one_label(site):
    for patient in set(site.patients):
        assert (
            len(
                {
                    label
                    for label, of in zip(site.labels, site.patients, strict=True)
                    if of == patient
                }
            )
            == 1
        )


def test_only_covid_has_severity_and_it_always_shows(hospitals):
    for hospital in hospitals[0.0]:
        assert np.array_equal(hospital.severity > 0, hospital.labels == 1)
        assert hospital.severity.max() < 1


def test_severity_is_spread():
    site = phantom_site(replace(MANY, shift=0.0), 0, 40)
    mild, severe = np.quantile(site.severity[site.labels == 1], [0.1, 0.9])
    assert severe > 4 * mild


def test_difficulty_makes_lesions_fainter_and_smaller_and_confounders_commoner():
    easy, middle, hard = (covid_pneumonia(dial, np.random.default_rng(3)) for dial in (0, 0.5, 1))
    for one, two, three in zip(easy, middle, hard, strict=True):
        assert one.opacity >= two.opacity >= three.opacity
        assert one.radii > two.radii > three.radii
        assert one.turn == two.turn == three.turn
    assert contrast(0) > contrast(0.5) > contrast(1) > 0
    assert 0 < confounded(0) < confounded(0.5) < confounded(1) < 1


def test_difficulty_lowers_what_lesions_add_to_the_lung():
    chest = draw_chest(np.random.default_rng(0))
    section = render_section(chest, 0.5, 64, np.random.default_rng(1))
    added = []
    for dial in (0.0, 0.25, 0.5, 0.75, 1.0):
        findings = covid_pneumonia(dial, np.random.default_rng(2))
        tissue, _ = infect(section, findings, 0.5, np.random.default_rng(3))
        added.append(float(((tissue - section.parenchyma) * section.air).sum()))
    assert added == sorted(added, reverse=True)
    assert added[-1] > 0


def test_lesions_leave_all_but_the_lungs_alone():
    chest = draw_chest(np.random.default_rng(0))
    section = render_section(chest, 0.5, 64, np.random.default_rng(1))
    findings = covid_pneumonia(0.0, np.random.default_rng(2))
    tissue, share = infect(section, findings, 0.5, np.random.default_rng(3))
    change = section.hounsfield(tissue) - section.hounsfield(section.parenchyma)
    assert 0 < share < 1
    assert np.all(change[section.air == 0] == 0)
    assert change.max() > 100


def test_covid_lies_at_the_back_and_on_both_sides():
    drawn = [covid_pneumonia(0.5, np.random.default_rng(seed)) for seed in range(200)]
    lesions = [lesion for patient in drawn for lesion in patient]
    assert np.mean([np.sin(lesion.turn) > 0 for lesion in lesions]) > 0.8
    assert np.mean([lesion.distance > 0.7 for lesion in lesions]) > 0.8
    both = [len({np.cos(lesion.turn) > 0 for lesion in patient}) == 2 for patient in drawn]
    assert np.mean(both) > 0.8


@pytest.mark.parametrize("seed", range(4))
def test_an_average_slice_has_the_densities_of_a_chest(seed):
    chest = draw_chest(np.random.default_rng(seed))
    section = render_section(chest, 0.5, 96, np.random.default_rng(seed))
    hounsfield = section.hounsfield(section.parenchyma)
    lung = hounsfield[section.air == 1]
    assert -920 < np.median(lung) < -720
    assert hounsfield.min() >= -1001
    assert 300 < hounsfield.max() < 800  # the cortex of bone
    lungs_mm2 = section.air.sum() * (chest.view / 96) ** 2
    rx, ry = rib_cage(chest, 0.5)
    assert 0.35 < lungs_mm2 / (np.pi * rx * ry) < 0.85


def test_a_section_looks_the_same_at_any_size():
    chest = draw_chest(np.random.default_rng(5))
    fine, coarse = (
        render_section(chest, 0.4, size, np.random.default_rng(6)) for size in (128, 64)
    )
    halved = fine.air.reshape(64, 2, 64, 2).mean(axis=(1, 3))
    assert np.abs(halved - coarse.air).mean() < 0.01


def test_mean_grey_does_not_tell_the_classes_apart(hospitals):
    for hospital in hospitals[0.0] + hospitals[1.0]:
        area = roc_auc_score(hospital.labels, hospital.images.mean(axis=(1, 2)))
        assert max(area, 1 - area) < 0.75


def spread(sites):
    """Return how far apart the sites' mean greys and contrasts are, over the slices' own."""
    means = [[image.mean() for image in site.images] for site in sites]
    stds = [[image.std() for image in site.images] for site in sites]
    return [
        np.std([np.mean(of) for of in values]) / np.mean([np.std(of) for of in values])
        for values in (means, stds)
    ]


def test_the_dial_alone_makes_sites_differ(hospitals):
    assert max(spread(hospitals[0.0])) < 0.25
    assert min(spread(hospitals[1.0])) > 0.75


def test_contact_sheet_places_images_row_by_row():
    images = np.arange(1, 4, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    assert contact_sheet(images, 2).tolist() == [
        [1, 1, 2, 2],
        [1, 1, 2, 2],
        [3, 3, 0, 0],
        [3, 3, 0, 0],
    ]
