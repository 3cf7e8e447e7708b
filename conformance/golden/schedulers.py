# SPDX-License-Identifier: Apache-2.0
"""Golden values for @diffmavil/schedulers, from the formulas of the papers in 50-digit arithmetic.

Tried with Python 3.11, mpmath 1.3.0. Run: python conformance/golden/schedulers.py
Writes conformance/golden/fixtures/schedulers/*.json; every number is the float64 nearest to the exact value.
The reverse-step posteriors come from conditioning Gaussians (precisions add), not from the closed form that
the package implements, and rational curricula use exact fractions, so rounding errors there cannot agree by chance.
"""

import json
import math
from fractions import Fraction
from pathlib import Path

from mpmath import cos, exp, floor, mp, mpf, pi, sqrt

mp.dps = 50
FOLDER = Path(__file__).parent / "fixtures" / "schedulers"


def write(name, origin, value):
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps({"origin": origin, **value}, indent=1, default=float) + "\n")


# ---------------------------------------------------------------- variance schedules


def linspace(start, end, count):
    if count == 1:
        return [mpf(start)]
    return [mpf(start) + (mpf(end) - mpf(start)) * i / (count - 1) for i in range(count)]


def plain_betas(s):
    steps = s["timesteps"]
    if s["kind"] == "linear":  # DDPM section 4
        return linspace(s["betaStart"], s["betaEnd"], steps)
    if s["kind"] == "scaled-linear":  # linear in the square root (latent diffusion)
        return [b**2 for b in linspace(sqrt(mpf(s["betaStart"])), sqrt(mpf(s["betaEnd"])), steps)]
    if s["kind"] == "cosine":  # arXiv 2102.09672 eq. 17, s = 0.008
        offset = mpf("0.008")
        f = lambda t: cos((mpf(t) / steps + offset) / (1 + offset) * pi / 2) ** 2
        return [min(1 - f(t) / f(t - 1), mpf(s.get("maxBeta", 0.999))) for t in range(1, steps + 1)]
    if s["kind"] == "sigmoid":  # logistic curve over [-range, range]
        half = mpf(s.get("range", 6))
        start, end = mpf(s["betaStart"]), mpf(s["betaEnd"])
        return [start + (end - start) / (1 + exp(-x)) for x in linspace(-half, half, steps)]
    raise ValueError(s["kind"])


def tables(s):
    b = [beta ** mpf(s.get("exponent", 1)) for beta in plain_betas(s)]
    bars, product = [], mpf(1)
    for value in b:
        product *= 1 - value
        bars.append(product)
    return b, bars


def schedule_cases():
    paper = {"timesteps": 1000, "betaStart": 1e-4, "betaEnd": 0.02}
    schedules = [
        {"kind": "linear", **paper, "exponent": 0.8},
        {"kind": "linear", **paper},
        {"kind": "linear", "timesteps": 1, "betaStart": 0.01, "betaEnd": 0.02, "exponent": 0.5},
        {"kind": "scaled-linear", "timesteps": 1000, "betaStart": 0.00085, "betaEnd": 0.012},
        {"kind": "scaled-linear", "timesteps": 7, "betaStart": 0.01, "betaEnd": 0.3, "exponent": 1.5},
        {"kind": "cosine", "timesteps": 1000},
        {"kind": "cosine", "timesteps": 9, "exponent": 0.8, "maxBeta": 0.5},
        {"kind": "sigmoid", **paper},
        {"kind": "sigmoid", "timesteps": 8, "betaStart": 0.001, "betaEnd": 0.2, "range": 3, "exponent": 0.8},
    ]
    cases = []
    for s in schedules:
        b, bars = tables(s)
        steps = s["timesteps"]
        kept = range(1, steps + 1) if steps < 50 else [1, 2, 3, 10, 50, 100, 135, 200, 300, 500, 700, 900, 999, 1000]
        cases.append({
            "schedule": s,
            "at": [[t, b[t - 1], bars[t - 1]] for t in kept],
            "meanAlphaBar": sum(bars) / steps,
            "firstBelowHalf": next((t for t in range(1, steps + 1) if bars[t - 1] < 0.5), None),
        })
    return cases


