# SPDX-License-Identifier: Apache-2.0
# Reference values for @diffmavil/video-patchify, from the definitions and PyTorch's own operators.
# Python 3.11, torch 2.13.0, numpy 2.4.6, safetensors 0.8.0. Run: python conformance/golden/video_patchify.py
#
#   resize     torch.nn.functional.interpolate, bilinear, align_corners=False, antialias on and off, float64 in and out
#   patches    conv3d with one-hot kernels, so the flatten order is spelled out value by value
#   predicted  index_select of trunc(linspace) frames, then the same conv3d (the order of mae_st's forward_loss)
#   crops      the random resized crop of torchvision as a scalar program over a recorded stream of uniforms
#   sampling   exact rational arithmetic
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

FOLDER = Path(__file__).resolve().parent / "fixtures" / "video-patchify"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def save(name, tensors):
    FOLDER.mkdir(parents=True, exist_ok=True)
    arrays = {key: np.ascontiguousarray(value) for key, value in tensors.items()}
    # One metadata entry: safetensors writes several in a random order, and the files are hashed.
    save_file(arrays, FOLDER / f"{name}.safetensors", {"versions": f"torch {torch.__version__}, numpy {np.__version__}"})


def interpolate(clip, height, width, antialias):
    """[frames, h, w, 3] uint8 -> [frames, height, width, 3] float64, 0..255."""
    x = torch.from_numpy(clip).double().permute(0, 3, 1, 2)
    y = F.interpolate(x, size=(height, width), mode="bilinear", align_corners=False, antialias=antialias)
    return y.permute(0, 2, 3, 1).numpy()


def resize():
    random = np.random.default_rng(20260731)
    clip = random.integers(0, 256, size=(2, 20, 28, 3), dtype=np.uint8)
    clip[1, :, :, 0] = np.arange(28, dtype=np.uint8) * 9  # a ramp shows a shift of half a pixel
    tensors = {"clip": clip}
    cases = {  # top, left, height, width, size
        "whole_to_8": (0, 0, 20, 28, 8),
        "whole_to_3": (0, 0, 20, 28, 3),
        "whole_to_1": (0, 0, 20, 28, 1),
        "whole_to_24": (0, 0, 20, 28, 24),  # enlarges the rows, shrinks the columns
        "inner_to_7": (3, 5, 13, 17, 7),
        "corner_to_16": (9, 17, 11, 11, 16),
        "same_size": (4, 6, 12, 12, 12),
        "one_pixel_to_4": (19, 27, 1, 1, 4),
        "strip_to_6": (2, 1, 2, 26, 6),
    }
    for name, (top, left, height, width, size) in cases.items():
        cut = clip[:, top : top + height, left : left + width]
        tensors[f"{name}/box"] = np.array([top, left, height, width, size], dtype=np.int32)
        tensors[f"{name}/antialias"] = interpolate(cut, size, size, True).astype(np.float32)
        tensors[f"{name}/plain"] = interpolate(cut, size, size, False).astype(np.float32)
    # Short side 12, long side int(12 * 28 / 20) = 16; then the same clip on its side.
    tensors["short_side_12/landscape"] = interpolate(clip, 12, int(12 * 28 / 20), True).astype(np.float32)
    upright = np.ascontiguousarray(clip.transpose(0, 2, 1, 3))
    tensors["short_side_12/portrait"] = interpolate(upright, int(12 * 28 / 20), 12, True).astype(np.float32)
    x = torch.from_numpy(clip).double() / 255
    normal = (x - torch.tensor(MEAN, dtype=torch.float64)) / torch.tensor(STD, dtype=torch.float64)
    tensors["normalized"] = normal.float().numpy()
    tensors["flipped"] = torch.flip(torch.from_numpy(clip), dims=[2]).numpy()
    save("resize", tensors)


def tubelets(video, tubelet, patch):
    """[frames, size, size, 3] -> [tokens, tubelet * patch * patch * 3] through one one-hot kernel per value."""
    kernels = []
    for u in range(tubelet):
        for row in range(patch):
            for column in range(patch):
                for channel in range(3):
                    kernel = torch.zeros(3, tubelet, patch, patch)
                    kernel[channel, u, row, column] = 1
                    kernels.append(kernel)
    x = video.permute(3, 0, 1, 2)[None]  # [1, 3, frames, size, size]
    y = F.conv3d(x, torch.stack(kernels), stride=(tubelet, patch, patch))  # [1, values, t, h, w]
    return y[0].flatten(1).T.contiguous()


