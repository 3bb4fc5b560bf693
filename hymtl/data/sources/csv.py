"""Your own pictures as a table lists them: CSV, ``path,label[,split][,group]``, paths relative to its folder."""

import csv
from collections import Counter
from pathlib import Path

from hymtl.data.photos import MISNAMED, SPLITS, UNSPLIT, Photo, PhotoFolder
from hymtl.errors import HymtlError, did_you_mean

LOCAL = True
NEEDED, OPTIONAL = ("path", "label"), ("split", "group")
NAMED = 20  # missing files that an error names


def find(root: Path | None) -> PhotoFolder:
    """The pictures of the table ``root``.

    Raises:
        HymtlError: if there is no such table, a column is missing, or a line names no file, no class, no split that
            there is, or a file that another line names too.
    """
    if root is None or not root.is_file():
        raise HymtlError(f"data=csv needs data.root=FILE.csv, a table of {_columns()}; {root} is no file.")
    rows = _rows(root)
    labels = sorted({row["label"] for row in rows})
    if len(labels) < 2:
        raise HymtlError(
            f"{root} has {'one label' if labels else 'no labels'}; telling classes apart takes at least two."
        )
    splits: dict[str, list[Photo]] = {split: [] for split in SPLITS} if "split" in rows[0] else {UNSPLIT: []}
    for row in sorted(rows, key=lambda row: (row["label"], row["path"])):
        group = (row["group"] or row["path"]) if "group" in row else None
        photo = Photo(root.parent / row["path"], row["path"], labels.index(row["label"]), group)
        splits[row.get("split", UNSPLIT)].append(photo)
    splits = {name: split for name, split in splits.items() if split or name != "test"}
    _check(root, splits, labels)
    table = "".join(sorted("\0".join(row.get(name, "") for name in (*NEEDED, *OPTIONAL)) + "\n" for row in rows))
    return PhotoFolder("csv", root.parent, labels, splits, table=table)


def _rows(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            table = csv.DictReader(stream, strict=True)
            header = [name.strip() for name in table.fieldnames or []]
            if not set(NEEDED) <= set(header):
                raise HymtlError(f"{file} has the columns {', '.join(header) or 'none'}; it needs {_columns()}.")
            table.fieldnames = header
            return [_row(file, table.line_num, row) for row in table]
    except (OSError, ValueError, csv.Error) as error:
        raise HymtlError(f"{file} cannot be read as a table: {error}. It needs {_columns()}, in UTF-8.") from error


def _row(file: Path, line: int, row: dict[str, str | None]) -> dict[str, str]:
    known = {name: (row[name] or "").strip() for name in (*NEEDED, *OPTIONAL) if name in row}
    for name in NEEDED:
        if not known[name]:
            raise HymtlError(f"{file}, line {line}: no {name}.")
    if "split" in known and known["split"] not in SPLITS:
        meant = MISNAMED.get(known["split"].lower())
        hint = f"Did you mean '{meant}'?" if meant else did_you_mean(known["split"], SPLITS)
        raise HymtlError(f"{file}, line {line}: split '{known['split']}' is unknown. {hint}")
    return known


def _check(file: Path, splits: dict[str, list[Photo]], labels: list[str]) -> None:
    photos = [photo for split in splits.values() for photo in split]
    twice = [name for name, count in Counter(photo.name for photo in photos).items() if count > 1]
    if twice:
        raise HymtlError(f"{file} names {_listed(twice)} more than once. Keep one line of each.")
    missing = [photo.name for photo in photos if not photo.file.is_file()]
    if missing:
        raise HymtlError(f"{file} names {len(missing)} files that are not there: {_listed(missing)}.")
    for name, split in splits.items():
        lacking = set(range(len(labels))) - {photo.label for photo in split}
        if lacking:
            raise HymtlError(
                f"{file} has no photo of {_listed([labels[label] for label in sorted(lacking)])} in {name}."
            )


def _listed(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _columns() -> str:
    return f"{','.join(NEEDED)}[,{'][,'.join(OPTIONAL)}]"
