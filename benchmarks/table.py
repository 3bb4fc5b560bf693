"""Print the results of runs as a Markdown table: `python benchmarks/table.py DIR ...`."""

import json
import sys
from pathlib import Path

HEADER = (
    "| strategy | seed | epochs | best epoch | val accuracy | int8 val accuracy | engine | MB float | MB int8 | fit, s |"
)


def row(result: dict) -> str:
    int8, size = result["int8"], result["bytes"]
    cells = [
        result["strategy"],
        result["seed"],
        result["epochs"],
        result["best"]["epoch"],
        f"{result['best']['val_acc']:.4f}",
        f"{int8['val_acc']:.4f}" if int8 else "",
        result["engine"] or "",
        f"{size['float'] / 1e6:.1f}",
        f"{size['int8'] / 1e6:.1f}" if int8 else "",
        f"{result['seconds']['fit']:.0f}",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    files = sorted(file for folder in sys.argv[1:] for file in Path(folder).rglob("result.json"))
    results = [json.loads(file.read_text()) for file in files]
    # Results on different data or weights are never mixed: a table for each.
    sources = sorted({_source(result) for result in results})
    for source in sources:
        rows = [row(result) for result in results if _source(result) == source]
        print(f"\n{source}\n\n{HEADER}\n|{'---|' * HEADER.count(' | ')}---|", *rows, sep="\n")


def _source(result: dict) -> str:
    data, backbone = result["dataset"], result["backbone"]
    digests = f"{data['digest'][:12]}; {(backbone['digest'] or 'none')[:12]}"
    weights = Path(backbone["weights"]).name
    return (
        f"{data['name']}, {data['train']} + {data['val']} photos; {backbone['name']}, weights {weights}; "
        f"sha256 {digests}; {result['device']}"
    )


if __name__ == "__main__":
    main()
