"""The worked example of the demo: one convolution as two matrix products, printed step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from flatconv import conv2d, conv_matrix, im2col

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGE = np.array([[3, 3, 2, 1, 0], [0, 0, 1, 3, 1], [3, 1, 2, 2, 3], [2, 0, 0, 2, 2], [2, 0, 0, 0, 1]], np.float32)
KERNEL = np.array([[0, 1, 2], [2, 2, 0], [0, 1, 2]], np.float32)


def show() -> None:
    """Print both views of the example: the regions laid out, and the kernel laid out."""
    result = conv2d(IMAGE, KERNEL)
    print("A 3×3 kernel slides over a 5×5 image in nine steps\n")
    print(beside({"image": IMAGE, "kernel": KERNEL, "conv2d(image, kernel)": result}))

    regions = im2col(IMAGE, KERNEL.shape)
    column = KERNEL.reshape(-1, 1)
    products = regions @ column
    print("\nView 1. Every region of the image as a row, the kernel as a column: one matrix product\n")
    print(beside({"region matrix": regions, "kernel": column, "product": products}, {"kernel": "@", "product": "="}))
    first = " + ".join(f"{pixel:.0f}·{weight:.0f}" for pixel, weight in zip(regions[0], column[:, 0], strict=True))
    print(f"\nFirst row: {first} = {products[0, 0]:.0f}. The nine products, reshaped to 3×3:\n")
    print(beside({"result": products.reshape(3, 3)}))

    matrix = conv_matrix(KERNEL, IMAGE.shape, format="dense")
    products = matrix @ IMAGE.reshape(-1, 1)
    print("\nView 2. The kernel, padded with zeros to the size of the image, as a row for every position;")
    print("the image as a column of 25: the same nine products\n")
    dotted = np.where(matrix, matrix, np.nan)
    print(beside({"convolution matrix": dotted, "product": products}, {"product": "@ image ="}))
    same = np.array_equal(products.reshape(3, 3), result) and np.array_equal(regions @ column, products)
    print(f"\nBoth views equal conv2d(image, kernel): {'yes' if same else 'NO'}")


def beside(matrices: dict[str, NDArray[Any]], signs: dict[str, str] | None = None) -> str:
    """Matrices of small whole numbers side by side under their names, with a sign before each; NaN is a dot."""
    signs = signs or {}
    height = max(len(matrix) for matrix in matrices.values())
    lines = [""] * (height + 1)
    for name, matrix in matrices.items():
        digits = max(len(f"{value:.0f}") for value in matrix[np.isfinite(matrix)])
        rows = [" ".join("·".rjust(digits) if v != v else f"{v:{digits}.0f}" for v in row) for row in matrix]
        cells = [name, *rows, *[""] * (height - len(rows))]
        width = max(map(len, cells))
        sign = signs.get(name, "")
        middle = 1 + (height - 1) // 2
        for i, cell in enumerate(cells):
            lines[i] += f"    {sign if i == middle else '':{len(sign)}}{' ' * bool(sign)}{cell:{width}}"
    return "\n".join(line.rstrip() for line in lines)
