"""Files on disk to unit embeddings, texts to unit embeddings: ours beside the usual ways.

    python bench/embed.py [DATA] [--runs 5] [--small 400] [--part 96] [--quick]

ViT-B/32 with random weights on Hymenoptera's JPEGs and on CIFAR-10 images as PNG files, each
way in a process of its own, runs alternating; ratios are taken run by run. Ours embeds all files;
the other ways, which take several times as long, a part of them, evenly spread, and their time is
scaled up. ``tower`` is the model alone on a batch of 64 from memory.
"""

from harness import (
    Worker,
    alternate,
    alternate_over,
    data_parser,
    half,
    picture_files,
    rate_row,
    ratio,
    target,
    write,
)
from peak import VIT_B_32_FLOP, measure_peak, measure_registers

FORMAT = half()
OURS, EXACT = f"ours:openvino:{FORMAT}:vit", "ours:openvino:fp32:vit"
INT8, LITE = "ours:openvino:int8:vit", "ours:openvino:fp32:lite"
OPENAI, OPEN_CLIP, OPEN_CLIP_ALIKE = "openai-clip", "open_clip:fp32", f"open_clip:{FORMAT}"
WAYS = tuple(dict.fromkeys((OURS, EXACT, INT8, OPENAI, OPEN_CLIP, OPEN_CLIP_ALIKE, "transformers")))
# A processor without bf16 has half the products at most: there ours is to be no slower.
OVER_OPENAI, OVER_OPEN_CLIP, OVER_PROMPTS = (2.5, 1.3, 15) if FORMAT == "bf16" else (1, 1, 7.5)
TIMM = "timm"
WHOLE = (OURS, INT8, LITE)  # these embed every file


def main():
    parser = data_parser(__doc__)
    parser.add_argument("--photographs", type=int, default=397)
    parser.add_argument("--small", type=int, default=400, help="CIFAR-10 images; 2000 takes long")
    parser.add_argument("--part", type=int, default=96, help="files that the slower ways embed")
    options = parser.parse_args()
    runs = 1 if options.quick else options.runs
    counts = (16, 16) if options.quick else (options.photographs, options.small)
    photographs, small = picture_files(options.data, *counts)
    prompts = prompts_of(20 if options.quick else 1000)
    rows, targets = [], []
    images(rows, targets, photographs, small, runs, options.part)
    texts(rows, targets, prompts, runs)
    lite(rows, targets, photographs, small, runs, options.part)
    about = (
        f"{len(photographs)} JPEGs, {len(small)} CIFAR-10 images, {len(prompts)} prompts, medians "
        f"of {runs} alternating runs; random weights except for lite. Ways other than "
        f"{', '.join(WHOLE)} embed {options.part} files of each kind and 200 prompts, and their "
        "time is scaled up."
    )
    write("embed", {"about": about, "runs": runs}, targets, rows)


def images(rows, targets, photographs, small, runs, part):
    workers = [Worker(way) for way in WAYS]
    for worker in workers:
        worker.ask("files", paths=photographs[:16])  # warm up
    tower = alternate(workers, runs, "tower", n=64)
    for what, paths in (("JPEG files", photographs), ("CIFAR-10 files", small)):
        seconds = alternate_over(workers, runs, "files", "paths", paths, whole=WHOLE, part=part)
        rows += [rate_row(what, way, len(paths), s, "images/s") for way, s in seconds.items()]
        add_ratios(targets, what, seconds)
    rows += [rate_row("tower", way, 64, s, "images/s") for way, s in tower.items()]
    add_ratios(targets, "tower", tower)
    name = f"image tower, share of the {FORMAT} peak of"
    add_share(targets, f"{name} products", measure_peak(), tower)
    if FORMAT in (registers := measure_registers()):
        add_share(targets, f"{name} registers", registers, tower)
    for worker in workers:
        worker.close()


def add_share(targets, name, peaks, tower):
    share = sorted(64 / s * VIT_B_32_FLOP / 1e9 / peaks[FORMAT] for s in tower[OURS])
    found = {"median": share[len(share) // 2], "low": share[0], "high": share[-1]}
    targets.append(target(name, found, 0.75, ""))


def add_ratios(targets, what, seconds):
    for name, peer, way, wanted in (
        (f"{FORMAT} over OpenAI's clip", OPENAI, OURS, OVER_OPENAI),
        (f"{FORMAT} over open_clip {FORMAT}", OPEN_CLIP_ALIKE, OURS, OVER_OPEN_CLIP),
        ("int8 over OpenAI's clip", OPENAI, INT8, 3.5),
    ):
        targets.append(target(f"{what}: {name}", ratio(seconds[peer], seconds[way]), wanted))


def texts(rows, targets, prompts, runs):
    workers = [Worker(way) for way in (OURS, OPENAI)]
    for worker in workers:
        worker.ask("texts", texts=prompts[:8])
    seconds = alternate_over(workers, runs, "texts", "texts", prompts, whole=WHOLE, part=200)
    rows += [rate_row("prompts", way, len(prompts), s, "texts/s") for way, s in seconds.items()]
    found = ratio(seconds[OPENAI], seconds[OURS])
    targets.append(target("prompts over OpenAI's clip", found, OVER_PROMPTS))
    for worker in workers:
        worker.close()


def lite(rows, targets, photographs, small, runs, part):
    workers = [Worker(way) for way in (LITE, TIMM)]
    for worker in workers:
        worker.ask("files", paths=photographs[:16])
    tower = alternate(workers, runs, "tower", n=64)
    rows += [rate_row("lite tower", way, 64, s, "images/s") for way, s in tower.items()]
    targets.append(target("lite: tower over timm eager", ratio(tower[TIMM], tower[LITE]), 3.5))
    for what, paths in (("JPEG files", photographs), ("CIFAR-10 files", small)):
        seconds = alternate_over(workers, runs, "files", "paths", paths, whole=WHOLE, part=part)
        rows += [rate_row(f"lite {what}", w, len(paths), s, "images/s") for w, s in seconds.items()]
        per_image = [s / len(paths) for s in seconds[LITE]]
        share = ratio([s / 64 for s in tower[LITE]], per_image)
        targets.append(target(f"lite: {what}, share of the tower alone", share, 0.75, ""))
    for worker in workers:
        worker.close()


def prompts_of(n):
    from cliptune.prompts import published_class_names

    return [f"a photo of a {name}." for name in published_class_names()][:n]


if __name__ == "__main__":
    main()
