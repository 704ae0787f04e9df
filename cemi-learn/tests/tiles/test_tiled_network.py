"""Claims about a network on images larger than its cells: no seam, bounded memory, an answer to memory that is full."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cemi_core.errors import InputError
from cemi_core.model.mosaic import Box
from cemi_learn.testing import seam_of
from cemi_learn.tiles.cells import plan_cells
from cemi_learn.tiles.context import measured_context_px
from cemi_learn.tiles.tiled_network import Placed, TiledNetwork, plain_answer, to_device


@given(
    start=st.integers(0, 40),
    extent=st.integers(1, 300),
    after=st.integers(0, 40),
    cell=st.integers(64, 200),
    context=st.integers(0, 50),
)
def test_cells_cover_what_is_wanted_once_and_see_their_context(start, extent, after, cell, context):
    length = start + extent + after
    work = Box(start, start, extent, extent)
    total = np.zeros((length, length))
    for piece in plan_cells(work, (length, length), cell, context, 4):
        total[piece.given.slices] += piece.weight
        assert piece.seen.y % 4 == piece.seen.x % 4 == 0
        assert piece.seen.y <= max(0, piece.given.y - context)
        assert piece.seen.y + piece.seen.height == min(length, piece.given.y + piece.given.height + context)
        assert max(piece.given.height, piece.given.width) <= cell + 32
    expected = np.zeros_like(total)
    expected[work.slices] = 1
    np.testing.assert_allclose(total, expected, atol=1e-6)


class Blurs(nn.Module):
    """From two channels to three: their means over 25 x 25 px, and the difference of these."""

    def forward(self, image):
        blurred = nn.functional.avg_pool2d(image, 25, 1, 12, count_include_pad=False)
        return torch.cat((blurred, blurred[:, :1] - blurred[:, 1:]), 1)


class Folds(nn.Module):
    """Mirrors the order of pixels within squares of 4 x 4 px: where the squares begin changes the answer."""

    def forward(self, image):
        bottom, right = -image.shape[-2] % 4, -image.shape[-1] % 4
        padded = nn.functional.pad(image, (0, right, 0, bottom), mode="reflect")
        folded = nn.functional.pixel_shuffle(nn.functional.pixel_unshuffle(padded, 4).flip(1), 4)
        return folded[..., : image.shape[-2], : image.shape[-1]]


def image_of(shape=(2, 300, 340)):
    return np.random.default_rng(0).random(shape).astype(np.float32)


def test_two_channels_become_three_maps_without_a_seam():
    tiled = TiledNetwork(Blurs(), "cpu", 128, 12)
    answer = tiled.run(image_of())
    assert answer.shape == (3, 300, 340) and answer.dtype == np.float32
    assert seam_of(tiled, image_of()) < 1e-5


def test_a_context_that_is_too_short_leaves_a_seam_that_the_kit_sees():
    assert seam_of(TiledNetwork(Blurs(), "cpu", 128, 0), image_of()) > 1e-3


def test_a_part_is_what_it_is_in_the_whole():
    whole = TiledNetwork(Blurs(), "cpu", 1024, 12).run(image_of())
    part = TiledNetwork(Blurs(), "cpu", 128, 12).run(image_of(), Box(100, 37, 61, 150))
    np.testing.assert_allclose(part, whole[:, 100:161, 37:187], atol=1e-5)


def test_a_network_that_folds_pixels_answers_the_same_wherever_a_block_begins():
    whole = TiledNetwork(Folds(), "cpu", 1024, 0, 4).run(image_of((1, 160, 200)))
    block = image_of((1, 160, 200))[:, 18:, 21:]
    part = TiledNetwork(Folds(), "cpu", 128, 0, 4).run(block, Box(2, 3, 100, 120), origin=(18, 21))
    np.testing.assert_array_equal(part, whole[:, 20:120, 24:144])


def test_of_a_large_image_only_cells_are_read():
    class Counted:
        shape, most = (1, 4000, 300), 0

        def __getitem__(self, where):
            _, rows, columns = where
            Counted.most = max(Counted.most, rows.stop - rows.start)
            return np.zeros((1, rows.stop - rows.start, columns.stop - columns.start), np.float32)

    TiledNetwork(nn.Identity(), "cpu", 128, 12).run(Counted())
    assert Counted.most <= 128 + 2 * 8 + 2 * 12


def test_how_far_a_network_looks_is_measured():
    test_image = torch.from_numpy(image_of((1, 1, 256, 192)))
    network = nn.AvgPool2d(25, 1, 12, count_include_pad=False)
    assert measured_context_px(network, test_image) == 12
    assert measured_context_px(network, test_image, multiple=8) == 16
    assert measured_context_px(nn.Identity(), test_image) == 0


def full_above(largest_px, error):
    """Return a way to ask a network that fails for pieces above so many pixels, as one without memory does."""
    seen = []

    def answer(network, cells):
        seen.append(cells.shape[-1])
        if cells.shape[-1] > largest_px:
            raise error
        return plain_answer(network, cells)

    return answer, seen


@pytest.mark.parametrize(
    "error",
    [torch.cuda.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_a_device_that_runs_out_of_memory_gets_smaller_pieces_and_says_so(caplog, error):
    image = image_of((2, 600, 600))
    expected = TiledNetwork(Blurs(), "cpu", 1024, 12).run(image)
    answer, seen = full_above(310, error)
    tiled = TiledNetwork(Blurs(), "cpu", 1024, 12, answer=answer)
    with caplog.at_level(logging.WARNING, "cemi"):
        result = tiled.run(image)
    np.testing.assert_allclose(result, expected, atol=1e-5)
    assert tiled.cell_px == 256
    assert [record.getMessage() for record in caplog.records] == [
        "cpu is out of memory; going on with pieces of 512 px",
        "cpu is out of memory; going on with pieces of 256 px",
    ]
    del seen[:]
    tiled.run(image)
    assert max(seen) <= 310  # what was learnt is kept


def test_a_device_without_memory_for_the_smallest_pieces_leaves_the_work_to_the_cpu(caplog):
    def answer(network, cells):
        if cells.device.type == "meta":
            raise torch.cuda.OutOfMemoryError("out of memory")
        return plain_answer(network, cells)

    image = image_of()
    tiled = TiledNetwork(Blurs(), "cpu", 128, 12, answer=answer)
    # as if it had been placed on a device that torch has here and that does nothing
    tiled.placed = Placed(to_device(Blurs(), "meta"), "meta", 128)
    with caplog.at_level(logging.WARNING, "cemi"):
        result = tiled.run(image)
    np.testing.assert_allclose(result, TiledNetwork(Blurs(), "cpu", 1024, 12).run(image), atol=1e-5)
    assert tiled.device == "cpu"
    assert "meta is out of memory even for pieces of 128 px; going on on the CPU" in caplog.text


def test_a_cpu_without_memory_for_the_smallest_pieces_is_one_sentence():
    answer, _ = full_above(0, MemoryError())
    tiled = TiledNetwork(Blurs(), "cpu", 128, 12, answer=answer, purpose="denoise")
    with pytest.raises(InputError, match="no memory to denoise even pieces of 128 px; use fewer --workers"):
        tiled.run(image_of())


def test_other_errors_of_the_network_are_not_taken_for_lack_of_memory():
    answer, _ = full_above(0, RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        TiledNetwork(Blurs(), "cpu", 128, 12, answer=answer).run(image_of())
