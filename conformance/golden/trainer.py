# SPDX-License-Identifier: Apache-2.0
# Metric goldens from scikit-learn 1.9.1 and SciPy: average precision, ROC AUC, d' on scores with ties.
# Writes fixtures/trainer/metrics.json; scores come from the LCG s <- (1103515245 s + 12345) mod 2^31, so no scores are stored.
import json
import pathlib

import numpy as np
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

CLIPS, CLASSES = 37, 5


def lcg(seed, count):
    values, state = [], seed
    for _ in range(count):
        state = (1103515245 * state + 12345) % 2**31
        values.append(state / 2**31)
    return np.array(values)


scores = np.round(lcg(7, CLIPS * CLASSES) * 16).reshape(CLIPS, CLASSES) / 16
targets = (lcg(11, CLIPS * CLASSES) < 0.3).astype(int).reshape(CLIPS, CLASSES)
targets[:, 3] = 0  # a class without positives is left out of the means
used = [c for c in range(CLASSES) if 0 < targets[:, c].sum() < CLIPS]
ap = {c: average_precision_score(targets[:, c], scores[:, c]) for c in used}
auc = {c: roc_auc_score(targets[:, c], scores[:, c]) for c in used}
mean_auc = float(np.mean(list(auc.values())))
golden = {
    "clips": CLIPS,
    "classes": CLASSES,
    "averagePrecision": [float(ap[c]) if c in ap else None for c in range(CLASSES)],
    "auc": [float(auc[c]) if c in auc else None for c in range(CLASSES)],
    "meanAveragePrecision": float(np.mean(list(ap.values()))),
    "meanAuc": mean_auc,
    "dPrime": float(np.sqrt(2) * norm.ppf(mean_auc)),
    "normalQuantiles": {str(p): float(norm.ppf(p)) for p in (1e-9, 0.001, 0.3, 0.5, 0.9, 0.999999)},
}
out = pathlib.Path(__file__).parent / "fixtures/trainer/metrics.json"
out.parent.mkdir(parents=True, exist_ok=True)
out.write_text(json.dumps(golden, indent=1) + "\n")
