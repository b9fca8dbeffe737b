"""Write what labelling tools export, by the tools' own packages.

    python make_exports.py TOOL FOLDER

in an environment that has TOOL: ``label-studio-sdk==2.1.2``, ``datumaro==1.13.12``,
``fiftyone==1.22.1``, ``img2dataset==1.47.0`` or ``tfrecord==1.14.6``. The tests read what came out
of it, kept in ``files``.

There are six pictures: two ants, one bee, one with both, one without a label, one skipped.
"""

import io
import json
import sys
from pathlib import Path

PICTURES = ("ant_1.jpg", "ant_2.jpg", "bee_1.jpg", "both_1.jpg", "none_1.jpg", "skipped_1.jpg")
LABELS = {"ant_1": ["ant"], "ant_2": ["ant"], "bee_1": ["bee"], "both_1": ["ant", "bee"]}
CLASSES = ("ant", "bee")


def draw(folder):
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(PICTURES):
        Image.new("RGB", (48, 32), (40 * number, 90, 200 - 30 * number)).save(folder / name)


def label_studio(folder):
    """The server writes JSON; its converter makes the short JSON and the CSV of it."""
    from label_studio_sdk.converter import Converter

    config = (
        '<View><Image name="image" value="$image"/>'
        '<Choices name="choice" toName="image" choice="{}">'
        '<Choice value="ant"/><Choice value="bee"/></Choices></View>'
    )
    for kind, choice in (("single", "single"), ("multiple", "multiple")):
        tasks = [task(n, name, kind) for n, name in enumerate(PICTURES, 1)]
        place = folder / f"label-studio-{kind}"
        place.mkdir(parents=True, exist_ok=True)
        source = place / "export.json"
        source.write_text(json.dumps(tasks, indent=1))
        converter = Converter(config.format(choice), str(place), download_resources=False)
        converter.convert_to_json_min(str(source), str(place / "min"), is_dir=False)
        converter.convert_to_csv(
            str(source), str(place / "csv"), is_dir=False, header=True, sep=","
        )


def task(number, name, kind):
    stem = Path(name).stem
    found = LABELS.get(stem, [])
    if kind == "single" and len(found) > 1:
        answers = [[label] for label in (*found, found[0])]  # three annotators, two to one
    else:
        answers = [found] if found else []
    annotations = [
        annotation(100 * number + n, number, answer, user=n + 1) for n, answer in enumerate(answers)
    ]
    if stem.startswith("skipped"):
        annotations = [annotation(100 * number, number, ["bee"], user=1, cancelled=True)]
    return {
        "id": number,
        "annotations": annotations,
        "file_upload": f"deadbeef-{name}",
        "drafts": [],
        "predictions": [],
        "data": {"image": f"/data/upload/1/deadbeef-{name}"},
        "meta": {},
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "inner_id": number,
        "total_annotations": len(annotations),
        "cancelled_annotations": int(stem.startswith("skipped")),
        "project": 1,
    }


def annotation(number, task_number, answer, *, user, cancelled=False):
    result = {
        "value": {"choices": answer},
        "id": f"r{number}",
        "from_name": "choice",
        "to_name": "image",
        "type": "choices",
        "origin": "manual",
    }
    return {
        "id": number,
        "completed_by": user,
        "result": [] if cancelled else [result],
        "was_cancelled": cancelled,
        "ground_truth": False,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "lead_time": 1.5,
        "task": task_number,
    }


def datumaro(folder):
    from datumaro.components.annotation import AnnotationType, Bbox, Label, LabelCategories
    from datumaro.components.dataset import Dataset
    from datumaro.components.dataset_base import DatasetItem
    from datumaro.components.media import Image

    pictures = folder / "pictures"
    draw(pictures)
    categories = {AnnotationType.label: LabelCategories.from_iterable(CLASSES)}

    def items(annotate):
        return [
            DatasetItem(
                id=Path(name).stem,
                subset="train" if number < 4 else "val",
                media=Image.from_file(path=str(pictures / name)),
                annotations=[
                    annotate(CLASSES.index(label)) for label in LABELS.get(Path(name).stem, [])
                ],
            )
            for number, name in enumerate(PICTURES)
        ]

    tagged = Dataset.from_iterable(items(Label), categories=categories)
    boxed = Dataset.from_iterable(
        items(lambda label: Bbox(4, 4, 20, 16, label=label, id=label, group=label)),
        categories=categories,
    )
    tagged.export(str(folder / "datumaro-cvat"), "cvat", save_media=True)
    boxed.export(str(folder / "datumaro-cvat-boxes"), "cvat", save_media=True)
    single = Dataset.from_iterable(
        [item for item in items(Label) if len(item.annotations) == 1], categories=categories
    )
    single.export(str(folder / "datumaro-imagenet"), "imagenet", save_media=True)
    boxed.export(str(folder / "datumaro-coco"), "coco_instances", save_media=True)
    boxed.export(str(folder / "datumaro-yolo"), "yolo_ultralytics", save_media=True)


