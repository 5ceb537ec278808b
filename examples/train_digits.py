"""Trains a small convolutional network on handwritten digits, in NumPy alone: flatconv computes layers and gradients.

    pip install flatconv scikit-learn
    python examples/train_digits.py

Two convolutions and a linear layer, softmax cross-entropy, Adam. Every line of the backward pass is spelled out.
"""

from __future__ import annotations

import time
from typing import Any

import flatconv
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

Parameters = dict[str, np.ndarray[Any, np.dtype[np.float32]]]


def initial_parameters(rng: np.random.Generator) -> Parameters:
    """He initialisation: the variance of a layer's output is that of its input."""

    def normal(*shape: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        fan_in = np.prod(shape[1:])
        return (rng.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)

    return {
        "weight1": normal(32, 1, 3, 3),
        "bias1": np.zeros(32, np.float32),
        "weight2": normal(64, 32, 3, 3),
        "bias2": np.zeros(64, np.float32),
        "weight3": normal(10, 64 * 4 * 4),
        "bias3": np.zeros(10, np.float32),
    }


def forward(p: Parameters, x: Any) -> tuple[Any, Any, Any]:
    """The outputs of the layers: two activations and the logits of ten classes."""
    a1 = np.maximum(flatconv.conv2d(x, p["weight1"], p["bias1"], padding=1), 0)  # (N, 32, 8, 8)
    a2 = np.maximum(flatconv.conv2d(a1, p["weight2"], p["bias2"], stride=2, padding=1), 0)  # (N, 64, 4, 4)
    return a1, a2, a2.reshape(len(x), -1) @ p["weight3"].T + p["bias3"]


def loss_and_gradients(p: Parameters, x: Any, labels: Any) -> tuple[float, Parameters]:
    """Mean cross-entropy, and its gradient with respect to every parameter."""
    a1, a2, logits = forward(p, x)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    rows = np.arange(len(x))
    loss = -np.log(probabilities[rows, labels]).mean()

    grad_logits = probabilities
    grad_logits[rows, labels] -= 1
    grad_logits /= len(x)
    grad_a2 = (grad_logits @ p["weight3"]).reshape(a2.shape) * (a2 > 0)
    grad_a1 = flatconv.grad.conv2d_input(a1.shape, p["weight2"], grad_a2, stride=2, padding=1) * (a1 > 0)
    return float(loss), {
        "weight1": flatconv.grad.conv2d_weight(x, p["weight1"].shape, grad_a1, padding=1),
        "bias1": flatconv.grad.conv2d_bias(grad_a1),
        "weight2": flatconv.grad.conv2d_weight(a1, p["weight2"].shape, grad_a2, stride=2, padding=1),
        "bias2": flatconv.grad.conv2d_bias(grad_a2),
        "weight3": grad_logits.T @ a2.reshape(len(x), -1),
        "bias3": grad_logits.sum(axis=0),
    }


class Adam:
    """D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1."""

    def __init__(self, parameters: Parameters, rate: float = 2e-3) -> None:
        self.rate = rate
        self.steps = 0
        self.means = {name: np.zeros_like(value) for name, value in parameters.items()}
        self.squares = {name: np.zeros_like(value) for name, value in parameters.items()}

    def step(self, parameters: Parameters, gradients: Parameters) -> None:
        """Move every parameter against its gradient, in place."""
        self.steps += 1
        rate = self.rate * np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        for name, gradient in gradients.items():
            self.means[name] += 0.1 * (gradient - self.means[name])
            self.squares[name] += 0.001 * (gradient * gradient - self.squares[name])
            parameters[name] -= rate * self.means[name] / (np.sqrt(self.squares[name]) + 1e-8)


def train(epochs: int = 20, batch: int = 32, seed: int = 0, report: bool = True) -> float:
    """Train, and return the share of the test digits that is recognised."""
    rng = np.random.default_rng(seed)
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)  # (1797, 1, 8, 8)
    x, x_test, labels, labels_test = train_test_split(
        images, digits.target, test_size=0.25, random_state=seed, stratify=digits.target
    )
    parameters = initial_parameters(rng)
    adam = Adam(parameters)
    accuracy = 0.0
    for epoch in range(epochs):
        losses = []
        for rows in np.array_split(rng.permutation(len(x)), len(x) // batch):
            loss, gradients = loss_and_gradients(parameters, x[rows], labels[rows])
            adam.step(parameters, gradients)
            losses.append(loss)
        accuracy = float(np.mean(forward(parameters, x_test)[-1].argmax(axis=1) == labels_test))
        if report:
            print(f"epoch {epoch + 1:2}: loss {np.mean(losses):.4f}, {accuracy:.1%} of {len(x_test)} test digits")
    return accuracy


if __name__ == "__main__":
    start = time.perf_counter()
    train()
    print(f"{time.perf_counter() - start:.1f} s")
