"""How quick the page of ``cliptune app`` is: first screen, scrolling, labels, re-fit, words.

    python bench/app.py FOLDER [--labels 2000] [--images 10000]

FOLDER is any labelled data set, such as cifar10's folder of Parquet files; the first --images of
its split train are written into a folder without labels. It is embedded first: all that is measured
has warm features. A headless Chromium does what a person does. Frames are the times
between two animation frames while the page scrolls and while a filter is set.

Writes bench/results/app.json and app.md.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path

import harness
import numpy as np
import uvicorn
from playwright.sync_api import sync_playwright

import cliptune as ct
from cliptune.annotations import Answer
from cliptune.app.page_server import bind
from cliptune.app.start import open_page

CHROMIUM = "/usr/bin/chromium"
FRAMES = """
async (work) => {
  const frames = [];
  let last = performance.now(), going = true;
  const tick = (now) => {
    frames.push(now - last);
    last = now;
    if (going) requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
  const grid = document.getElementById("grid");
  if (work === "scroll") {
    for (let step = 0; step < 90; step += 1) {
      grid.scrollTop += step < 60 ? 400 : 20000;
      await new Promise((done) => requestAnimationFrame(done));
    }
  } else {
    const part = document.getElementById("only");
    part.value = work;
    part.dispatchEvent(new Event("change", { bubbles: true }));
  }
  await new Promise((done) => setTimeout(done, 1500));
  going = false;
  return frames.slice(1);
}
"""


def write_folder(source, n, folder):
    """Write the first images of a table as files; return what each is."""
    table = ct.open_images(str(source))
    rows = np.flatnonzero(table.splits == "train")[:n] if (table.splits != "").any() else range(n)
    truth = {}
    for row in rows:
        name = f"{row:06d}.jpg"
        (folder / name).write_bytes(table.sources[row].read())
        truth[name] = table.class_names[table.labels[row]]
    return truth


def serve(folder, journal):
    taken = bind(0)
    began = time.perf_counter()
    page = open_page(str(folder), taken.getsockname()[1], dataset=ct.DataOptions(journal=journal))
    opened = time.perf_counter() - began
    config = uvicorn.Config(page.application, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    threading.Thread(target=lambda: server.run(sockets=[taken]), daemon=True).start()
    return page, opened


def look(page):
    found = {}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        tab = browser.new_page(viewport={"width": 1440, "height": 900})
        began = time.perf_counter()
        tab.goto(page.url)
        tab.wait_for_selector("html[data-ready]")
        found["page usable, s"] = time.perf_counter() - began
        while not tab.evaluate(
            "[...document.querySelectorAll('.tile img')].every((i) => i.complete && i.naturalWidth)"
        ):
            time.sleep(0.01)
        found["first screen of thumbnails, s"] = time.perf_counter() - began
        frames = tab.evaluate(FRAMES, "scroll")
        found["longest frame while scrolling, ms"] = max(frames)
        found["frames over 100 ms while scrolling"] = sum(f > 100 for f in frames)
        frames = [f for only in ("open", "labelled", "all") for f in tab.evaluate(FRAMES, only)]
        found["longest frame while filtering, ms"] = max(frames)
        browser.close()
    return found


def label(page, truth, n):
    """Give n labels, one act each, as the page does."""
    bench, seconds = page.desk.bench, []
    rows = [row for row in range(len(bench.test)) if not bench.test[row]][:n]
    for row in rows:
        name = bench.project.source.sources[row].id
        began = time.perf_counter()
        bench.label(
            [bench.project.contents[row]], Answer.of("label", truth[name]), who="a", tab="b"
        )
        seconds.append(time.perf_counter() - began)
    return {
        "a label to disk, median, ms": 1000 * statistics.median(seconds),
        "a label to disk, 95 % within, ms": 1000 * float(np.quantile(seconds, 0.95)),
    }


def refit(page):
    from cliptune.app.views import make_tiles

    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        said = page.desk.bench.refit("quick", lambda done, total: None, lambda: False)
        make_tiles(page.desk.bench, range(100))
        seconds.append(time.perf_counter() - began)
    return {
        "re-fit to updated grid, median of three, s": statistics.median(seconds),
        "the first of them, s": seconds[0],
        "which gave": said,
    }


def words(page):
    """Search 100,000 vectors by words that were never asked for."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(100_000, page.desk.bench.project.encoder.dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    encoder, seconds = page.desk.bench.project.encoder, []
    for text in ("a red car", "a ship at sea", "a frog on a leaf", "two dogs", "a plane at night"):
        began = time.perf_counter()
        row = encoder.encode_texts([text], truncate=True)[0]
        np.argsort(-(vectors @ row), kind="stable")
        seconds.append(time.perf_counter() - began)
    return {"words among 100,000 vectors, median, ms": 1000 * statistics.median(seconds)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--labels", type=int, default=2000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "images"
        folder.mkdir()
        truth = write_folder(arguments.folder, arguments.images, folder)
        page, _ = serve(folder, Path(place) / "first.jsonl")
        page, opened = serve(folder, Path(place) / "journal.jsonl")
        results = {"images": len(truth), "opened with warm features, s": opened}
        results |= look(page) | label(page, truth, arguments.labels) | refit(page) | words(page)
    harness.RESULTS.mkdir(exist_ok=True)
    (harness.RESULTS / "app.json").write_text(json.dumps(results, indent=1) + "\n")
    rows = [
        f"| {name} | {value if isinstance(value, int | str) else f'{value:.3g}'} |"
        for name, value in results.items()
    ]
    text = "\n".join(["| what | value |", "|---|---|", *rows]) + "\n"
    (harness.RESULTS / "app.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
