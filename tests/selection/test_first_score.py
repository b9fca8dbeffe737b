"""The first score of a comparison does not wait for libraries that later ones need."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

SCRIPT = """
import sys
from test_held_groups import make_task
from cliptune.choosing import choose_methods
loaded = {}
def note(fitted):
    loaded[fitted.name] = [m for m in ("torch", "scipy.stats", "sklearn") if m in sys.modules]
choose_methods(make_task(), ["prototype", "discriminant", "linear"], options={}, scored=note)
print(loaded)
"""


def test_the_first_methods_load_neither_torch_nor_statistics():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=HERE, capture_output=True, text=True, check=True
    )
    expected = {"zero-shot": [], "prototype": [], "discriminant": ["torch"], "linear": ["torch"]}
    assert done.stdout.strip() == str(expected)
