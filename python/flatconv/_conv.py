"""The convolutions: what their arguments mean. Start reading here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flatconv._convolve import convolve

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from flatconv._arguments import Activation, Padding, PerAxis


def conv2d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    channels_last: bool = False,
    activation: Activation = None,
    residual: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
    algorithm: str = "auto",
    workspace_limit: int | None = None,
) -> NDArray[Any]:
    """Two-dimensional convolution (cross-correlation, as in all of deep learning).

    Parameters
    ----------
    x : array_like, shape (N, C, H, W), (C, H, W) or (H, W)
        Images: a batch, one image, or one channel of one image ("plain", with a plain `weight`).
    weight : array_like, shape (C_out, C / groups, kh, kw), or (kh, kw) for a plain `x`
        Kernels. Any strided view will do: `weight[..., ::-1, ::-1]` gives a convolution in the strict sense,
        `weight.transpose(3, 2, 0, 1)` takes weights in the order (kh, kw, in, out).
    bias : array_like, shape (C_out,), or a scalar for a plain `x`, optional
        Added to every element of its output channel.
    stride : int or (int, int), default 1
        Distance between neighbouring positions of the kernel.
    padding : int, (int, int), ((int, int), (int, int)) or str, default 0
        Elements added around the image: on all sides, by axis, by axis and side (before, after), or by rule:
        ``"valid"`` (none), ``"same"`` (the output has the size of the image divided by the stride, rounded up; an odd
        element goes after), ``"same_lower"`` (an odd element goes before), ``"full"`` (every overlap of kernel and
        image).
    dilation : int or (int, int), default 1
        Distance between neighbouring elements of the kernel.
    groups : int, default 1
        Channels are cut into this many groups, and each is convolved with its own share of the kernels.
    padding_mode : str, default "zeros"
        What the padding holds: ``"zeros"``, ``"reflect"``, ``"replicate"`` or ``"edge"``, ``"circular"`` or ``"wrap"``,
        ``"symmetric"``, as in `numpy.pad`.
    channels_last : bool, default False
        Whether the channels of x, residual and the result are their last axis: (N, H, W, C) or (H, W, C). The weight's
        axes are the same as ever, and so are the results, to the bit.
    activation : None, str or tuple, default None
        Applied to the result last of all: ``"relu"``, ``"relu6"``, ``("clip", low, high)``, ``("leaky_relu", slope)``,
        ``"sigmoid"``, ``"tanh"``, ``"silu"``, ``"gelu"`` (the exact one, x · Φ(x)) or ``"hardswish"``. A NaN stays one.
    residual : array_like, optional
        Added to the result before the activation: an array of the result's shape.
    out : ndarray, optional
        Where to write the result: any writable array of the right shape and dtype, contiguous or not, whose elements
        share no memory with each other. It may overlap the inputs: if the stretch of memory from its first to its last
        byte meets that of an input, the result is computed in a temporary array and copied.
    threads : int, optional
        At most so many threads; by default `get_num_threads()`. The result does not depend on it.
    algorithm : {"auto", "reference", "im2col", "implicit", "channels", "direct"}, default "auto"
        How to compute; every algorithm gives the same bits. ``"reference"`` is a plain loop, slow, for comparison.
        ``"im2col"`` multiplies the region matrix, laid out band by band; ``"implicit"`` lays out only what cannot be
        read from the padded image; ``"channels"`` computes vectors of output channels, not of pixels; ``"direct"``
        convolves rows of pixels without a region matrix.
    workspace_limit : int, optional
        The most memory to use beside inputs and output, in bytes.

    Returns
    -------
    ndarray, shape (N, C_out, H_out, W_out), (C_out, H_out, W_out) or (H_out, W_out)
        `out` if given. With p the sum of the padding before and after,
        H_out = floor((H + p - dilation * (kh - 1) - 1) / stride) + 1, and likewise W_out.
        The dtype is that of NumPy's promotion of x, weight, bias and residual: float32, float64, complex64 or
        complex128; or float16 or bfloat16 (that of the package ml_dtypes), which are read as float32 on their way,
        summed in float32, and rounded once. Beside float32 they are read so, too, and not copied.

    Raises
    ------
    ValueError
        For a bad value or shape, or an activation of complex numbers. `out` is untouched.
    TypeError
        For a bad type, e.g. arrays that promote to integers or long doubles.
    OverflowError
        For sizes beyond 64 bits.
    MemoryError
        When memory is out, or `workspace_limit` too low.

    See Also
    --------
    conv1d, conv3d : The same for signals and volumes.

    Notes
    -----
    Every output is a sum over depth in the order (channel, kernel row, kernel column), in blocks of fixed length,
    each a chain of fused multiply-adds; the bias comes last. So the bits depend on the values alone, not on threads,
    batch, memory layout or instruction set. Padding counts as real zeros, also next to Inf and NaN.

    The cost is 2 * N * C_out * H_out * W_out * C / groups * kh * kw operations. The workspace is about a mebibyte for
    each thread, whatever the size of the image; for very large kernels it is more, in proportion to their extent,
    because it holds the padded rows that a kernel covers. Weights in the order of a plain array are read where they
    lie; or packed, into a copy of up to 64 MiB, where vectors of output channels are quicker, as with small images;
    others are packed, into a copy of all of them. The product with the region matrix goes back to K. Chellapilla,
    S. Puri and P. Simard, "High performance convolutional neural networks for document processing" (2006), section 2.

    Examples
    --------
    >>> import numpy as np
    >>> from flatconv import conv2d
    >>> image = np.array([[3, 3, 2, 1, 0],
    ...                   [0, 0, 1, 3, 1],
    ...                   [3, 1, 2, 2, 3],
    ...                   [2, 0, 0, 2, 2],
    ...                   [2, 0, 0, 0, 1]], np.float32)
    >>> kernel = np.array([[0, 1, 2],
    ...                    [2, 2, 0],
    ...                    [0, 1, 2]], np.float32)
    >>> conv2d(image, kernel)
    array([[12., 12., 17.],
           [10., 17., 19.],
           [ 9.,  6., 14.]], dtype=float32)

    With a bias and an activation:

    >>> conv2d(image, kernel, -12, activation=("leaky_relu", 0.5))
    array([[ 0. ,  0. ,  5. ],
           [-1. ,  5. ,  7. ],
           [-1.5, -3. ,  2. ]], dtype=float32)

    A batch of colour images, 3 channels to 8, at half the size:

    >>> x = np.ones((2, 3, 32, 32), np.float32)
    >>> weight = np.ones((8, 3, 5, 5), np.float32)
    >>> conv2d(x, weight, stride=2, padding="same").shape
    (2, 8, 16, 16)
    """
    return convolve(
        2,
        x,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        padding_mode,
        channels_last,
        activation,
        residual,
        out,
        threads,
        algorithm,
        workspace_limit,
    )


def conv1d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    channels_last: bool = False,
    activation: Activation = None,
    residual: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
    algorithm: str = "auto",
    workspace_limit: int | None = None,
) -> NDArray[Any]:
    """One-dimensional convolution (cross-correlation): `conv2d` for signals.

    Parameters
    ----------
    x : array_like, shape (N, C, W), (C, W) or (W,)
        Signals: a batch, one signal, or one channel of one signal ("plain", with a plain `weight`).
    weight : array_like, shape (C_out, C / groups, kw), or (kw,) for a plain `x`
        Kernels. `weight[..., ::-1]` gives a convolution in the strict sense.
    bias : array_like, shape (C_out,), or a scalar for a plain `x`, optional
        Added to every element of its output channel.
    stride : int or (int,), default 1
        Distance between neighbouring positions of the kernel.
    padding : int, (int,), ((int, int),) or str, default 0
        Elements added before and after the signal: on both sides, by side, or by rule.
    dilation, groups, padding_mode, channels_last, activation, residual, out, threads, algorithm, workspace_limit
        As in `conv2d`.

    Returns
    -------
    ndarray, shape (N, C_out, W_out), (C_out, W_out) or (W_out,)
        `out` if given. W_out and the dtype are those of `conv2d`.

    Raises
    ------
    ValueError, TypeError, OverflowError, MemoryError
        As in `conv2d`.

    See Also
    --------
    conv2d : The numerical contract, the cost, and every argument at length.

    Examples
    --------
    >>> import numpy as np
    >>> from flatconv import conv1d
    >>> conv1d(np.array([1.0, 4.0, 9.0, 16.0, 25.0]), np.array([-1.0, 1.0]))
    array([3., 5., 7., 9.])
    >>> weight = np.ones((8, 2, 400), np.float32)
    >>> conv1d(np.ones((4, 2, 16000), np.float32), weight, stride=160, padding="same").shape
    (4, 8, 100)
    """
    return convolve(
        1,
        x,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        padding_mode,
        channels_last,
        activation,
        residual,
        out,
        threads,
        algorithm,
        workspace_limit,
    )


def conv3d(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: PerAxis = 1,
    padding: Padding = 0,
    dilation: PerAxis = 1,
    groups: int = 1,
    *,
    padding_mode: str = "zeros",
    channels_last: bool = False,
    activation: Activation = None,
    residual: ArrayLike | None = None,
    out: NDArray[Any] | None = None,
    threads: int | None = None,
    algorithm: str = "auto",
    workspace_limit: int | None = None,
) -> NDArray[Any]:
    """Three-dimensional convolution (cross-correlation): `conv2d` for volumes and videos.

    Parameters
    ----------
    x : array_like, shape (N, C, D, H, W), (C, D, H, W) or (D, H, W)
        Volumes: a batch, one volume, or one channel of one volume ("plain", with a plain `weight`).
    weight : array_like, shape (C_out, C / groups, kd, kh, kw), or (kd, kh, kw) for a plain `x`
        Kernels. `weight[..., ::-1, ::-1, ::-1]` gives a convolution in the strict sense.
    bias : array_like, shape (C_out,), or a scalar for a plain `x`, optional
        Added to every element of its output channel.
    stride : int or (int, int, int), default 1
        Distance between neighbouring positions of the kernel.
    padding : int, (int, int, int), ((int, int), (int, int), (int, int)) or str, default 0
        Elements added around the volume: on all sides, by axis, by axis and side (before, after), or by rule.
    dilation, groups, padding_mode, channels_last, activation, residual, out, threads, algorithm, workspace_limit
        As in `conv2d`.

    Returns
    -------
    ndarray, shape (N, C_out, D_out, H_out, W_out), (C_out, D_out, H_out, W_out) or (D_out, H_out, W_out)
        `out` if given. The sizes and the dtype are those of `conv2d`.

    Raises
    ------
    ValueError, TypeError, OverflowError, MemoryError
        As in `conv2d`.

    See Also
    --------
    conv2d : The numerical contract, the cost, and every argument at length.

    Examples
    --------
    >>> import numpy as np
    >>> from flatconv import conv3d
    >>> conv3d(np.ones((3, 4, 5), np.float32), np.ones((3, 3, 3), np.float32))
    array([[[27., 27., 27.],
            [27., 27., 27.]]], dtype=float32)
    >>> video = np.ones((2, 3, 16, 32, 32), np.float32)
    >>> conv3d(video, np.ones((8, 3, 3, 5, 5), np.float32), stride=(1, 2, 2), padding="same").shape
    (2, 8, 16, 16, 16)
    """
    return convolve(
        3,
        x,
        weight,
        bias,
        stride,
        padding,
        dilation,
        groups,
        padding_mode,
        channels_last,
        activation,
        residual,
        out,
        threads,
        algorithm,
        workspace_limit,
    )
