"""Makes the network that the C++ example runs, and runs it from Python: colours the edges of a photograph by direction.

python orientation.py network.safetensors                       writes the network
python orientation.py network.safetensors photo.ppm result.pfm  runs it
"""

import re
import sys
from pathlib import Path

import flatconv
import numpy as np
from safetensors.numpy import save_file


def gabor(angle, size=7, wavelength=4.0, sigma=2.0):
    """A patch of waves that run in one direction: it answers to edges across it."""
    v, u = np.mgrid[:size, :size] - size // 2
    along = u * np.cos(angle) + v * np.sin(angle)
    patch = np.exp(-(u**2 + v**2) / (2 * sigma**2)) * np.sin(2 * np.pi * along / wavelength)
    return patch / np.abs(patch).sum()


def make_network(directions=8):
    """Edges in each direction; their neighbourhood's mean at half the size; a colour for each direction."""
    angles = np.arange(directions) * np.pi / directions
    edges = np.stack([gabor(angle) for angle in angles])[:, None] * np.full((1, 3, 1, 1), 1 / 3)
    edges = np.concatenate([edges, -edges])  # light to dark, dark to light
    means = np.full((2 * directions, 1, 5, 5), 1 / 25)
    colours = 1 + np.cos(2 * angles - np.array([[0], [2 * np.pi / 3], [4 * np.pi / 3]]))
    colours = np.concatenate([colours, colours], axis=1)[:, :, None, None]
    layers = []
    for weight, stride, groups in [(edges, 1, 1), (means, 2, 2 * directions), (colours, 1, 1)]:
        bias = np.zeros(len(weight))
        layers.append((weight.astype(np.float32), bias.astype(np.float32), stride, groups))
    layers[0][1][:] = -0.01  # less than that is noise
    return layers


def save_network(layers, path):
    """Write the tensors, and what else a layer needs to know as metadata."""
    tensors, metadata = {}, {}
    for i, (weight, bias, stride, groups) in enumerate(layers):
        tensors[f"{i}.weight"], tensors[f"{i}.bias"] = weight, bias
        metadata[f"{i}.stride"], metadata[f"{i}.groups"] = str(stride), str(groups)
    save_file(tensors, path, metadata)


def run_network(layers, x):
    """Run the layers over (3, height, width), with a ReLU after each but the last."""
    for i, (weight, bias, stride, groups) in enumerate(layers):
        x = flatconv.conv2d(x, weight, bias, stride, "same", groups=groups, padding_mode="reflect")
        if i < len(layers) - 1:
            x = np.maximum(x, np.float32(0))
    return x


def read_ppm(path):
    """A binary PPM of 8 bits without comments, as (3, height, width) from 0 to 1."""
    content = Path(path).read_bytes()
    header = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", content)
    if not header:
        raise ValueError(f"{path} is not a binary PPM of 8 bits")
    width, height = map(int, header.groups())
    image = np.frombuffer(content, np.uint8, offset=header.end()).reshape(height, width, 3)
    return np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)


def write_pfm(path, x):
    """Write (3, height, width) as a portable float map: rows from the bottom up."""
    _, height, width = x.shape
    Path(path).write_bytes(
        f"PF\n{width} {height}\n-1.0\n".encode() + x.transpose(1, 2, 0)[::-1].astype("<f4").tobytes()
    )


def main(arguments):
    """Run the command line."""
    if len(arguments) not in (1, 3):
        sys.exit(__doc__)
    layers = make_network()
    save_network(layers, arguments[0])
    if len(arguments) == 3:
        write_pfm(arguments[2], run_network(layers, read_ppm(arguments[1])))


if __name__ == "__main__":
    main(sys.argv[1:])
