"""The cells on which a mosaic is measured: a grid of rectangles, or one cell for each image that stands alone."""

from __future__ import annotations

from dataclasses import dataclass

from cemi_core.errors import UsageError
from cemi_core.model.mosaic import Box


@dataclass(frozen=True, slots=True)
class Grid:
    """Rows x columns of rectangular cells over a mosaic.

    All cells have the same size, but the last row and column take the remainder (Lang et al. 2025: 19 x 243 cells of
    413 x 508 px).

    Attributes
    ----------
    rows, columns : int
        Number of cells, at least 1 each.
    shape : tuple of int
        (height, width) of the mosaic, px.
    """

    rows: int
    columns: int
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise UsageError(f"a grid needs at least one row and one column, not {self.rows} x {self.columns}")
        if self.rows > self.shape[0] or self.columns > self.shape[1]:
            raise UsageError(
                f"a grid of {self.rows} x {self.columns} cells does not fit a mosaic of "
                f"{self.shape[0]} x {self.shape[1]} px; use fewer rows or columns"
            )

    @property
    def cell_shape(self) -> tuple[int, int]:
        """(height, width) of a cell that is not in the last row or column, px."""
        return self.shape[0] // self.rows, self.shape[1] // self.columns

    def box(self, row: int, column: int) -> Box:
        """Return the mosaic pixels of one cell."""
        height, width = self.cell_shape
        y, x = row * height, column * width
        last_row, last_column = row == self.rows - 1, column == self.columns - 1
        return Box(y, x, self.shape[0] - y if last_row else height, self.shape[1] - x if last_column else width)

    def reach(self, row: int, column: int) -> Box:
        """Return how far a halo around a cell may reach: the whole mosaic."""
        return Box(0, 0, *self.shape)

    def centres_px(self) -> tuple[list[float], list[float]]:
        """Return the y of each row's centre and the x of each column's centre, px."""
        boxes_y = [self.box(row, 0) for row in range(self.rows)]
        boxes_x = [self.box(0, column) for column in range(self.columns)]
        return [b.y + (b.height - 1) / 2 for b in boxes_y], [b.x + (b.width - 1) / 2 for b in boxes_x]


@dataclass(frozen=True, slots=True)
class FrameGrid:
    """One row of cells, one for each image that stands alone; no cell sees the images beside it.

    Attributes
    ----------
    boxes : tuple of Box
        Mosaic pixels of each image.
    names : tuple of str
        Name of each image.
    shape : tuple of int
        (height, width) of the mosaic, px.
    """

    boxes: tuple[Box, ...]
    names: tuple[str, ...]
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        if not self.boxes or len(self.boxes) != len(self.names):
            raise UsageError(
                f"a grid of images needs at least one image and a name for each, not {len(self.boxes)} images and "
                f"{len(self.names)} names"
            )

    @property
    def rows(self) -> int:
        """1: the images follow each other."""
        return 1

    @property
    def columns(self) -> int:
        """Number of images."""
        return len(self.boxes)

    @property
    def cell_shape(self) -> tuple[int, int]:
        """(height, width) of the image with the most pixels, px."""
        largest = max(self.boxes, key=lambda box: box.height * box.width)
        return largest.height, largest.width

    def box(self, row: int, column: int) -> Box:
        """Return the mosaic pixels of image ``column``; ``row`` is 0."""
        return self.boxes[column]

    def reach(self, row: int, column: int) -> Box:
        """Return how far a halo around a cell may reach: the image itself."""
        return self.boxes[column]


#: Cells of a mosaic: both kinds have ``rows``, ``columns``, ``shape``, ``cell_shape``, ``box`` and ``reach``.
Cells = Grid | FrameGrid
