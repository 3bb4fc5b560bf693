"""`hymtl predict`: what is refused before torch is imported."""

from hymtl.cli import main


def test_a_picture_that_is_not_there_is_called_missing(tmp_path, capsys):
    assert main(["predict", str(tmp_path), str(tmp_path / "missing.jpg")]) == 1
    assert capsys.readouterr().err == f"hymtl: {tmp_path / 'missing.jpg'}: there is no such file or folder.\n"


def test_a_run_that_is_not_there_is_called_missing(tmp_path, capsys):
    assert main(["predict", str(tmp_path / "run"), "photo.jpg"]) == 1
    assert "there is no such folder. Give a run's folder" in capsys.readouterr().err
