"""Many runs side by side."""

import json
from pathlib import Path


def compare(folders: list[Path], out: Path) -> str:
    """One line for all runs."""
    rows = []
    for folder in folders:
        if (folder / "result.json").is_file():
            rows.append(f"{folder.name} {json.loads((folder / 'result.json').read_text())['best']['val_acc']:.4f}")
        else:
            rows.append(f"{folder.name} failed")
    return "comparison: " + "; ".join(rows)
