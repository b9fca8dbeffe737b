"""All benchmarks of speed, one after another, and one table of their targets.

python bench/run.py [DATA] [--quick]
"""

import json
import subprocess
import sys

from harness import ROOT, data_parser, machine, result_path

NAMES = ("peak", "embed", "zero_shot", "start", "scaling", "guard")


def main():
    options = data_parser(__doc__).parse_args()
    extra = ["--quick"] if options.quick else ["--runs", str(options.runs)]
    for name in NAMES:
        subprocess.run([sys.executable, ROOT / f"{name}.py", options.data, *extra], check=True)
    lines = [f"# Targets on {machine()}", ""]
    lines += ["| benchmark | target | found | range | wanted | met |", "|---|---|---|---|---|---|"]
    for name in NAMES:
        for t in json.loads(result_path(name, "json").read_text())["targets"]:
            found = f"{t['median']:.3g} {t['unit']} | {t['low']:.3g} to {t['high']:.3g}"
            met = "yes" if t["met"] else "no"
            lines.append(f"| {name} | {t['name']} | {found} | {t['target']:g} | {met} |")
    text = "\n".join(lines) + "\n"
    result_path("README", "md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