# ---------------------------------------------------------------- reverse steps


def posterior(bar_t, bar_s, x0, xt):
    """Mean and variance of q(x_s | x_t, x_0): product of q(x_s | x_0) and q(x_t | x_s) as Gaussians in x_s."""
    if bar_s == 1:
        return x0, mpf(0)
    alpha = bar_t / bar_s
    prior, likelihood = 1 / (1 - bar_s), alpha / (1 - alpha)
    variance = 1 / (prior + likelihood)
    return variance * (prior * sqrt(bar_s) * x0 + sqrt(alpha) * xt / (1 - alpha)), variance


def step_cases():
    x0, eps, z = mpf("0.75"), mpf("-1.25"), mpf("0.5")
    cases = []
    for exponent in (0.8, 1):
        _, bars = tables({"kind": "linear", "timesteps": 1000, "betaStart": 1e-4, "betaEnd": 0.02, "exponent": exponent})
        # alphaBar is an input of the step: the float64 value in the fixture is taken as exact.
        bar = lambda t: mpf(1) if t == 0 else mpf(float(bars[t - 1]))
        for t, s in [(1, 0), (2, 1), (10, 9), (135, 134), (500, 499), (1000, 999), (1000, 900), (500, 250), (300, 0), (50, 1)]:
            bt, bs = bar(t), bar(s)
            xt = sqrt(bt) * x0 + sqrt(1 - bt) * eps
            mean, variance = posterior(bt, bs, x0, xt)
            ddim = []
            for eta in (0, 0.5, 1):
                sigma = eta * sqrt((1 - bs) / (1 - bt)) * sqrt(1 - bt / bs)
                ddim.append([eta, sqrt(bs) * x0 + sqrt(max(1 - bs - sigma**2, mpf(0))) * eps + sigma * z])
            cases.append({
                "exponent": exponent, "t": t, "s": s, "alphaBar": bt, "alphaBarPrevious": bs, "noised": xt,
                "v": sqrt(bt) * eps - sqrt(1 - bt) * x0,
                "ddpmMean": mean, "ddpmVariance": variance, "stepBeta": 1 - bt / bs,
                "ddim": ddim,
            })
    return {"x0": x0, "eps": eps, "z": z, "cases": cases}


def half_up(value):
    return math.floor(value + Fraction(1, 2))


