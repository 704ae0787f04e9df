"""Claims about images that stand alone: each counts fully, and classes are compared by ranks."""

import numpy as np
import pytest
from scipy.stats import kruskal

from cemi_analyze import GroupsRelation, PearsonRelation
from cemi_analyze.relation.groups import group_mean
from cemi_core.errors import InputError
from cemi_core.model.result import GridMap, PropertyTable, profile_of_frames


def images(values, name="q", half=0.1):
    row = np.asarray(values, np.float64)[None]
    return profile_of_frames(GridMap(name, "Quantity", "1", row, row - half, row + half))


def condition(values, classes=()):
    return PropertyTable("dose", np.arange(1.0, len(values) + 1), np.asarray(values, np.float64), classes)


def test_smooth_series_of_images_count_fully():
    value = np.sin(np.linspace(0, 3, 30))
    (relation,) = PearsonRelation().relate([images(value)], condition(value**2))
    assert relation.n == relation.n_effective == 30


def test_nothing_is_interpolated_between_images():
    (relation,) = PearsonRelation().relate([images([1, np.nan, 3, 4, 6])], condition([1, 100, 3, 4, 6]))
    assert relation.n == 4
    assert relation.r == pytest.approx(1)
    assert any("1 image(s)" in note for note in relation.notes)


def test_surrogates_are_refused_for_images():
    from cemi_analyze.relation.pearson import PearsonSettings

    with pytest.raises(InputError, match="test: effective"):
        PearsonRelation(PearsonSettings(test="surrogates")).relate([images(range(9))], condition(range(9)))


def test_p_by_permutation_agrees_with_the_chi_squared_one_of_scipy_for_many_images():
    rng = np.random.default_rng(1)
    classes = np.repeat([0, 1, 2], 30)
    values = rng.normal(0, 1, 90) + 0.35 * classes
    (relation,) = GroupsRelation().relate([images(values)], condition(classes, ("a", "b", "c")))
    expected = kruskal(*(values[classes == n] for n in range(3)))
    assert relation.r == pytest.approx(expected.statistic / 89)
    assert relation.p_value == pytest.approx(expected.pvalue, rel=0.25, abs=0.002)


def test_p_of_equal_classes_is_below_5_percent_in_about_5_percent_of_samples():
    rng = np.random.default_rng(2)
    classes = condition([0, 0, 0, 1, 1, 1, 2, 2, 2], ("a", "b", "c"))
    found = [GroupsRelation().relate([images(rng.normal(0, 1, 9))], classes)[0].p_value for _ in range(120)]
    assert 0.005 <= np.mean(np.array(found) < 0.05) <= 0.11


def test_classes_that_do_not_mix_have_epsilon_squared_near_one_and_their_means():
    values = [1.0, 1.1, 1.2, 9.0, 9.1, 9.2]
    (relation,) = GroupsRelation().relate([images(values)], condition([0, 0, 0, 1, 1, 1], ("cold", "hot")))
    assert relation.measure == "epsilon squared"
    assert relation.r > 0.7
    assert [(g.name, g.n, round(g.mean, 3)) for g in relation.groups] == [("cold", 3, 1.1), ("hot", 3, 9.1)]


def test_numbers_make_a_class_each():
    (relation,) = GroupsRelation().relate([images([1, 2, 5, 6])], condition([300, 300, 400.5, 400.5]))
    assert [group.name for group in relation.groups] == ["300", "400.5"]


def test_a_class_of_one_image_has_no_interval_and_a_warning():
    (relation,) = GroupsRelation().relate([images([1, 2, 5])], condition([0, 0, 1], ("a", "b")))
    assert np.isnan(relation.groups[1].low)
    assert any("fewer than 3 images of a, b" in note for note in relation.notes)


def test_one_class_cannot_be_compared():
    with pytest.raises(InputError, match="at least two classes of 'dose', and only a could be measured"):
        GroupsRelation().relate([images([1, 2, np.nan])], condition([0, 0, 1], ("a", "b")))


def test_images_that_are_all_alike_are_said_to_be():
    (relation,) = GroupsRelation().relate([images([2, 2, 2, 2])], condition([0, 0, 1, 1], ("a", "b")))
    assert np.isnan(relation.r)
    assert any("the same in all images" in note for note in relation.notes)


def _intervals(values, half=0.0, unit="1"):
    row = np.asarray(values, np.float64)[None]
    grid_map = GridMap("q", "Quantity", unit, row, np.maximum(row - half, 0), row + half)
    classes = condition([0] * 3 + [1] * 3, ("a", "b"))
    return [(g.low, g.high) for g in GroupsRelation().relate([profile_of_frames(grid_map)], classes)[0].groups]


def test_intervals_of_shares_end_at_0_and_1():
    shares = [0.0, 0.01, 0.05, 0.9, 0.99, 1.0]
    (low, inner), (other, high) = _intervals(shares)
    assert (low, high) == (0.0, 1.0)
    beyond = _intervals(shares, unit="um")
    assert beyond[0][0] < 0 and beyond[1][1] > 1
    assert (inner, other) == (beyond[0][1], beyond[1][0])


def test_intervals_of_a_ratio_do_not():
    (low, _), _ = _intervals([0.0, 0.01, 0.05, 3.0, 3.1, 3.2])
    assert low < 0


def test_the_interval_of_a_share_holds_the_true_mean_as_often_as_that_without_ends():
    rng = np.random.default_rng(3)
    drawn = rng.beta(2, 14, (400, 3))  # mean 0.125, close to 0
    plain, ended = ([group_mean("a", values, share) for values in drawn] for share in (False, True))
    holds = [[g.low <= 0.125 <= g.high for g in groups] for groups in (plain, ended)]
    assert holds[0] == holds[1] and min(g.low for g in plain) < 0 == min(g.low for g in ended)


def test_p_values_of_classes_allow_for_all_quantities_that_were_tried():
    rng = np.random.default_rng(7)
    classes = condition([0] * 6 + [1] * 6 + [2] * 6, ("a", "b", "c"))
    profiles = [images(rng.normal(0, 1, 18), f"quantity_{number}") for number in range(6)]
    relations = GroupsRelation().relate(profiles, classes)
    by_p = sorted(relations, key=lambda relation: relation.p_value)
    assert by_p[0].p_holm == pytest.approx(min(6 * by_p[0].p_value, 1))
    assert all(relation.p_holm >= relation.p_value for relation in relations)
    assert all(relation.p_value <= relation.p_fdr <= relation.p_holm for relation in relations)
