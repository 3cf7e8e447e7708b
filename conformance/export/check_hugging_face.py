# SPDX-License-Identifier: Apache-2.0
"""Loads a folder of `diffmavil export --format hf-vitmae|hf-videomae` with `transformers` and compares its tokens with NumPy's.

    python conformance/export/check_hugging_face.py MODEL_FOLDER EXPORTED_FOLDER audio|video

Needs numpy, safetensors, torch and transformers (tried with 2.4.6, 0.8.0, 2.13.0 and 5.18.0 on Python 3.11).
Fails when a weight is missing, left over or of another shape, or when the relative error is above 1e-5.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import ViTMAEModel, VideoMAEModel

from encoder import Encoder, grid_of, relative_error


def pixels_of(patches, config, modality):
    """[B, N, P] -> what the other model takes: [B, 1, frames, mels], [B, 3, size, size] or [B, frames, 3, size, size]."""
    batch = len(patches)
    patch = config[modality]["patch"]
    if modality == "audio":
        rows, columns = grid_of(config, modality)
        grid = patches.reshape(batch, rows, columns, patch, patch).transpose(0, 1, 3, 2, 4)
        return grid.reshape(batch, 1, rows * patch, columns * patch)
    times, rows, columns = grid_of(config, modality)
    tubelet = config[modality]["tubelet"]
    cut = patches.reshape(batch, times, rows, columns, tubelet, patch, patch, 3)
    frames = cut.transpose(0, 1, 4, 7, 2, 5, 3, 6)
    return frames.reshape(batch, times * tubelet, 3, rows * patch, columns * patch)


def main(folder, exported, modality):
    config = json.loads(Path(exported, "config.json").read_text())
    image = config["model_type"] == "vit_mae"
    kind = ViTMAEModel if image else VideoMAEModel
    model, report = kind.from_pretrained(exported, output_loading_info=True)
    faults = {what: sorted(names) for what, names in report.items() if names}
    encoder = Encoder(folder, modality)
    shape = encoder.config[modality]
    tokens = int(np.prod(grid_of(encoder.config, modality)))
    values = shape["patch"] ** 2 * (1 if modality == "audio" else 3 * shape["tubelet"])
    patches = np.random.default_rng(0).standard_normal((2, tokens, values), dtype=np.float32)
    pixels = torch.from_numpy(np.ascontiguousarray(pixels_of(patches, encoder.config, modality)))
    with torch.no_grad():
        if image:
            noise = torch.arange(tokens, dtype=torch.float32).repeat(2, 1)  # keeps the order of the tokens
            frame = pixels if modality == "audio" else pixels[:, 0]
            states = model.eval()(frame, noise=noise).last_hidden_state
        else:
            states = model.eval()(pixels).last_hidden_state
    error = relative_error(states.numpy(), encoder.tokens(patches))
    print(f"{kind.__name__}: {faults or 'every weight found a place'}; tokens: relative error {error:.1e}")
    return 0 if error <= 1e-5 and not faults else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
