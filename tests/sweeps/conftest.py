"""The tiny models of the fine-tuning tests serve here too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "finetune"))
