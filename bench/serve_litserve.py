"""LitServe around the OpenVINO graph of an export; ``serve_peers.py`` starts it."""

import io

import litserve
import numpy as np
import openvino
from PIL import Image


class Api(litserve.LitAPI):
    """The graph of an export; a worker process gets it by this module's name."""

    graph_path, precision = "", "f32"

    def setup(self, device):
        settings = {"INFERENCE_PRECISION_HINT": self.precision}
        self.graph = openvino.Core().compile_model(self.graph_path, "CPU", settings)

    def decode_request(self, request):
        file = request["files"]
        image = Image.open(io.BytesIO(file.file.read())).convert("RGB")
        scale = 224 / min(image.size)
        image = image.resize([round(side * scale) for side in image.size], Image.BICUBIC)
        left, top = ((side - 224) // 2 for side in image.size)
        crop = image.crop((left, top, left + 224, top + 224))
        return np.asarray(crop).transpose(2, 0, 1)

    def batch(self, inputs):
        return np.stack(inputs)

    def predict(self, pixels):
        return self.graph(pixels)["probabilities"].copy()

    def unbatch(self, output):
        return list(output)

    def encode_response(self, output):
        return {"predictions": output.tolist()}


def serve(port, export, precision, batch_size, wait_seconds):
    """Answer until the process ends."""
    api = Api(max_batch_size=batch_size, batch_timeout=wait_seconds, api_path="/v1/predict")
    api.graph_path, api.precision = f"{export}/pixels.xml", precision
    server = litserve.LitServer(api, accelerator="cpu")
    server.run(port=port, host="127.0.0.1", log_level="warning", generate_client_file=False)
