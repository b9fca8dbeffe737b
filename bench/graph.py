"""From a file to its probabilities, one picture after another: exported graphs beside their run.

    python bench/graph.py [DATA] [--runs 3] [--quick]

Photographs of many sizes; the run by what ``ct.load_classifier`` opens, without its cache, which
gives one image one core; the graph by the ``predict.py`` that every export brings, on all cores;
each in a process of its own, in alternating order. ``lite`` and a ViT-B/32 with random weights,
prototype heads. Both compute in float32; the run as its engine chooses is printed too.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from harness import alternate, data_parser, picture_files, rate_row, ratio, target, write
from serve_exports import CACHE, prepare

WAYS = {"run": "fp32", "run, own format": "auto"}
NAMES = {"lite": "lite", "vit": "ViT-B/32"}


class Answering:
    """A run or an export that answers in a process of its own."""

    def __init__(self, way, folder):
        pipe = subprocess.PIPE
        command = [sys.executable, __file__, "--answer", way, str(folder)]
        self.way = way
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def ask(self, do, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def main():
    options = data_parser(__doc__).parse_args()
    files, _ = picture_files(options.data, 20 if options.quick else 200, 1)
    targets, rows = [], []
    for name, shown in NAMES.items():
        run, export = prepare(name, options.data, "onnx")
        ways = [Answering(way, run) for way in WAYS] + [Answering("graph", export)]
        for way in ways:
            way.ask("answer", files=files[:10])
        seconds = alternate(ways, 1 if options.quick else options.runs, "answer", files=files)
        rows += [rate_row(shown, way, len(files), seconds[way], "images/s") for way in seconds]
        found = ratio(seconds["run"], seconds["graph"])
        targets.append(target(f"graph over its run, {shown}", found, 0.95))
    about = f"{len(files)} photographs, one at a time, from file to probabilities."
    write("graph", {"about": about}, targets, rows)


def answer(way, folder):
    """Answer requests, a line each: read files one by one and classify them."""
    classify = of_graph(folder) if way == "graph" else of_run(folder, WAYS[way])
    for line in sys.stdin:
        start = time.perf_counter()
        for file in json.loads(line)["files"]:
            classify(file)
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


def of_run(folder, precision):
    import os

    os.environ["CLIPTUNE_CACHE"] = str(CACHE)
    import cliptune as ct
    from cliptune.images.decode import decode_image

    compute = ct.ComputeOptions(precision=precision)
    classifier = ct.load_classifier(folder, compute=compute)
    encoder, head = classifier.encoder, classifier.calibrated
    prepare = encoder.preprocess

    def classify(file):
        image = decode_image(Path(file).read_bytes(), name=file, min_side=prepare.min_side)
        return head.predict_proba(encoder.encode_images(prepare(image)[None]))

    return classify


def of_graph(folder):
    sys.path.insert(0, folder)
    import predict

    classifier = predict.Classifier(Path(folder) / "image.onnx")
    return lambda file: classifier.predict(predict.read_image(file))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--answer"]:
        answer(*sys.argv[2:])
    else:
        main()
