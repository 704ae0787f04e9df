"""Graphs of pairs against networkx: groups, bridges, loops."""

from __future__ import annotations

import networkx as nx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cemi_core.model.layout import PairShift
from cemi_stitch.graph.acceptance import drop_broken_loops
from cemi_stitch.graph.loop_closure import loop_closures
from cemi_stitch.matching.bridge_check import bridges
from cemi_stitch.solve.least_squares import components, incidence_matrix

NODES = 9
Edges = list[tuple[int, int]]
graphs = st.sets(
    st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1)).filter(lambda e: e[0] < e[1]), max_size=18
).map(sorted)


def graph_of(edges: Edges) -> nx.Graph:
    graph = nx.Graph()
    graph.add_nodes_from(range(NODES))
    graph.add_edges_from(edges)
    return graph


def shifts_of(edges: Edges, seed: int = 0) -> list[PairShift]:
    """Shifts of planted places with an error of some pixels, so that each loop has a closing error of its own."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, 100, (NODES, 2))
    moves = [places[j] - places[i] + rng.normal(0, 2, 2) for i, j in edges]
    return [PairShift(i, j, (float(y), float(x)), 0.9) for (i, j), (y, x) in zip(edges, moves, strict=True)]


def loops_without_chord(edges: Edges, length: int) -> list[list[int]]:
    return [loop for loop in nx.chordless_cycles(graph_of(edges), length_bound=length) if len(loop) == length]


@given(graphs)
def test_groups_are_connected_components_the_largest_first(edges: Edges) -> None:
    label = components(NODES, np.array(edges, np.int64).reshape(-1, 2))
    found = [set(np.flatnonzero(label == number).tolist()) for number in range(int(label.max()) + 1)]
    expected = sorted(nx.connected_components(graph_of(edges)), key=lambda group: (-len(group), min(group)))
    assert found == expected


@given(graphs)
def test_bridges_are_those_of_networkx(edges: Edges) -> None:
    expected = {tuple(sorted(edge)) for edge in nx.bridges(graph_of(edges))}
    assert {edge for edge, bridge in zip(edges, bridges(edges), strict=True) if bridge} == expected


@given(graphs)
def test_the_incidence_matrix_is_that_of_networkx(edges: Edges) -> None:
    oracle = nx.incidence_matrix(graph_of(edges), nodelist=range(NODES), edgelist=edges, oriented=True)
    found = incidence_matrix(NODES, np.array(edges, np.int64).reshape(-1, 2))
    assert np.array_equal(found.toarray(), oracle.toarray().T)


@settings(deadline=None)
@given(graphs)
def test_closing_errors_of_triangles_are_those_of_the_loops_of_three(edges: Edges) -> None:
    shifts = shifts_of(edges)
    step = {(p.first, p.second): np.array(p.shift_px) for p in shifts}
    step |= {(j, i): -shift for (i, j), shift in step.items()}
    expected = [
        float(np.linalg.norm(step[a, b] + step[b, c] + step[c, a])) for a, b, c in loops_without_chord(edges, 3)
    ]
    assert np.allclose(sorted(loop_closures(shifts)[0]), sorted(expected))


@settings(deadline=None)
@given(graphs)
def test_loops_of_four_close_around_frames_that_no_pair_joins_across(edges: Edges) -> None:
    """Of the middles that two frames share only neighbours are compared: a subset that misses no pair of ends."""
    four = loop_closures(shifts_of(edges))[1]
    chordless = loops_without_chord(edges, 4)
    assert len(four) <= len(chordless)
    assert bool(len(four)) == bool(chordless)


@settings(deadline=None)
@given(graphs)
def test_what_no_short_loop_passes_through_is_never_dropped(edges: Edges) -> None:
    in_loops = {
        tuple(sorted(side))
        for length in (3, 4)
        for loop in loops_without_chord(edges, length)
        for side in zip(loop, [*loop[1:], loop[0]], strict=True)
    }
    dropped = {(p.first, p.second) for p in drop_broken_loops(shifts_of(edges), 0.0) if not p.kept}
    assert dropped <= in_loops
    consistent = drop_broken_loops(shifts_of(edges), 1e3)
    assert all(pair.kept for pair in consistent)