def patches():
    generator = torch.Generator().manual_seed(7)
    tensors = {}
    for name, (frames, size, tubelet, patch, predict) in {
        "small": (4, 12, 2, 4, (2, 4)),
        "one_frame": (1, 6, 1, 3, (1,)),
        "one_token": (2, 4, 2, 4, (1, 2)),
        "sixteen": (16, 4, 2, 2, (8, 16)),
        "long_tubelet": (12, 4, 4, 2, (3, 6, 12)),
    }.items():
        video = torch.randn(frames, size, size, 3, generator=generator)
        tensors[f"{name}/grid"] = np.array([frames, size, tubelet, patch], dtype=np.int32)
        tensors[f"{name}/values"] = video.numpy()
        tensors[f"{name}/patches"] = tubelets(video, tubelet, patch).numpy()
        for count in predict:
            kept = torch.linspace(0, frames - 1, count, dtype=torch.float64)
            kept = (kept + 1e-9).long()  # linspace may land 1 ulp below a whole number
            chosen = tubelets(video.index_select(0, kept), count * tubelet // frames, patch)
            tensors[f"{name}/kept_{count}"] = kept.int().numpy()
            tensors[f"{name}/predicted_{count}"] = chosen.numpy()
    save("patches", tensors)


def random_resized_crop(stream, height, width, scale, ratio):
    area = height * width
    for _ in range(10):
        target = area * (scale[0] + (scale[1] - scale[0]) * next(stream))
        low, high = math.log(ratio[0]), math.log(ratio[1])
        aspect = math.exp(low + (high - low) * next(stream))
        w = int(round(math.sqrt(target * aspect)))
        h = int(round(math.sqrt(target / aspect)))
        if 0 < w <= width and 0 < h <= height:
            i = int(next(stream) * (height - h + 1))  # uniform over 0 .. height - h
            j = int(next(stream) * (width - w + 1))
            return i, j, h, w
    if width / height < min(ratio):
        w, h = width, int(round(width / min(ratio)))
    elif width / height > max(ratio):
        h, w = height, int(round(height * max(ratio)))
    else:
        h, w = height, width
    return (height - h) // 2, (width - w) // 2, h, w


def crops():
    random = np.random.default_rng(11)
    frames = [(224, 224), (20, 28), (360, 640), (640, 360), (9, 400), (400, 9), (1, 1), (3, 2)]
    ranges = [((0.2, 1.0), (3 / 4, 4 / 3)), ((0.5, 1.0), (0.75, 1.3333)), ((0.95, 1.0), (0.9, 1.1)), ((1.0, 1.0), (1.0, 1.0))]
    settings, streams, boxes = [], [], []
    for height, width in frames:
        for scale, ratio in ranges:
            for _ in range(4):
                stream = random.random(22)
                used = []
                recorded = (used.append(x) or x for x in stream)
                boxes.append((*random_resized_crop(recorded, height, width, scale, ratio), len(used)))
                settings.append((height, width, *scale, *ratio))
                streams.append(stream)
    assert any(box[4] == 20 for box in boxes) and any(4 < box[4] < 20 for box in boxes) and any(box[4] == 4 for box in boxes)
    centers = []
    for height, width, size in [(20, 28, 20), (20, 28, 8), (21, 28, 8), (23, 30, 8), (256, 455, 224), (5, 5, 5)]:
        centers.append((height, width, size, int(round((height - size) / 2.0)), int(round((width - size) / 2.0))))
    save(
        "crops",
        {
            "settings": np.array(settings, dtype=np.float64),  # height, width, scale low, high, ratio low, high
            "uniforms": np.array(streams, dtype=np.float64),
            "boxes": np.array(boxes, dtype=np.int32),  # top, left, height, width, draws used
            "centers": np.array(centers, dtype=np.int32),  # height, width, size, top, left
        },
    )


def sampling():
    cases = []
    for rate in [Fraction(30), Fraction(30000, 1001), Fraction(24), Fraction(10), Fraction(4), Fraction(2), Fraction(15, 2)]:
        for seconds in [Fraction(10), Fraction(4), Fraction(5, 2), Fraction(1, 2)]:
            available = max(1, int(rate * seconds))
            for frames, duration in [(16, Fraction(4)), (8, Fraction(4)), (5, Fraction(3, 2)), (1, Fraction(2))]:
                for uniform in [Fraction(0), Fraction(1, 3), Fraction(1023, 1024)]:
                    cases.append((available, rate, frames, duration, uniform))
    rows, indices = [], []
    for available, rate, frames, duration, uniform in cases:
        start = uniform * max(Fraction(available) / rate - duration, Fraction(0))
        times = [start + i * duration / frames for i in range(frames)]
        wrapped = [math.floor(time * rate) % available for time in times]
        rows.append([float(x) for x in (available, rate, frames, duration, uniform, start)])
        indices.append(wrapped + [-1] * (16 - frames))
    save("sampling", {"cases": np.array(rows), "indices": np.array(indices, dtype=np.int32)})


resize()
patches()
crops()
sampling()
