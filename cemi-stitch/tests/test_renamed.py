"""Claims about import paths of cemi_stitch of the release before."""

import warnings
from importlib import import_module

import pytest

import cemi_stitch


def test_every_module_that_moved_is_found_by_its_old_name():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for old_package, new_package, names in cemi_stitch._MOVES:
            for entry in names.split():
                old, _, new = entry.partition(">")
                assert import_module(f"{old_package}.{old}") is import_module(f"{new_package}.{new or old}")


@pytest.mark.parametrize(
    ("room", "module", "name"),
    [
        ("solve", "least_squares", "solve_positions"),
        ("coarse", "coarse_layout", "place_coarsely"),
        ("quality", "score", "judge_layout"),
    ],
)
def test_what_a_module_held_is_found_in_the_room_that_has_its_name_now(room, module, name):
    with pytest.warns(DeprecationWarning, match=f"cemi_stitch.{room}.{module}.{name} now"):
        found = getattr(import_module(f"cemi_stitch.{room}"), name)
    assert found is getattr(import_module(f"cemi_stitch.{room}.{module}"), name)


def test_every_name_that_changed_is_found_by_the_old_one_in_the_old_module():
    old_module = {
        f"{new_package}.{new or old}": f"{old_package}.{old}"
        for old_package, new_package, names in cemi_stitch._MOVES
        for old, _, new in (entry.partition(">") for entry in names.split())
    }
    for module, names in cemi_stitch._NAMES.items():
        for old, (new_module, new) in names.items():
            with pytest.warns(DeprecationWarning):
                found = getattr(import_module(old_module[module]), old)
            assert found is getattr(import_module(new_module), new)
