# SPDX-License-Identifier: Apache-2.0
"""Checks a file of `diffmavil export` against its model folder: ONNX's own checker, then ONNX Runtime beside NumPy.

    python conformance/export/check_onnx.py MODEL_FOLDER FILE.onnx

Needs numpy, safetensors, onnx and onnxruntime (tried with 2.4.6, 0.8.0, 1.23.1 and 1.30.0 on Python 3.11).
Prints the relative error of every embedding; fails above 1e-5.
"""

import sys
import time

import numpy as np
import onnx
import onnxruntime

from encoder import Encoder, relative_error


def main(folder, file):
    onnx.checker.check_model(file, full_check=True)
    model = onnx.load(file)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    print(f"checked: opset {model.opset_import[0].version}, {len(model.graph.node)} nodes, {metadata['modality']}")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    failed = False
    for batch in (1, 3):
        feeds = {
            i.name: generator.standard_normal((batch, *i.shape[1:]), dtype=np.float32) for i in session.get_inputs()
        }
        start = time.perf_counter()
        outputs = dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds)))
        seconds = time.perf_counter() - start
        for name, patches in feeds.items():
            modality = metadata["modality"] if name == "patches" else name.removesuffix("_patches")
            embedding = outputs[name.replace("patches", "embedding")]
            error = relative_error(embedding, Encoder(folder, modality)(patches))
            failed |= not error <= 1e-5
            print(f"batch {batch}, {modality}: relative error {error:.1e}, {seconds * 1000:.1f} ms")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