def respacing_cases():
    cases = []
    for total, steps in [(1000, 10), (1000, 16), (1000, 1), (1000, 7), (12, 12), (10, 4), (3, 2), (1, 1)]:
        leading = [1 + i * (total // steps) for i in range(steps)]
        even = [total] if steps == 1 else [half_up(1 + Fraction((total - 1) * i, steps - 1)) for i in range(steps)]
        trailing = [half_up(Fraction(total * (i + 1), steps)) for i in range(steps)]
        for spacing, ascending in (("leading", leading), ("linspace", even), ("trailing", trailing)):
            cases.append({"timesteps": total, "steps": steps, "spacing": spacing, "expected": ascending[::-1]})
    return cases


# ---------------------------------------------------------------- curricula


def ratios(c, epochs):
    if c["kind"] == "fixed":
        return [Fraction(str(c["ratio"]))] * epochs
    if c["kind"] == "step":
        return [Fraction(str(c["ratios"][sum(e >= at for at in c["epochs"])])) for e in range(epochs)]
    start, end = Fraction(str(c["start"])), Fraction(str(c["end"]))
    if epochs == 1:
        return [start]
    if c["kind"] == "linear":
        return [start + (end - start) * e / (epochs - 1) for e in range(epochs)]
    as_mp = lambda q: mpf(q.numerator) / q.denominator
    return [as_mp(end) + (as_mp(start) - as_mp(end)) * (1 + cos(pi * e / (epochs - 1))) / 2 for e in range(epochs)]


def lowest(c):
    values = [c["ratio"]] if c["kind"] == "fixed" else c["ratios"] if c["kind"] == "step" else [c["start"], c["end"]]
    return min(Fraction(str(v)) for v in values)


def batch_size(base, least, ratio):
    if isinstance(ratio, Fraction):
        return math.floor((1 - least) / (1 - ratio) * base)
    exact = (1 - mpf(least.numerator) / least.denominator) / (1 - ratio) * base
    return int(floor(exact + mpf("1e-30")))  # the ends of a cosine are rational: undo the 50th digit only


def curriculum_cases():
    curricula = [
        ({"kind": "linear", "start": 0.9, "end": 0.8}, 60, 2048),
        ({"kind": "linear", "start": 0.9, "end": 0.8}, 5, 6),
        ({"kind": "linear", "start": 0.9, "end": 0.8}, 1, 32),
        ({"kind": "linear", "start": 0.5, "end": 0.95}, 7, 10),
        ({"kind": "cosine", "start": 0.9, "end": 0.8}, 60, 2048),
        ({"kind": "cosine", "start": 0.75, "end": 0.75}, 3, 5),
        ({"kind": "fixed", "ratio": 0.8}, 3, 512),
        ({"kind": "step", "ratios": [0.9, 0.85, 0.8], "epochs": [2, 5]}, 8, 512),
    ]
    cases = []
    for c, epochs, base in curricula:
        values = ratios(c, epochs)
        cases.append({
            "curriculum": c, "epochs": epochs, "baseBatch": base, "ratios": values,
            "batchSizes": [batch_size(base, lowest(c), r) for r in values],
        })
    return cases


# ---------------------------------------------------------------- learning rate, layer decay


def cosine_rate(s, step):
    peak, low, warm, total = (mpf(s[k]) for k in ("peak", "floor", "warmupSteps", "totalSteps"))
    if step < warm:
        return peak * step / warm
    if step >= total:
        return low
    return low + (peak - low) * (1 + cos(pi * (step - warm) / (total - warm))) / 2


def learning_rate_cases():
    pretrain = {"kind": "cosine", "peak": 4e-4, "floor": 1e-6, "warmupSteps": 8 * 125, "totalSteps": 60 * 125}
    no_warm = {"kind": "cosine", "peak": 1e-3, "floor": 0, "warmupSteps": 0, "totalSteps": 10}
    in_epochs = {"kind": "cosine", "peak": 2.5e-4, "floor": 1e-6, "warmupSteps": 4, "totalSteps": 60}
    return [
        {"schedule": pretrain, "at": [[k, cosine_rate(pretrain, k)] for k in (0, 1, 500, 999, 1000, 1001, 4250, 7499, 7500, 9000)]},
        {"schedule": no_warm, "at": [[k, cosine_rate(no_warm, k)] for k in range(11)]},
        {"schedule": in_epochs, "at": [[k, cosine_rate(in_epochs, k)] for k in (0.25, 3.75, 4, 31.5, 59.75)]},
    ]


def main():
    arithmetic = "conformance/golden/schedulers.py, mpmath 1.3.0, 50 digits"
    write("variance", arithmetic, {"columns": ["t", "beta", "alphaBar"], "cases": schedule_cases()})
    write("reverse-steps", arithmetic, step_cases())
    write("respacing", "conformance/golden/schedulers.py, exact fractions, halves up", {"cases": respacing_cases()})
    write("curricula", "conformance/golden/schedulers.py, exact fractions (cosine: mpmath)", {"cases": curriculum_cases()})
    write("learning-rate", arithmetic, {"cases": learning_rate_cases()})
    write("layer-decay", arithmetic, {"cases": [
        {"depth": depth, "decay": decay, "scales": [mpf(decay) ** (depth + 1 - i) for i in range(depth + 2)]}
        for depth, decay in ((12, 0.75), (2, 0.5), (0, 0.9), (3, 1))
    ]})


if __name__ == "__main__":
    main()
