"""A whole zero-shot evaluation: 1,000 images, 100 classes, 80 templates.

    python bench/zero_shot.py [DATA] [--runs 5] [--images 1000] [--classes 100] [--quick]

Ours and CLIP_benchmark are run whole, on a tenth of the classes and images for the latter where
there are more than ten classes, scaled by ten. CLIP_benchmark is the package itself, version 1.6.2
in an environment of its own with a NumPy that it works with, called as its command does with its
defaults: bf16 by autocast, batches of 64, four workers. The study's code embeds the texts of all
classes again for every batch of images, with OpenAI's ``clip``: that is measured as its two parts
and scaled: batches x texts + images. Processor time, of all cores, is compared too: on a machine
that has other work it tells more than the clock.
"""

import sys

from harness import Worker, data_parser, half, picture_files, rate_row, ratio, target, write

OURS, OPENAI, PACKAGE = f"ours:openvino:{half()}:vit", "openai-clip", "clip-benchmark"
BATCH = 64
KINDS = {"seconds": "images/s", "processor_seconds": "images a second of one core"}


def main():
    parser = data_parser(__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--classes", type=int, default=100)
    options = parser.parse_args()
    runs = 1 if options.quick else options.runs
    n_images, n_classes = (64, 5) if options.quick else (options.images, options.classes)
    from cliptune.prompts import load_template_set, published_class_names

    templates = list(load_template_set("openai").templates)
    names = list(published_class_names())[:n_classes]
    _, paths = picture_files(options.data, 0, n_images)
    ours, study, peer = workers = [Worker(way) for way in (OURS, OPENAI, PACKAGE)]
    for worker in (ours, study):
        worker.ask("files", paths=paths[:8])
    peer.ask("zero_shot", paths=paths[:8], names=names[:5], templates=templates[:1])
    found = {"ours": [], "study": [], "clip_benchmark": []}
    whole = {"paths": paths, "names": names, "templates": templates}
    for run in range(runs):
        found["ours"].append(ours.ask("zero_shot", **whole))
        found["study"].append(of_the_study(study, whole))
        found["clip_benchmark"].append(of_the_package(peer, whole))
        print(f"run {run + 1} of {runs}", file=sys.stderr, flush=True)
    for worker in workers:
        worker.close()
    write_results(found, f"{len(paths)} images, {n_classes} classes, {len(templates)} templates")


def of_the_study(worker, whole):
    """Measure images and texts apart, and add up what the study's code would take."""
    paths, n_classes = whole["paths"], len(whole["names"])
    part = paths[:128]
    images = worker.ask("files", paths=part)
    texts = worker.ask("texts", texts=[t.format(whole["names"][0]) for t in whole["templates"]])
    n_batches = -(-len(paths) // BATCH)
    return {
        kind: images[kind] * len(paths) / len(part) + texts[kind] * n_classes * n_batches
        for kind in KINDS
    }


def of_the_package(worker, whole):
    """Run the package on a tenth of images and classes, or on all where there are few."""
    parts = 10 if len(whole["names"]) > 10 else 1
    paths, names = (whole[kind][: len(whole[kind]) // parts] for kind in ("paths", "names"))
    answer = worker.ask("zero_shot", paths=paths, names=names, templates=whole["templates"])
    return {kind: answer[kind] * parts for kind in KINDS}


def write_results(found, about):
    times = {kind: {way: [r[kind] for r in f] for way, f in found.items()} for kind in KINDS}
    n_images, n_runs = int(about.split()[0]), len(found["ours"])
    rows, targets = [], []
    for kind, unit in KINDS.items():
        seconds = times[kind]
        rows += [rate_row("evaluation", w, n_images, s, unit) for w, s in seconds.items()]
        words = "" if kind == "seconds" else ", processor time"
        for way, title, wanted in (
            ("study", "the study's code", 8),
            ("clip_benchmark", "CLIP_benchmark 1.6.2", 1),
        ):
            name = f"zero-shot over {title}{words}"
            targets.append(target(name, ratio(seconds[way], seconds["ours"]), wanted))
    about = f"{about}, {n_runs} run{'s' if n_runs > 1 else ''}."
    write("zero_shot", {"about": about, **times}, targets, rows)


if __name__ == "__main__":
    main()
