"""One image from command to answer with warm caches, beside a script with open_clip.

python bench/start.py [DATA] [--runs 5] [--quick]
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import (
    Worker,
    data_parser,
    half,
    model_folder,
    peers_python,
    picture_files,
    rate_row,
    ratio,
    target,
    write,
)

SCRIPT = """
import sys, torch, open_clip
from PIL import Image
model, _, preprocess = open_clip.create_model_and_transforms("ViT-B-32")
model.eval()
tokens = open_clip.get_tokenizer("ViT-B-32")(["a photo of an ant", "a photo of a bee"])
with torch.no_grad():
    image = model.encode_image(preprocess(Image.open(sys.argv[1])).unsqueeze(0), normalize=True)
    texts = model.encode_text(tokens, normalize=True)
    print((100 * image @ texts.T).softmax(-1))
"""
CACHE = Path(tempfile.gettempdir()) / "cliptune-bench-cache"


def main():
    options = data_parser(__doc__).parse_args()
    (image,), _ = picture_files(options.data, 1, 1)
    runs = 1 if options.quick else options.runs
    Worker(f"ours:openvino:{half()}:vit").close()  # the graphs
    commands = {
        "ours, lite": [sys.executable, "-m", "cliptune", "predict", image, "--labels", "ant,bee",
                       "--engine", "openvino"],
        "ours, ViT-B/32": [sys.executable, "-m", "cliptune", "predict", image, "--labels",
                           "ant,bee", "--model", str(model_folder()), "--engine", "openvino",
                           "--precision", half()],
        "script, open_clip": [str(peers_python("peers")), "-c", SCRIPT, image],
    }  # fmt: skip
    seconds = {way: [] for way in commands}
    environment = {**os.environ, "CLIPTUNE_CACHE": str(CACHE)}
    for run in range(-1, runs):
        for way, command in commands.items():
            start = time.perf_counter()
            quiet = subprocess.DEVNULL
            subprocess.run(command, check=True, env=environment, stdout=quiet, stderr=quiet)
            if run >= 0:
                seconds[way].append(time.perf_counter() - start)
    rows = [rate_row("one image", way, 1, s, "answers/s") for way, s in seconds.items()]
    peer = seconds["script, open_clip"]
    allowed = [2.5] * runs
    targets = [
        target("over a script with open_clip", ratio(peer, seconds["ours, ViT-B/32"]), 3),
        target("2.5 s over the time of lite", ratio(allowed, seconds["ours, lite"]), 1, ""),
        target("2.5 s over the time of ViT-B/32", ratio(allowed, seconds["ours, ViT-B/32"]), 1, ""),
    ]
    about = f"Whole processes, warm caches, {runs} runs; the features of the image are cached too."
    write("start", {"about": about, "seconds": seconds}, targets, rows)


if __name__ == "__main__":
    main()
