"""Rebuilds the built-in model and the fixture that its results are checked against.

    pip install scikit-learn==1.9.1 skl2onnx==1.20.0 && python3 test/support/make-model.py

A logistic regression on 16 standard-normal columns, seeded. scikit-learn's own predictions of 500 rows are the fixture:
an implementation independent of the ONNX runtime that Millrace scores with.
"""

import base64
import csv
import pathlib
import textwrap

import numpy
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

FEATURES = 16
root = pathlib.Path(__file__).resolve().parents[2]
fixtures = root / "test/fixtures/inference"
random = numpy.random.default_rng(20261121)

weights = random.normal(size=FEATURES)
rows = random.normal(size=(5_000, FEATURES)).astype(numpy.float32)
labels = (rows @ weights + random.logistic(size=len(rows)) > 0).astype(numpy.int64)
model = LogisticRegression(max_iter=1_000).fit(rows, labels)

onnx = to_onnx(model, rows[:1], options={"zipmap": False}, target_opset=17).SerializeToString()
encoded = textwrap.wrap(base64.b64encode(onnx).decode(), 100)
lines = "\n".join(f"  '{line}'," for line in encoded)
(root / "lambdas/workflows/inference/built-in-model.ts").write_text(
    "/** A logistic regression on 16 numeric columns as ONNX, in base64; rebuilt by test/support/make-model.py. */\n"
    f"export const BUILT_IN_MODEL = [\n{lines}\n].join('');\n"
)

sample = numpy.round(random.normal(size=(500, FEATURES)), 4).astype(numpy.float32)
probabilities = model.predict_proba(sample)
with open(fixtures / "rows.csv", "w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([f"x{i:02}" for i in range(1, FEATURES + 1)])
    writer.writerows([[f"{value:.4f}" for value in row] for row in sample])
with open(fixtures / "expected.csv", "w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["label", "probabilities_0", "probabilities_1"])
    writer.writerows([[int(p[1] > 0.5), f"{p[0]:.9f}", f"{p[1]:.9f}"] for p in probabilities])
