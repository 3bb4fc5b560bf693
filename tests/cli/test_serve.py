"""`hymtl serve`: what it answers, what it refuses, and how it ends; the real server on a free port."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

import hymtl
from hymtl import cli
from tests.deploy.artifacts import CLASSES, made

pytest.importorskip("uvicorn")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a server, which must end well on SIGTERM and have left its folder as it was."""
    run = made(tmp_path_factory.mktemp("serve"), "finetune", "garment_cnn")
    before = sorted(run.rglob("*"))
    process = subprocess.Popen(
        [sys.executable, "-m", "hymtl", "serve", str(run), "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    yield process.stdout.readline().split()[0], run
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert sorted(run.rglob("*")) == before


def ask(address, path="/predict", body=None, **headers):
    request = urllib.request.Request(address + path, body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_picture_is_classified_as_python_does_by_fifty_at_once(server, pictures):
    address, run = server
    photo = sorted((pictures / "val").rglob("*.*"))[0]
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: ask(address, body=photo.read_bytes()), range(50)))
    said = hymtl.load(run)(photo)
    for status, answer in answers:
        assert status == 200 and answer["label"] == said.label
        assert answer["probabilities"] == pytest.approx(said.probabilities, abs=1e-5)


def test_the_explanation_comes_when_asked_for(server, pictures):
    pytest.importorskip("captum")
    photo = sorted((pictures / "val").rglob("*.*"))[0]
    answer = ask(server[0], "/predict?explain=1", photo.read_bytes())[1]
    assert answer["explanation"].startswith("data:image/png;base64,") and answer["of_float_twin"] is False


def test_what_is_no_picture_or_too_large_is_refused_clearly(server):
    bomb = io.BytesIO()
    Image.new("L", (10_000, 10_000)).save(bomb, "PNG")
    for body, code, message in (
        (b"not a picture", 422, "cannot be read as a picture"),
        (b"", 422, "empty"),
        (bomb.getvalue(), 422, "100 million, and at most 50 million"),
        (bytes(26_000_000), 413, "25 MB"),
    ):
        status, answer = ask(server[0], body=body)
        assert status == code and message in answer["error"]
    status, answer = ask(server[0], body=b"--x", **{"Content-Type": "multipart/form-data; boundary=x"})
    assert status == 415 and "--data-binary" in answer["error"]
    host, port = server[0].removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as waiting:  # who says so is not waited for
        waiting.sendall(f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: {10**12}\r\n\r\n".encode())
        assert b" 413 " in waiting.recv(100)


def test_health_version_and_nothing_else(server):
    address, _ = server
    assert ask(address, "/health") == (200, {"status": "ok"})
    assert ask(address, "/version")[1]["classes"] == CLASSES
    for path in ("/../pyproject.toml", "/%2e%2e/artifact.json", "/artifact/weights.pt", "/app.py"):
        status, answer = ask(address, path)
        assert status == 404 and "Not Found" in answer["error"]
    assert [ask(address, path, body=b"")[0] for path in ("/", "/health")] == [405, 405]
    assert ask(address, "/predict")[0] == 405
    with urllib.request.urlopen(address) as page:
        assert b"Drop a picture" in page.read() and "default-src 'self'" in page.headers["content-security-policy"]


def test_other_sites_may_not_use_it(server):
    address, _ = server
    from hymtl.serve.guard import refusal

    assert ask(address, "/health", Origin="https://evil.example")[0] == 403
    assert ask(address, "/health", Host="evil.example:8000")[0] == 403
    assert ask(address, "/health", Origin=address)[0] == 200
    assert refusal({"host": "127.0.0.1:80", "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"})
    assert refusal({"host": "[::1]:8000"}) is None and refusal({"host": "localhost"}) is None
    assert refusal({}) and refusal({"host": "127.0.0.1.nip.io"}) and refusal({"host": "[::1"})


@pytest.mark.skipif(os.name == "nt", reason="ports are taken otherwise there")
def test_a_port_that_is_taken_says_so(server, capsys):
    address, run = server
    port = address.rsplit(":", 1)[1]
    assert cli.main(["serve", str(run), "--port", port]) == 1
    assert "--port 0" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows knows no such signal")
def test_a_signal_as_soon_as_the_address_is_said_ends_it_well(server):
    words = [sys.executable, "-m", "hymtl", "serve", str(server[1]), "--port", "0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # Under nohup SIGHUP is ignored, and by what is started there too.
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL)}
    with subprocess.Popen(words, **pipes, **heard) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        try:
            assert process.wait(30) == 0 and process.stderr.read() == ""
        finally:
            process.kill()  # or a failure would wait for ever
