"""Servers that ours is held against; run by the interpreter of the environment of servers.

    python bench/serve_peers.py pipeline PORT FOLDER    # FastAPI around transformers' pipeline
    python bench/serve_peers.py litserve PORT EXPORT f32|bf16    # LitServe, the same OpenVINO graph

FOLDER gets a ViT-B/32 with random weights, on which time does not depend. Both take the multipart
field ``files``.
"""

import io
import sys
from pathlib import Path

BATCH, WAIT_SECONDS = 16, 0.005


def pipeline(port, folder):
    import torch
    import uvicorn
    from fastapi import FastAPI, UploadFile
    from PIL import Image
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor
    from transformers import pipeline as make_pipeline

    torch.manual_seed(0)
    if not (Path(folder) / "config.json").exists():
        ViTForImageClassification(ViTConfig(patch_size=32, num_labels=2)).save_pretrained(folder)
        ViTImageProcessor(resample=3).save_pretrained(folder)
    classify = make_pipeline("image-classification", model=folder)
    app = FastAPI()

    @app.post("/v1/predict")
    def predict(files: list[UploadFile]):
        images = [Image.open(io.BytesIO(file.file.read())).convert("RGB") for file in files]
        return {"predictions": classify(images)}

    uvicorn.run(app, port=port, log_level="warning")


def litserve(port, export, precision):
    from serve_litserve import serve

    serve(port, export, precision, BATCH, WAIT_SECONDS)


if __name__ == "__main__":
    {"pipeline": pipeline, "litserve": litserve}[sys.argv[1]](int(sys.argv[2]), *sys.argv[3:])
