"""How far rows of a batch of 64 are from the same computed alone, by engine and number format.

    python bench/rounding.py [DATA] [--quick]

The limits of the row check (``cliptune.features.guard``) rest on this. Hymenoptera's photographs
and 64 prompts of many lengths; ViT-B/32 with random weights. It prints and writes nothing.
"""

import tempfile
from pathlib import Path

import numpy as np
from harness import data_parser, model_folder

CACHE = Path(tempfile.gettempdir()) / "cliptune-bench-cache"
WAYS = [("openvino", "fp32"), ("openvino", "bf16"), ("openvino", "int8"), ("onnx", "fp32"),
        ("torch", "fp32"), ("torch", "bf16")]  # fmt: skip
WORDS = ["bee", "ant", "house by the sea", "red bicycle"]


def main():
    options = data_parser(__doc__).parse_args()

    from cliptune.encoders import load_encoder
    from cliptune.encoders.engines.backends import Backend
    from cliptune.encoders.engines.resolving import resolve
    from cliptune.features import load_first_pixels
    from cliptune.features.guard import encode_alone, largest_difference
    from cliptune.images import ImageTable

    table = ImageTable.open(Path(options.data) / "hymenoptera_data")
    n = 8 if options.quick else 64
    texts = [f"a photo of a {WORDS[i % 4]}" + " very" * (i % 9) for i in range(n)]
    print("| model | engine | format | images | patches | features | texts |")
    print("|---|---|---|---|---|---|---|")
    for name in ["lite"] if options.quick else ["lite", str(model_folder())]:
        resolved = resolve(name, CACHE)
        pixels = load_first_pixels(table, resolved.facts.preprocess, n)
        for engine, precision in WAYS[:1] if options.quick else WAYS:
            if engine == "torch":
                encoder = load_encoder(name, device="cpu", precision=precision)
            else:
                way = Backend(engine, precision, "measured")
                encoder = resolved.encoder(way, calibration=lambda p=pixels: p)
            found = []
            for kind, encode, inputs in (
                ("pooled", encoder.encode_images, pixels),
                ("tokens", encoder.encode_tokens, pixels),
                ("trunk", encoder.encode_trunk, pixels),
                ("texts", encoder.encode_texts, texts),
            ):
                alone = [encode_alone(encoder, kind, inputs[i : i + 1]) for i in range(0, n, 4)]
                differences = largest_difference(encode(inputs)[::4], np.concatenate(alone))
                found.append(f"{differences.max():.1e}")
            short = "lite" if name == "lite" else "ViT-B/32"
            print(f"| {short} | {engine} | {precision} | {' | '.join(found)} |", flush=True)


if __name__ == "__main__":
    main()
