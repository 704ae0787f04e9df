"""Pictures find their better partners, and the numbers reach the table."""

import json

import numpy as np
import pytest

from cemi_core.errors import InputError, UsageError
from cemi_core.model.frame import Frame
from cemi_core.model.stages import Runtime
from cemi_core.plugins import MetricPlugin
from cemi_core.plugins.manager import Plugins, Registered
from cemi_run.jobs.compare import (
    Against,
    Comparison,
    comparison_record,
    comparison_table,
    find_partners,
    load_metrics,
)


class Pictures:
    """Black pictures of given names and sizes."""

    dropped = ()
    dtype = np.dtype(np.float32)

    def __init__(self, **shapes):
        self.frames = [Frame(n, name.replace("__", "."), shape) for n, (name, shape) in enumerate(shapes.items())]

    def read(self, index):
        return np.zeros(self.frames[index].shape, np.float32)


def mean_error(image, reference):
    return float(np.abs(image - reference).mean())


def plugin(name, **words):
    return Registered(MetricPlugin(name, "A metric.", factory=lambda settings, runtime: mean_error, **words), "p", "1")


def test_partners_are_found_by_name_whatever_the_ending():
    better = Pictures(a__png=(4, 4), b__png=(4, 4))
    assert find_partners(["b.tif", "a.tif", "c.tif"], better, "HD") == {"b.tif": 1, "a.tif": 0}


def test_pages_of_a_stack_find_pages_of_a_stack():
    better = Pictures(**{"stack__tif[0]": (4, 4), "stack__tif[1]": (4, 4)})
    assert find_partners(["stack_1.tif", "stack_0.tif"], better, "HD") == {"stack_1.tif": 1, "stack_0.tif": 0}


def test_a_single_image_and_a_single_better_one_belong_together():
    assert find_partners(["ld.tif"], Pictures(hd__png=(4, 4)), "HD") == {"ld.tif": 0}


def test_without_any_partner_or_with_two_the_user_is_told():
    with pytest.raises(UsageError, match="no image has a partner of the same name in HD, which holds a, b"):
        find_partners(["x.tif", "y.tif"], Pictures(a__png=(4, 4), b__png=(4, 4)), "HD")
    with pytest.raises(UsageError, match="two pictures of HD are called a"):
        find_partners(["a.tif", "b.tif"], Pictures(a__png=(4, 4), a__tif=(4, 4)), "HD")


def test_both_versions_are_measured_and_other_sizes_refused():
    against = Against(Pictures(a__png=(4, 6), b__png=(4, 6)), {"a.tif": 0, "b.tif": 1}, {"error": mean_error})
    grey = np.full((4, 6), 0.5, np.float32)
    assert against.compare("a.tif", grey, grey / 2) == Comparison("a.tif", {"error": 0.5}, {"error": 0.25})
    with pytest.raises(InputError, match=r"it is 4 x 6 px and b\.png 6 x 4 px; give pictures of the same field"):
        against.compare("b.tif", grey.T, grey.T)
    with pytest.raises(InputError, match="no picture of its name"):
        against.compare("c.tif", grey, grey)


def test_the_table_holds_the_means_over_the_pictures_and_what_is_better():
    compared = [
        Comparison("a", {"error": 0.5, "gap": np.nan}, {"error": 0.1, "gap": np.nan}),
        Comparison("b", {"error": 0.7, "gap": 20.0}, {"error": 0.3, "gap": 10.0}),
    ]
    metrics = [plugin("error", label="error (grey)"), plugin("gap", better="1"), plugin("absent")]
    lines = [line.split("  ") for line in comparison_table(compared, metrics).splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells == [
        ["mean of 2", "error (grey)", "gap"],
        ["as it came", "0.600", "20.00"],
        ["denoised", "0.200", "10.00"],
        ["better is", "lower", "1"],
    ]


def test_numbers_that_are_unknown_are_null_in_json():
    record = comparison_record([Comparison("a", {"psnr": 20.0, "gap": np.nan}, {"psnr": np.inf, "gap": np.nan})])
    assert json.loads(json.dumps(record, allow_nan=False)) == {
        "mean": {"as it came": {"psnr": 20.0, "gap": None}, "denoised": {"psnr": None, "gap": None}},
        "images": [
            {
                "file": "a",
                "as it came": {"psnr": 20.0, "gap": None},
                "denoised": {"psnr": None, "gap": None},
            }
        ],
    }


def test_a_metric_without_its_weights_is_left_out_and_said():
    def broken(settings, runtime):
        raise InputError("its weights are not here: pip install them")

    missing = Registered(MetricPlugin("lpips", "Looks.", factory=broken), "p", "1")
    metrics, notes = load_metrics(Plugins([plugin("error"), missing]), Runtime())
    assert list(metrics) == ["error"]
    assert notes == ["lpips is left out: its weights are not here: pip install them"]
    with pytest.raises(UsageError, match="no metric is installed"):
        load_metrics(Plugins([missing]), Runtime())
