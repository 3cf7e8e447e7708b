# SPDX-License-Identifier: Apache-2.0
"""Golden values for @diffmavil/audio-spectrogram, NumPy float64 (written with numpy 2.4.6, Python 3.11).

Log-mel after torchaudio's compliance.kaldi.fbank(htk_compat=True, use_energy=False, window_type='hanning',
num_mel_bins=mels, dither=0.0, frame_shift=10) on a mean-free waveform. The reader regenerates every signal from its
seed with the same float64 operations in the same order, so only expected values are stored.
Writes fixtures/audio_spectrogram/log-mel.json. Usage: python conformance/golden/audio_spectrogram.py
"""
import json
import math
from pathlib import Path

import numpy as np

FLOOR = 1.1920928955078125e-07
STORED = 160  # values kept per signal

# name, kind, seed, samples, sample rate, mels
SIGNALS = [
    ("one frame of white noise", "white", 1, 400, 16000, 128),
    ("one frame and one sample", "pink", 2, 401, 16000, 128),
    ("one sample short of two frames", "blue", 3, 559, 16000, 128),
    ("exactly two frames", "red", 4, 560, 16000, 128),
    ("loud white noise", "loud", 5, 1000, 16000, 128),
    ("quiet white noise", "quiet", 6, 4000, 16000, 128),
    ("low resonance", "low-band", 7, 8000, 16000, 128),
    ("high resonance", "high-band", 8, 12345, 16000, 128),
    ("white noise with an offset", "offset", 9, 16000, 16000, 128),
    ("swelling noise", "swell", 10, 16001, 16000, 128),
    ("bursts between exact zeros", "bursts", 11, 24000, 16000, 128),
    ("clicks", "clicks", 12, 32000, 16000, 128),
    ("noise of 16 levels", "levels", 13, 40000, 16000, 128),
    ("clipped red noise", "clipped", 14, 64000, 16000, 128),
    ("64 mels", "pink", 15, 80000, 16000, 64),
    ("8 kHz, 40 mels", "white", 16, 30000, 8000, 40),
    ("44.1 kHz, 1102-sample window", "pink", 17, 88200, 44100, 128),
    ("10 s of pink noise", "pink", 18, 160000, 16000, 128),
    ("15 s of white noise", "white", 19, 240000, 16000, 128),
    ("30 s of blue noise", "blue", 20, 480000, 16000, 128),
]
BANKS = [(16000, 128, 512), (16000, 64, 512), (8000, 40, 256), (44100, 128, 2048)]


def lcg(seed, count):
    """Uniform in [-1, 1): s <- (1103515245 s + 12345) mod 2^31, v = s / 2^30 - 1."""
    out, state = [], seed
    for _ in range(count):
        state = (1103515245 * state + 12345) % 2147483648
        out.append(state / 1073741824.0 - 1.0)
    return out


def colour(kind, v):
    """The signal of one kind from white noise v, a plain list of float64."""
    y, y1, y2, b0, b1, b2, before = [], 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i, x in enumerate(v):
        if kind == "white":
            out = 0.1 * x
        elif kind == "loud":
            out = 0.9 * x
        elif kind == "quiet":
            out = 0.001 * x
        elif kind == "offset":
            out = 0.05 * x + 0.3
        elif kind == "blue":
            out = 0.2 * (x - before)
            before = x
        elif kind in ("red", "clipped"):
            y1 = 0.97 * y1 + 0.1 * x
            out = y1 if kind == "red" else max(-0.2, min(0.2, y1))
        elif kind == "pink":
            b0 = 0.99765 * b0 + 0.099046 * x
            b1 = 0.963 * b1 + 0.2965164 * x
            b2 = 0.57 * b2 + 1.0526913 * x
            out = 0.05 * (((b0 + b1) + b2) + 0.1848 * x)
        elif kind in ("low-band", "high-band"):
            a1, a2 = (1.7, 0.96) if kind == "low-band" else (-1.5, 0.9)
            out = (a1 * y1 - a2 * y2) + 0.02 * x
            y2, y1 = y1, out
        elif kind == "swell":
            out = 0.5 * x * (i / (len(v) - 1))
        elif kind == "bursts":
            out = 0.3 * x if (i // 1600) % 3 == 0 else 0.0
        elif kind == "clicks":
            out = 0.8 if x > 0.998 else 0.0
        elif kind == "levels":
            out = math.floor(x * 8.0) / 8.0
        else:
            raise ValueError(kind)
        y.append(out)
    return np.array(y, dtype=np.float64).astype(np.float32)


def mel(hertz):
    return 1127.0 * np.log(1.0 + hertz / 700.0)


def bank(rate, mels, size):
    edges = mel(20.0) + np.arange(mels + 2) * (mel(rate / 2.0) - mel(20.0)) / (mels + 1)
    position = mel(np.arange(size // 2) * (rate / size))
    left, centre, right = (edges[k : k + mels, None] for k in range(3))
    triangles = np.minimum((position - left) / (centre - left), (right - position) / (right - centre))
    return np.maximum(0.0, triangles), 700.0 * (np.exp(edges[1:-1] / 1127.0) - 1.0)


def log_mel(waveform, rate, mels):
    x = waveform.astype(np.float64)
    x = x - x.mean()
    length, shift = int(rate * 0.025), int(rate * 0.010)
    size = 1 << (length - 1).bit_length()
    count = 1 + (len(x) - length) // shift
    frames = np.stack([x[i * shift : i * shift + length] for i in range(count)])
    frames = frames - frames.mean(axis=1, keepdims=True)
    delayed = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    frames = (frames - 0.97 * delayed) * np.hanning(length)
    power = np.abs(np.fft.rfft(frames, size, axis=1)) ** 2
    filters, _ = bank(rate, mels, size)
    return np.log(np.maximum(power[:, : size // 2] @ filters.T, FLOOR))


def main():
    signals = []
    for name, kind, seed, samples, rate, mels in SIGNALS:
        out = log_mel(colour(kind, lcg(seed, samples)), rate, mels)
        flat = out.ravel()
        positions = sorted({(i * 104729 + seed) % flat.size for i in range(STORED)})
        signals.append({
            "name": name, "kind": kind, "seed": seed, "samples": samples, "sampleRate": rate, "mels": mels,
            "frames": out.shape[0], "mean": float(flat.mean()), "std": float(flat.std()),
            "positions": positions, "values": [round(float(flat[p]), 9) for p in positions],
        })
    banks = []
    for rate, mels, size in BANKS:
        filters, centres = bank(rate, mels, size)
        banks.append({
            "sampleRate": rate, "mels": mels, "fftSize": size,
            "centreFrequencies": [round(float(c), 9) for c in centres],
            "rowSums": [round(float(r), 12) for r in filters.sum(axis=1)],
        })
    path = Path(__file__).parent / "fixtures" / "audio_spectrogram" / "log-mel.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"numpy": np.__version__, "signals": signals, "banks": banks}) + "\n")
    print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
