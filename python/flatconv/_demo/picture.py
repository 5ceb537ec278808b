"""The demo's picture: each photograph beside its 16 responses, each response with its kernel in the corner."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from flatconv._demo.photographs import FilteredPhotograph

_CELL = 1.55  # inches
_GAP = 0.08
_MARGIN = 0.22
_HEADER = 0.7
_DOTS_PER_INCH = 120
_BACKGROUND = "#101014"
_INK = "#e8e6e3"
_FAINT = "#9a98a0"


def _contrast(name: str, negative: str, positive: str) -> LinearSegmentedColormap:
    """Black for no response, and a colour for either sign."""
    return LinearSegmentedColormap.from_list(name, [negative, _BACKGROUND, positive])


_SIGNED = _contrast("light", "#4cc9f0", "#ffb454")
_BY_CONTRAST = {
    "light": _SIGNED,
    "red/green": _contrast("red/green", "#3ddc84", "#ff4d5a"),
    "yellow/blue": _contrast("yellow/blue", "#4a7dff", "#ffe066"),
    "orange/teal": _contrast("orange/teal", "#2ec4b6", "#ff8c42"),
}


def problem_with(path: str) -> str | None:
    """Why no picture can be written there, if so."""
    directory, name = os.path.split(path)
    if not os.path.isdir(directory or "."):
        return f"there is no directory {directory}"
    suffixes = [f".{each}" for each in FigureCanvasAgg.get_supported_filetypes()]
    if os.path.splitext(name)[1].lower() not in suffixes:
        return f"the name must end in one of {' '.join(sorted(suffixes))}"
    return None


def write(path: str, photographs: list[FilteredPhotograph]) -> None:
    """Draw the photographs one above the other and save the picture."""
    block = 4 * _CELL + 3 * _GAP
    width = 2 * block + 3 * _GAP + 2 * _MARGIN
    row = _HEADER + block
    height = len(photographs) * row + 2 * _MARGIN
    figure = Figure(figsize=(width, height), facecolor=_BACKGROUND)
    FigureCanvasAgg(figure)

    def axes(left: float, top: float, size: float) -> Axes:
        """A square, placed in inches from the upper left corner of the picture."""
        placed = figure.add_axes(
            (left / width, 1 - (top + size) / height, size / width, size / height), xticks=[], yticks=[]
        )
        placed.set_axis_off()
        return placed

    for i, photograph in enumerate(photographs):
        top = _MARGIN + i * row
        _write_header(figure, photograph, _MARGIN / width, 1 - (top + 0.2) / height)
        top += _HEADER
        _draw_photograph(axes(_MARGIN, top, block), photograph.image)
        for j, (name, kernel, response) in enumerate(
            zip(photograph.names, photograph.weight, photograph.responses, strict=True)
        ):
            left = _MARGIN + block + 3 * _GAP + j % 4 * (_CELL + _GAP)
            _draw_response(axes(left, top + j // 4 * (_CELL + _GAP), _CELL), name, kernel, response)
    figure.savefig(path, dpi=_DOTS_PER_INCH, facecolor=_BACKGROUND)


def _write_header(figure: Figure, photograph: FilteredPhotograph, left: float, top: float) -> None:
    channels, height, width = photograph.image.shape
    figure.text(left, top, photograph.title, color=_INK, size=17, weight="bold", va="top")
    figure.text(
        1 - left,
        top,
        f"{height} × {width} pixels,  {channels} → {len(photograph.weight)} channels,  "
        f"{' × '.join(map(str, photograph.weight.shape[2:]))} kernels      "
        f"flatconv {photograph.milliseconds:.1f} ms,  NumPy im2col + BLAS {photograph.numpy_milliseconds:.1f} ms",
        color=_FAINT,
        size=12,
        va="top",
        ha="right",
    )


def _draw_photograph(axes: Axes, image: NDArray[Any]) -> None:
    axes.imshow(image.transpose(1, 2, 0).squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="antialiased")


def _draw_response(axes: Axes, name: str, kernel: NDArray[Any], response: NDArray[Any]) -> None:
    keeps_light = kernel.sum() > 0.5
    if keeps_light:
        axes.imshow(response, cmap="gray", vmin=0, vmax=1, interpolation="antialiased")
    else:
        # Most of a photograph is smooth: the root lifts weak responses, so that thin lines outlast the shrinking.
        shown = np.sign(response) * np.sqrt(np.abs(response))
        reach = float(np.quantile(np.abs(shown), 0.99)) or 1.0
        colours = _BY_CONTRAST.get(name.split()[0], _SIGNED)
        axes.imshow(shown, cmap=colours, vmin=-reach, vmax=reach, interpolation="antialiased")
    axes.text(
        0.97,
        0.04,
        name,
        transform=axes.transAxes,
        color=_INK,
        size=8.5,
        ha="right",
        va="bottom",
        bbox={"facecolor": _BACKGROUND, "alpha": 0.6, "edgecolor": "none", "boxstyle": "round,pad=0.25"},
    )
    inset = axes.inset_axes((0.03, 0.73, 0.24, 0.24), xticks=[], yticks=[])
    for spine in inset.spines.values():
        spine.set_color(_INK)
        spine.set_linewidth(0.6)
    swatch = kernel.transpose(1, 2, 0)
    swatch = 0.5 + 0.5 * swatch / np.abs(swatch).max()
    inset.imshow(swatch.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
