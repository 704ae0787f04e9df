"""Pairs on which a place hangs alone are believed only if the whole overlap says so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from cemi_core.model.array_source import ArraySource
from cemi_core.model.layout import PairShift
from cemi_stitch.matching.bridge_check import bridges, checked_bridges
from cemi_stitch.solve.least_squares import components

SHAPE = (200, 300)
TRUE = (150.0, 4.0)


def with_particles(places: list[tuple[float, float]], noise: float = 0.03) -> ArraySource:
    """Two frames, one 150 px below the other, on an even plane with particles at places of the first frame."""
    plane = np.zeros((360, 320))
    for y, x in places:
        plane[round(y), round(x)] = 1
    scene = 0.3 + 15 * ndimage.gaussian_filter(plane, 3.0)
    rng = np.random.default_rng(0)
    corners = [(0, 0), (150, 4)]
    frames = [scene[y : y + SHAPE[0], x : x + SHAPE[1]] + rng.normal(0, noise, SHAPE) for y, x in corners]
    return ArraySource([frame.clip(0, 1).astype(np.float32) for frame in frames])


def pair_at(dy: float, dx: float, sigma_px: float = 0.3, **more: object) -> PairShift:
    return PairShift(0, 1, (TRUE[0] + dy, TRUE[1] + dx), 0.5, 15_000, sigma_px, **more)


@pytest.mark.parametrize("off", [(0.2, -0.3), (0.0, 0.0)])
def test_a_pair_with_whole_particles_stays(off: tuple[float, float]) -> None:
    source = with_particles([(172, 60), (180, 200)])
    assert checked_bridges(source, [pair_at(*off)], 1.5)[0].kept


@pytest.mark.parametrize("off", [(-6.0, 1.0), (3.0, 0.0)])
def test_a_particle_cut_by_the_edge_of_the_overlap_decides_nothing(off: tuple[float, float]) -> None:
    (pair,) = checked_bridges(with_particles([(151, 120)]), [pair_at(*off)], 1.5)
    assert not pair.kept and "too little to go by" in pair.reason


def test_only_weak_pairs_that_no_loop_confirms_are_looked_at() -> None:
    source = with_particles([(151, 120)])
    sure = pair_at(-6.0, 1.0, sigma_px=0.05)
    several = pair_at(-6.0, 1.0, candidates=(((150.0, 4.0), 0.5),))
    for pair in (sure, several):
        assert checked_bridges(source, [pair], 1.5) == [pair]
    loop = [pair_at(-6.0, 1.0), PairShift(0, 2, (0.0, 9.0), 0.9), PairShift(1, 2, (-150.0, 5.0), 0.9)]
    assert checked_bridges(source, loop, 1.5) == loop


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=14))
def test_a_bridge_is_what_parts_a_graph_if_it_is_taken_away(edges: list[tuple[int, int]]) -> None:
    edges = sorted({(min(edge), max(edge)) for edge in edges if edge[0] != edge[1]})

    def groups(chosen: list[tuple[int, int]]) -> int:
        return int(components(9, np.array(chosen, np.int64).reshape(-1, 2)).max()) + 1

    expected = [groups(edges[:n] + edges[n + 1 :]) > groups(edges) for n in range(len(edges))]
    assert bridges(edges) == expected
