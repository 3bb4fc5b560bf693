"""`hymtl serve`: a local page that classifies pictures."""

import argparse
import contextlib
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from hymtl import signals
from hymtl.cli.predict import probability
from hymtl.errors import HymtlError

PATIENCE = 10  # seconds that requests in the midst of something have as the server ends

ABOUT = "Show a local page to drop pictures on, and answer POST /predict in JSON, until Ctrl-C. Needs the extra serve."


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add the sub-command and its options."""
    parser = commands.add_parser("serve", help="a local page, and JSON, that classify pictures", description=ABOUT)
    parser.add_argument("run", type=Path, help="a run's folder, or the artifact in it")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; by default only this machine is heard")
    parser.add_argument("--port", type=int, default=8000, help="0: any that is free")
    parser.add_argument("--runtime", default="auto", help="as of hymtl predict: auto, torch, onnxruntime or openvino")
    parser.add_argument(
        "--unsure",
        type=probability,
        default=0.8,
        metavar="CONFIDENCE",
        help="what is below it is called unsure; 0.8 by default",
    )
    parser.set_defaults(function=run)


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM, SIGINT or SIGHUP; 0 after each."""
    try:
        import uvicorn  # noqa: F401

        from hymtl.serve import app
    except ImportError as error:
        raise HymtlError(
            f'hymtl serve needs uvicorn and starlette: {error}. Install them: pip install "hymtl[serve]".'
        ) from error
    import torch

    import hymtl

    predictor = hymtl.load(options.run, runtime=options.runtime)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a picture a thread, as in `hymtl predict`
    predictor.call_once()
    application = app.make(predictor, _explainer(predictor), threads, options.unsure)
    listening = _listen(options.host, options.port)
    server = _server(application)
    host, port = listening.getsockname()[:2]
    with _ended_by_signals(server):
        print(f"http://{f'[{host}]' if ':' in host else host}:{port}  (Ctrl-C ends it)", flush=True)
        server.run(sockets=[listening])
    return 0


def _server(application):
    """One whose signals are ours: uvicorn's own handlers come too late, and raise each signal once more at the end."""
    import uvicorn

    class Server(uvicorn.Server):
        def capture_signals(self):
            return contextlib.nullcontext()

    return Server(
        uvicorn.Config(
            application, log_level="warning", limit_concurrency=200, server_header=False, ws="none",
            timeout_graceful_shutdown=PATIENCE,
        )
    )  # fmt: skip


@contextlib.contextmanager
def _ended_by_signals(server) -> Iterator[None]:
    """The first signal has the server finish what it answers, the second does not wait for that."""

    def end(number: int, frame: FrameType | None) -> None:
        server.force_exit, server.should_exit = server.should_exit, True

    before = {kind: signal.signal(kind, end) for kind in signals.handled_here()}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)  # who connects from now on is answered
    except socket.gaierror as error:
        raise HymtlError(
            f"--host {host} --port {port}: {error.strerror}. Give an address of this machine and a port up to 65535."
        ) from error
    except (OSError, OverflowError) as error:
        reason = str(error).rstrip(".")
        raise HymtlError(f"--host {host} --port {port}: cannot listen there: {reason}. Try --port 0.") from error
    return listening


def _explainer(predictor):
    from hymtl.deploy.explanation import Explainer

    try:
        return Explainer(predictor.artifact)
    except HymtlError as error:
        print(f"hymtl: pages come without an explanation. {error}", file=sys.stderr)
        return None
