"""IEEE arithmetic in transposed convolutions and gradients: NaN, infinities, signed zeros, subnormals, overflow."""

import numpy as np
import pytest
from flatconv import conv_transpose1d, conv_transpose2d, grad
from flatconv._arguments import ALGORITHMS

pytestmark = pytest.mark.parametrize("algorithm", ALGORITHMS)


def test_a_nan_reaches_the_outputs_that_its_stamp_covers_and_no_others(isa, rng, algorithm):
    x, weight = (
        rng.standard_normal((2, 40, 12)).astype(np.float32),
        rng.standard_normal((2, 3, 4, 4)).astype(np.float32),
    )
    x[1, 7, 5] = np.nan
    y = conv_transpose2d(x, weight, stride=2, padding=1, algorithm=algorithm)
    expected = np.zeros(y.shape, bool)
    expected[:, 13:17, 9:13] = True
    assert np.array_equal(np.isnan(y), expected)


def test_a_nan_in_a_gradient_reaches_what_it_belongs_to(isa, rng, algorithm):
    x, grad_y = rng.standard_normal((3, 5, 9, 9)), rng.standard_normal((3, 7, 9, 9))
    grad_y[1, 2, 4, 4] = np.nan
    gradient = grad.conv2d_weight(x, (7, 5, 3, 3), grad_y, padding=1, algorithm=algorithm)
    assert np.isnan(gradient[2]).all()
    assert not np.isnan(np.delete(gradient, 2, axis=0)).any()
    x[0, 3, 0, 0] = np.nan  # the kernel's last element never meets it
    gradient = grad.conv2d_weight(x, (7, 5, 3, 3), np.nan_to_num(grad_y), padding=1, algorithm=algorithm)
    assert np.isnan(gradient[:, 3, :2, :2]).all()
    assert np.isfinite(np.delete(gradient, 3, axis=1)).all()
    assert np.isfinite(gradient[:, 3, 2]).all()


def test_an_infinite_weight_meets_the_zeros_beyond_x_in_its_phase_alone(isa, algorithm):
    """Of stride 2, taps 0 and 2 are one phase: at its ends each meets a zero beyond x, and infinity · 0 is NaN."""
    weight = np.array([np.inf, 1, 1], np.float32)
    y = conv_transpose1d(np.ones(3, np.float32), weight, stride=2, algorithm=algorithm)
    np.testing.assert_array_equal(y, [np.inf, 1, np.inf, 1, np.inf, 1, np.nan])


def test_infinities_of_both_signs_cancel_to_nan(isa, algorithm):
    y = conv_transpose1d(np.array([np.inf, -np.inf]), np.ones(2), algorithm=algorithm)
    np.testing.assert_array_equal(y, [np.inf, np.nan, -np.inf])


def test_signed_zeros(isa, algorithm):
    """A sum starts from +0, which adding −0 does not change: not as a term, and not as the bias."""
    y = conv_transpose1d(np.array([-0.0, -0.0]), np.ones(3), -0.0, stride=4, output_padding=3, algorithm=algorithm)
    assert not np.signbit(y).any()


def test_subnormals_are_kept(isa, algorithm):
    tiny = np.finfo(np.float32).smallest_subnormal
    x = np.full((3, 5, 5), tiny, np.float32)
    y = conv_transpose2d(x, np.ones((3, 2, 1, 1), np.float32), algorithm=algorithm)
    assert (y == 3 * tiny).all()
    gradient = grad.conv2d_weight(x, (1, 3, 5, 5), np.ones((1, 1, 1), np.float32), algorithm=algorithm)
    assert (gradient == tiny).all()


def test_overflow_is_infinite(isa, algorithm):
    large = np.full((2, 4), np.finfo(np.float32).max, np.float32)
    assert np.isposinf(conv_transpose1d(large, np.ones((2, 1, 1), np.float32), algorithm=algorithm)).all()
    gradient = grad.conv1d_weight(large, (1, 2, 1), np.ones((1, 4), np.float32), algorithm=algorithm)
    assert np.isposinf(gradient).all()
