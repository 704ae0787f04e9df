"""Matchers, features and blenders: one line each in the registry, from which the settings follow."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
from pydantic import ValidationError

from cemi_core.model.mosaic import Box, Patch
from cemi_stitch.blending.blender import Blender
from cemi_stitch.blending.multiband import MARGIN_PX
from cemi_stitch.frames.cache import MatchOptions
from cemi_stitch.matching.matcher import Matcher
from cemi_stitch.methods import BLENDERS, FEATURES, MATCHERS
from cemi_stitch.settings import KorniaSettings, abilities

REGISTRIES = {"matcher": MATCHERS, "features": FEATURES, "blend": BLENDERS}


@pytest.mark.parametrize("field", REGISTRIES)
def test_a_setting_takes_the_words_of_its_registry_and_describes_each(field: str) -> None:
    info, registry = KorniaSettings.model_fields[field], REGISTRIES[field]
    assert get_args(info.annotation) == tuple(registry)
    for name, method in registry.items():
        assert getattr(KorniaSettings(**{field: name}), field) == name
        assert f"{name}, {method.summary}" in info.description


@pytest.mark.parametrize("field", REGISTRIES)
def test_the_message_for_a_wrong_word_names_all_right_ones(field: str) -> None:
    with pytest.raises(ValidationError) as error:
        KorniaSettings(**{field: "magic"})
    assert all(f"'{name}'" in str(error.value) for name in REGISTRIES[field])


@pytest.mark.parametrize("name", MATCHERS)
def test_every_matcher_is_a_class_made_from_options(name: str) -> None:
    assert isinstance(MATCHERS[name].load()(MatchOptions(matcher=name)), Matcher)


@pytest.mark.parametrize("name", BLENDERS)
def test_every_blender_keeps_a_frame_that_stands_alone_and_counts_as_it_declares(name: str) -> None:
    blender, declared = BLENDERS[name].load()(), abilities(KorniaSettings(blend=name))
    assert isinstance(blender, Blender)
    image = np.random.default_rng(0).random((40, 50), dtype=np.float32)
    patches, box = [Patch(0, image, 3.0, 5.0)], Box(0, 0, 48, 60)
    mosaic = blender.blend(patches, box)
    assert np.abs(mosaic[3:43, 5:55] - image).max() <= 1e-6
    assert np.isnan(mosaic[:3]).all() and np.isnan(mosaic[:, :5]).all()
    if declared.counts_frames:
        same, count = blender.blend_and_count(patches, box)
        assert np.array_equal(same, mosaic, equal_nan=True)
        assert np.abs(count[3:43, 5:55] - 1).max() <= 1e-5
    else:
        with pytest.raises(NotImplementedError):
            blender.blend_and_count(patches, box)


def test_multiband_declares_how_far_its_bands_reach() -> None:
    assert BLENDERS["multiband"].margin_px == MARGIN_PX
    assert {name for name, method in BLENDERS.items() if method.margin_px} == {"multiband"}


@pytest.mark.parametrize("name", FEATURES)
def test_every_kind_of_features_has_a_maker(name: str) -> None:
    assert callable(FEATURES[name].load())


def test_settings_and_abilities_import_nothing_heavy() -> None:
    code = (
        "import sys; from cemi_stitch.settings import KorniaSettings, abilities; abilities(KorniaSettings());"
        "print(*{'torch', 'kornia', 'cv2', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
