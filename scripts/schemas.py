"""Write the JSON Schemas of all results into docs/schemas: ``python scripts/schemas.py``."""

from __future__ import annotations

import json
from pathlib import Path

from cliptune.results.schema import json_schema
from cliptune.workflows.results_files import result_kinds

FOLDER = Path(__file__).parent.parent / "docs" / "schemas"


def main() -> None:
    """Write one file a result."""
    for kind in result_kinds():
        file = FOLDER / f"{kind.__name__}.json"
        file.write_text(json.dumps(json_schema(kind), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
