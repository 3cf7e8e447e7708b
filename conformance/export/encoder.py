# SPDX-License-Identifier: Apache-2.0
"""The encoder of a model folder in NumPy, float64: what an exported file has to reproduce.

Written from the papers and from docs (names and layouts of model.safetensors), not from the TypeScript.
Legend: B batch, N tokens, W width, P values of a patch.
"""

import json
import math
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

erf = np.vectorize(math.erf, otypes=[np.float64])


def read_folder(folder):
    """(config, weights as float64)"""
    config = json.loads(Path(folder, "config.json").read_text())
    weights = load_file(Path(folder, "model.safetensors"))
    return config, {name: w.astype(np.float64) for name, w in weights.items()}


def grid_of(config, modality):
    m = config[modality]
    if modality == "audio":
        stride = m.get("stride", m["patch"])
        return [(m[axis] - m["patch"]) // stride + 1 for axis in ("frames", "mels")]
    return [m["frames"] // m["tubelet"], m["size"] // m["patch"], m["size"] // m["patch"]]


def patch_values(config, modality):
    m = config[modality]
    return m["patch"] ** 2 * (1 if modality == "audio" else 3 * m["tubelet"])


def sin_cos(position, width):
    angle = position[:, None] * 10000.0 ** (-np.arange(width // 2) / (width // 2))
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=1)


def positions(grid, width):
    """Columns in the first half of the width, rows in the second; video adds time."""
    *times, rows, columns = grid
    row = np.repeat(np.arange(rows), columns)
    column = np.tile(np.arange(columns), rows)
    plane = np.concatenate([sin_cos(column, width // 2), sin_cos(row, width // 2)], axis=1)
    if not times:
        return plane
    time = np.repeat(np.arange(times[0]), rows * columns)
    return np.tile(plane, (times[0], 1)) + sin_cos(time, width)


class Encoder:
    """patches [B, N, P] -> embedding [B, W]."""

    def __init__(self, folder, modality):
        self.config, self.weights = read_folder(folder)
        self.modality = modality
        self.name = f"{modality}_encoder"
        shared = self.config["encoder"].get("sharing") == "shared"
        self.stack = "shared_encoder" if shared else self.name

    def linear(self, name, x):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, name, x):
        epsilon = self.config["encoder"].get("normEpsilon", 1e-6)
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attention(self, name, x):
        heads = self.config["encoder"]["heads"]
        batch, tokens, width = x.shape
        qkv = self.linear(f"{name}.qkv", x).reshape(batch, tokens, 3, heads, width // heads)
        q, k, v = qkv.transpose(2, 0, 3, 1, 4)
        scores = q @ k.transpose(0, 1, 3, 2) / math.sqrt(width // heads)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        return self.linear(f"{name}.proj", (shares @ v).transpose(0, 2, 1, 3).reshape(x.shape))

    def block(self, name, x):
        x = x + self.attention(f"{name}.attn", self.norm(f"{name}.norm1", x))
        hidden = self.linear(f"{name}.mlp.fc1", self.norm(f"{name}.norm2", x))
        return x + self.linear(f"{name}.mlp.fc2", hidden * (1 + erf(hidden / math.sqrt(2))) / 2)

    def __call__(self, patches):
        return self.tokens(patches)[:, self.class_tokens :].mean(axis=1)

    @property
    def class_tokens(self):
        encoder = self.config["encoder"]
        return sum(bool(encoder.get(name)) for name in ("classToken", "distillationToken"))

    def tokens(self, patches):
        """[B, class tokens + N, W], after the last norm if there is one."""
        encoder = self.config["encoder"]
        x = self.linear(f"{self.name}.patch_embed", patches.astype(np.float64))
        if encoder.get("positions") == "learned":
            x = x + self.weights[f"{self.name}.positions"]
        else:
            x = x + positions(grid_of(self.config, self.modality), encoder["width"])
        if encoder.get("modalityToken"):
            x = x + self.weights[f"{self.name}.modality_token"]
        for token in ("dist_token", "cls_token"):
            if f"{self.name}.{token}" in self.weights:
                front = np.broadcast_to(self.weights[f"{self.name}.{token}"], (len(x), 1, x.shape[2]))
                x = np.concatenate([front, x], axis=1)
        for i in range(encoder["depth"]):
            x = self.block(f"{self.stack}.blocks.{i}", x)
        return self.norm(f"{self.stack}.norm", x) if encoder["finalNorm"] else x


def relative_error(actual, expected):
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))
