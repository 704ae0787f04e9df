"""Claims about import paths of the release before: they work, they warn, and they give the very same objects."""

import subprocess
import sys
import warnings
from importlib import import_module

import pytest

from cemi_core.renamed import CORE_MOVES


def _old_and_new(moves):
    for old_package, new_package, names in moves:
        for entry in names.split():
            old, _, new = entry.partition(">")
            if old != "__main__":
                yield f"{old_package}.{old}", f"{new_package}.{new or old}".lstrip(".")


def test_every_module_that_moved_is_found_by_its_old_name():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for old, new in _old_and_new(CORE_MOVES):
            assert import_module(old) is import_module(new), old
    assert {warning.category for warning in caught} <= {DeprecationWarning}


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("from cemi_core.run.flow import run_recipe", "cemi_core.run.flow is cemi_run.flow now"),
        ("from cemi_core.sources.array import ArraySource", "cemi_core.sources.array is cemi_run.sources.array now"),
        ("from cemi_core.testing import ExporterTests", "cemi_run.testing.ExporterTests now"),
        ("from cemi_core.report.page import ReportData", "cemi_core.model.finished_run.FinishedRun now"),
        ("from cemi_core.run.tiles import denoise_image", "cemi_core.numeric.tiles now"),
    ],
)
def test_an_old_import_works_in_a_fresh_interpreter_and_names_the_new_place(statement, says):
    code = f"import warnings; warnings.simplefilter('always'); {statement}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert says in done.stderr
    assert "<string>:1" in done.stderr, "the warning points at the line that imports"


def test_a_name_that_never_was_is_no_attribute():
    import cemi_core.testing

    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = cemi_core.testing.nothing
