"""Files that are whole or as they were, whatever happens while they are written."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from hymtl.errors import HymtlError
from hymtl.files import WriteError, clear_leftovers, tensors, write_whole, writing

KILLED = """
import os, signal, sys
from pathlib import Path
from hymtl.files import writing
with writing(Path(sys.argv[1])) as out:
    out.write(b"half")
    out.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_is_killed_midway_leaves_the_old_file_and_its_leftover_is_cleared_later(tmp_path):
    file = tmp_path / "result.json"
    write_whole(file, "old")
    subprocess.run([sys.executable, "-c", KILLED, file], check=False)
    assert file.read_text() == "old"
    assert len(list(tmp_path.glob("*.tmp"))) == 1
    with writing(tmp_path / "other"):
        clear_leftovers(tmp_path)
        assert len(list(tmp_path.glob("*.tmp"))) == 1  # of a process that lives: this one
    assert sorted(tmp_path.iterdir()) == [tmp_path / "other", file]


def test_leftovers_of_another_machine_are_cleared_after_a_day_and_files_of_others_never(tmp_path):
    young, old, foreign = (tmp_path / name for name in ("a.other-1-ab.tmp", "b.other-1-ab.tmp", "mine.tmp"))
    for file in (young, old, foreign):
        file.write_text("")
    for file in (old, foreign):
        os.utime(file, (0, time.time() - 2 * 24 * 3600))
    clear_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == [young, foreign]


def test_a_link_is_replaced_and_not_written_through(tmp_path):
    private, out = tmp_path / "private", tmp_path / "out"
    private.write_text("keep me")
    out.symlink_to(private)
    write_whole(out, "new")
    assert private.read_text() == "keep me" and out.read_text() == "new" and not out.is_symlink()


def test_a_full_disk_is_named_and_what_was_there_stays(tmp_path):
    """A limit on the size of files stands for the disk: the system answers in the same place."""
    file = tmp_path / "last.ckpt"
    tensors.save({"old": torch.ones(3)}, file)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(WriteError, match=r"last\.ckpt cannot be written: File too large.*make room"):
            tensors.save({"new": torch.ones(10**6)}, file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tensors.read(file)) == ["old"] and list(tmp_path.iterdir()) == [file]


def test_a_folder_that_cannot_be_written_to_is_named():
    with pytest.raises(WriteError, match=r"/proc/result\.json cannot be written: "):
        write_whole(Path("/proc/result.json"), "text")


def test_permissions_are_those_of_any_other_file(tmp_path):
    write_whole(tmp_path / "ours", "")
    (tmp_path / "theirs").write_text("")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


def test_files_of_tensors_that_are_none_are_named(tmp_path):
    file = tmp_path / "weights.pt"
    for content, message in ((b"", "is empty"), (b"some text", "cannot be read as tensors"), (b"\x80\x02.", "tensors")):
        file.write_bytes(content)
        with pytest.raises(HymtlError, match=f"weights.pt {message}" if message != "tensors" else "weights.pt"):
            tensors.read(file)
    torch.save({"a": torch.ones(1000)}, file)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(HymtlError, match=r"weights\.pt cannot be read as tensors"):
        tensors.read(file)
    with pytest.raises(HymtlError, match=r"is no file"):
        tensors.read(tmp_path)


def test_a_packed_file_of_tensors_is_refused_before_it_unpacks(tmp_path):
    import zipfile

    torch.save({"a": torch.zeros(10**6)}, tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(tmp_path / "bomb.pt", "w") as bomb:
        for entry in plain.infolist():
            bomb.writestr(entry.filename, plain.read(entry), zipfile.ZIP_DEFLATED)
    assert (tmp_path / "bomb.pt").stat().st_size < 10_000
    with pytest.raises(HymtlError, match=r"bomb\.pt is packed"):
        tensors.read(tmp_path / "bomb.pt")


def test_a_file_too_large_is_refused_unread(tmp_path):
    with (tmp_path / "sparse.pt").open("wb") as stream:
        stream.truncate(5 * 2**30)
    with pytest.raises(HymtlError, match=r"sparse\.pt has 5\.4 GB"):
        tensors.read(tmp_path / "sparse.pt")
