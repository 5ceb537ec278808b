"""The examples do what they promise."""

import importlib.util
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_a_network_learns_to_read_digits():
    assert load("train_digits").train(report=False) >= 0.97


def test_a_few_steps_lower_the_loss():
    """Without scikit-learn: digits are noise here, which a network can learn by heart."""
    np = pytest.importorskip("numpy")
    pytest.importorskip("sklearn")
    example = load("train_digits")
    rng = np.random.default_rng(0)
    parameters = example.initial_parameters(rng)
    adam = example.Adam(parameters)
    x, labels = rng.random((24, 1, 8, 8), np.float32), rng.integers(0, 10, 24)
    losses = []
    for _ in range(30):
        loss, gradients = example.loss_and_gradients(parameters, x, labels)
        adam.step(parameters, gradients)
        losses.append(loss)
    assert losses[-1] < losses[0] / 4
