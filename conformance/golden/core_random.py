# SPDX-License-Identifier: Apache-2.0
"""Golden bits for the keyed random numbers of @diffmavil/core, in NumPy (written with numpy 2.4.6, Python 3.11).

Philox4x32-10 after Salmon et al., SC 2011; its known answers from Random123 (tests/kat_vectors) are asserted here. Normals
are Box-Muller in float32, each operation rounded (NumPy fuses none). A float is stored as the integer of its bits.
Writes fixtures/core_random/random.json. Usage: python conformance/golden/core_random.py
"""
import hashlib
import json
from pathlib import Path

import numpy as np

U32, U64, F32 = np.uint32, np.uint64, np.float32
LOW = U64(0xFFFFFFFF)
NUMBER, STRING = 0x6E756D62, 0x73747269  # 'numb', 'stri'


def philox(counter, key):
    """[n, 4] and two words -> [n, 4], all uint32."""
    c = np.asarray(counter, U64).reshape(-1, 4).copy()
    k0, k1 = int(key[0]), int(key[1])
    for _ in range(10):
        p0, p1 = c[:, 0] * U64(0xD2511F53), c[:, 2] * U64(0xCD9E8D57)
        c = np.stack([(p1 >> U64(32)) ^ c[:, 1] ^ U64(k0), p1 & LOW, (p0 >> U64(32)) ^ c[:, 3] ^ U64(k1), p0 & LOW], 1)
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c.astype(U32)


def blocks(key, count):
    """The words of elements 0..count-1 of a stream, four to a block."""
    n = np.arange(-(-count // 4), dtype=np.uint64)
    stream = np.broadcast_to(np.asarray(key[2:], U64), (len(n), 2))
    return philox(np.concatenate([np.stack([n & LOW, n >> U64(32)], 1), stream], 1), key[:2])


def uniforms(key, count):
    return (blocks(key, count).ravel()[:count] >> U32(8)).astype(F32) * F32(2**-24)


def minus_two_log(word):
    u = ((word >> U32(8)).astype(F32) + F32(0.5)) * F32(2**-24)
    m, e = np.frexp(u)  # u = m 2^e, m in [1/2, 1)
    m, e = m * F32(2), e - 1
    big = m > F32(1.41421354)
    m, e = np.where(big, m * F32(0.5), m), np.where(big, e + 1, e).astype(F32)
    z = (m - F32(1)) / (m + F32(1))
    w = z * z
    p = F32(0)
    for coefficient in (0.111111112, 0.142857149, 0.2, 0.333333343):
        p = p * w + F32(coefficient)
    return F32(-2) * (e * F32(0.693147182) + F32(2) * (z + z * (w * p)))


def sine_cosine(word):
    """Of 2 pi word / 2^32, by the nearest quarter turn and the rest of at most an eighth."""
    turn = word.astype(np.int64)
    quarter = (turn + 2**29) // 2**30
    x = ((turn - quarter * 2**30) >> 6).astype(F32) * (F32(6.283185482025146) * F32(2**-26))
    w = x * x
    s = x + (x * w) * (F32(-0.166666672) + w * (F32(0.00833333377) + w * F32(-0.000198412701)))
    c = F32(1) + w * (F32(-0.5) + w * (F32(0.0416666679) + w * (F32(-0.00138888892) + w * F32(2.48015876e-05))))
    q = quarter % 4
    return np.choose(q, [s, c, -s, -c]), np.choose(q, [c, -s, -c, s])


def normals(key, count):
    words = blocks(key, count)
    out = np.empty(words.shape, F32)
    for i in (0, 2):
        radius = np.sqrt(minus_two_log(words[:, i]))
        sine, cosine = sine_cosine(words[:, i + 1])
        out[:, i], out[:, i + 1] = radius * cosine, radius * sine
    assert out.dtype == F32
    return out.ravel()[:count]


def fold(key, *data):
    for datum in data:
        if isinstance(datum, str):
            raw = datum.encode()
            pairs = [(len(raw), 0)] + [
                tuple(np.frombuffer(raw[i : i + 8].ljust(8, b"\0"), "<u4").tolist()) for i in range(0, len(raw), 8)
            ]
            tag = STRING
        else:
            pairs, tag = [(datum % 2**32, (datum >> 32) % 2**32)], NUMBER
        for pair in pairs:
            words = philox([*pair, *key[2:]], (key[0], key[1] ^ tag))[0].tolist()
            key = (key[0], key[1], words[0], words[1])
    return key


def main():
    for counter, key, answer in (
        ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([2**32 - 1] * 4, [2**32 - 1] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0], "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ):
        assert " ".join(f"{w:08x}" for w in philox(counter, key)[0]) == answer

    seeds = {"zero": (0, 0, 0, 0), "small": (7, 0, 0, 0), "large": (0x89ABCDEF, 0x00123456, 0, 0)}
    data = [[], [0], [1], [-1], [2**53 - 1], [-(2**53) + 1], ["1"], [""], ["mask"], ["exactly8"], ["ünïcödé 🎧"], ["mask", 3, "clip-17"]]
    folds = [
        {"key": list(key), "data": datum, "folded": list(fold(key, *datum))} for key in seeds.values() for datum in data
    ]
    draws = []
    for key in (seeds["zero"], seeds["large"], fold(seeds["small"], "noise", 12)):
        for count in (1, 3, 4, 10, 33):
            draws.append({
                "key": list(key), "count": count,
                "uniforms": uniforms(key, count).view(U32).tolist(),
                "normals": normals(key, count).view(U32).tolist(),
                "permutation": np.argsort(uniforms(key, count), kind="stable").tolist(),
            })
    key = fold(seeds["small"], "million")
    million = {
        "key": list(key), "count": 1_000_000,
        "normals": hashlib.sha256(normals(key, 1_000_000).tobytes()).hexdigest(),
        "uniforms": hashlib.sha256(uniforms(key, 1_000_000).tobytes()).hexdigest(),
        "permutation": hashlib.sha256(
            np.argsort(uniforms(key, 1_000_000), kind="stable").astype(np.int32).tobytes()
        ).hexdigest(),
    }
    path = Path(__file__).parent / "fixtures" / "core_random" / "random.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"numpy": np.__version__, "folds": folds, "draws": draws, "million": million}) + "\n")
    print(path.name, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
