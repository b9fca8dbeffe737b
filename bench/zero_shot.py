"""A whole zero-shot evaluation: 1,000 images, 100 classes, 80 templates.

    python bench/zero_shot.py [DATA] [--runs 5] [--quick]

Ours and CLIP_benchmark are run whole, on a tenth of the classes and images for the latter, scaled
by ten. CLIP_benchmark is the package itself, version 1.6.2 in an environment of its own with the
NumPy that it works with, called as its command does with its defaults: bf16 by autocast, batches
of 64, four workers. The study's code
embeds the texts of all classes again for every batch of images, with OpenAI's ``clip``: that is
measured as its two parts and scaled: batches x texts + images.
"""

from harness import Worker, alternate, data_parser, picture_files, rate_row, ratio, target, write

OURS, OPENAI, PACKAGE = "ours:openvino:bf16:vit", "openai-clip", "clip-benchmark"
BATCH = 64


def main():
    options = data_parser(__doc__).parse_args()
    n_images, n_classes, runs = (64, 5, 1) if options.quick else (1000, 100, options.runs)
    from cliptune.prompts import load_template_set, published_class_names

    templates = list(load_template_set("openai").templates)
    names = list(published_class_names())[:n_classes]
    _, paths = picture_files(options.data, 0, n_images)
    ours, study, peer = (Worker(way) for way in (OURS, OPENAI, PACKAGE))
    for worker in (ours, study):
        worker.ask("files", paths=paths[:8])
    peer.ask("zero_shot", paths=paths[:8], names=names[:5], templates=templates[:1])
    some = [template.format(names[0]) for template in templates]
    part = max(1, n_classes // 10)
    seconds = {"ours": [], "study": [], "clip_benchmark": []}
    for _ in range(runs):
        whole = {"paths": paths, "names": names, "templates": templates}
        seconds["ours"].append(alternate([ours], 1, "zero_shot", **whole)[OURS][0])
        images = study.ask("files", paths=paths[:128])["seconds"] * len(paths) / len(paths[:128])
        texts = study.ask("texts", texts=some)["seconds"] * n_classes
        seconds["study"].append(images + texts * -(-len(paths) // BATCH))
        tenth = {"paths": paths[: len(paths) // 10], "names": names[:part], "templates": templates}
        scale = n_classes / part
        seconds["clip_benchmark"].append(peer.ask("zero_shot", **tenth)["seconds"] * scale)
    for worker in (ours, study, peer):
        worker.close()
    rows = [rate_row("evaluation", way, len(paths), s, "images/s") for way, s in seconds.items()]
    targets = [
        target("zero-shot over the study's code", ratio(seconds["study"], seconds["ours"]), 8),
        target(
            "zero-shot over CLIP_benchmark 1.6.2",
            ratio(seconds["clip_benchmark"], seconds["ours"]),
            1,
        ),
    ]
    about = f"{len(paths)} images, {n_classes} classes, {len(templates)} templates, {runs} runs."
    write("zero_shot", {"about": about, "seconds": seconds}, targets, rows)


if __name__ == "__main__":
    main()