def fiftyone(folder):
    """The exporters alone: a data set of the package would need its database server."""
    import fiftyone as fo
    import fiftyone.core.metadata as fom
    from fiftyone.utils import coco, cvat, data, yolo

    draw(folder / "pictures")
    size = fom.ImageMetadata(width=48, height=32, num_channels=3)
    box = [0.1, 0.1, 0.5, 0.5]

    def one(labels):
        return fo.Classification(label=labels[0], confidence=0.9)

    def several(labels):
        return fo.Classifications(classifications=[fo.Classification(label=n) for n in labels])

    def boxes(labels):
        found = [fo.Detection(label=label, bounding_box=box) for label in labels]
        return fo.Detections(detections=found)

    image_classes = data.FiftyOneImageClassificationDatasetExporter
    kinds = (
        ("words", image_classes, one, {}),
        ("numbers", image_classes, one, {"classes": CLASSES, "include_confidence": True}),
        ("several", image_classes, several, {"classes": CLASSES}),
        ("tree", data.ImageClassificationDirectoryTreeExporter, one, {}),
        ("coco", coco.COCODetectionDatasetExporter, boxes, {}),
        ("yolo", yolo.YOLOv5DatasetExporter, boxes, {"split": "train", "classes": list(CLASSES)}),
        ("cvat", cvat.CVATImageDatasetExporter, boxes, {}),
    )
    for name, exporter, annotate, options in kinds:
        with exporter(export_dir=str(folder / f"fiftyone-{name}"), **options) as sink:
            for picture in PICTURES:
                labels = LABELS.get(Path(picture).stem)
                sink.export_sample(
                    str(folder / "pictures" / picture),
                    annotate(labels) if labels else None,
                    metadata=size,
                )


def img2dataset(folder):
    import functools
    import threading
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    from img2dataset import download

    draw(folder / "pictures")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder / "pictures"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    rows = [{"url": f"{base}/{name}", "caption": f"a picture of {name}"} for name in PICTURES]
    rows.append({"url": f"{base}/absent.jpg", "caption": "nothing"})
    source = folder / "urls.json"
    source.write_text(json.dumps(rows))
    download(
        url_list=str(source),
        input_format="json",
        url_col="url",
        caption_col="caption",
        output_folder=str(folder / "img2dataset"),
        output_format="webdataset",
        image_size=32,
        number_sample_per_shard=4,
        processes_count=1,
        thread_count=2,
        enable_wandb=False,
    )
    server.shutdown()


def tfrecord(folder):
    from PIL import Image
    from tfrecord.writer import TFRecordWriter

    for layout in ("tfds", "vertex"):
        place = folder / f"tfrecord-{layout}"
        place.mkdir(parents=True, exist_ok=True)
        path = place / "insects-train.tfrecord-00000-of-00001"
        writer = TFRecordWriter(str(path))
        for number, name in enumerate(PICTURES[:3]):
            buffer = io.BytesIO()
            Image.new("RGB", (48, 32), (40 * number, 90, 200)).save(buffer, "JPEG")
            label = CLASSES.index(LABELS[Path(name).stem][0])
            if layout == "tfds":
                row = {
                    "image": (buffer.getvalue(), "byte"),
                    "image/filename": (name.encode(), "byte"),
                    "label": (label, "int"),
                }
            else:
                row = {
                    "image/encoded": (buffer.getvalue(), "byte"),
                    "image/format": (b"jpeg", "byte"),
                    "image/filename": (name.encode(), "byte"),
                    "image/class/label": (label, "int"),
                    "image/class/text": (CLASSES[label].encode(), "byte"),
                }
            writer.write(row)
        writer.close()


TOOLS = {
    "label-studio-sdk": label_studio,
    "datumaro": datumaro,
    "fiftyone": fiftyone,
    "img2dataset": img2dataset,
    "tfrecord": tfrecord,
}

if __name__ == "__main__":
    TOOLS[sys.argv[1]](Path(sys.argv[2]))
