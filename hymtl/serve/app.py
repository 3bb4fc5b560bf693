"""What is answered to a request: the page, a prediction, how the server is."""

import base64
import io
import time
from importlib.resources import files

import anyio
import torch
from anyio import CapacityLimiter, to_thread
from PIL import Image
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

import hymtl
from hymtl.data import reading
from hymtl.deploy.explanation import Explainer
from hymtl.deploy.predict import Predictor
from hymtl.errors import HymtlError
from hymtl.pictures import heat
from hymtl.serve.guard import Guard

MAX_BYTES = 25_000_000  # of an upload
BEARABLE = 20 * MAX_BYTES  # of one that is refused, but read to its end
MAX_PIXELS = 50_000_000  # of a picture: 50 of them must not take the machine's memory
SECONDS = 60  # that an upload may take

_TYPES = {"page.html": "text/html", "page.css": "text/css", "page.js": "text/javascript"}


class Answers:
    """The endpoints; one picture a thread is classified at a time, others wait for their turn."""

    def __init__(self, predictor: Predictor, explainer: Explainer | None, threads: int, unsure: float) -> None:
        self.predictor, self.explainer, self.unsure = predictor, explainer, unsure
        self.turns = CapacityLimiter(threads)

    async def predict(self, request: Request) -> Response:
        """The body is the picture's file; JSON comes back. ``?explain=1`` adds a PNG of what spoke for the class."""
        try:
            return await self.classify(request)
        except anyio.get_cancelled_exc_class():  # its patience with requests has run out
            return JSONResponse({"error": "The server is ending."}, 503)

    async def classify(self, request: Request) -> Response:
        """What :meth:`predict` answers, as long as the server has time."""
        if request.headers.get("content-type", "").startswith("multipart/"):
            return JSONResponse({"error": "Send the file itself, no form: curl --data-binary @photo.jpg"}, 415)
        try:
            with anyio.fail_after(SECONDS):
                content = await _body(request)
        except ClientDisconnect:
            return Response(status_code=400)
        except TimeoutError:
            return JSONResponse({"error": f"The upload took more than {SECONDS} seconds."}, 408)
        if content is None:
            return JSONResponse({"error": f"A file may have {MAX_BYTES // 10**6} MB; this one has more."}, 413)
        explain = request.query_params.get("explain") == "1"
        try:
            answer = await to_thread.run_sync(self._answer, content, explain, limiter=self.turns)
        except HymtlError as error:
            return JSONResponse({"error": str(error)}, 422)
        return JSONResponse(answer)

    def _answer(self, content: bytes, explain: bool) -> dict:
        began = time.perf_counter()
        picture = reading.read_bytes(content, "The file", self._prepared, max_pixels=MAX_PIXELS)
        said = self.predictor.classify(picture[None])[0]
        answer = {
            "label": said.label,
            "confidence": said.confidence,
            "probabilities": said.probabilities,
            "unsure": said.confidence < self.unsure,
            "seconds": time.perf_counter() - began,
        }
        if explain and self.explainer:
            drawn = io.BytesIO()
            label = self.predictor.classes.index(said.label)
            heat.over(picture, self.explainer(picture, label)).save(drawn, "PNG")
            answer["explanation"] = "data:image/png;base64," + base64.b64encode(drawn.getvalue()).decode()
            answer["of_float_twin"] = self.explainer.of_twin
        return answer

    def _prepared(self, image: Image.Image) -> Tensor:
        """As a tensor: as an image it would be turned upright twice."""
        return self.predictor.prepare(pil_to_tensor(image))

    async def health(self, _: Request) -> Response:
        """That it answers at all."""
        return JSONResponse({"status": "ok"})

    async def version(self, _: Request) -> Response:
        """Who answers."""
        loaded = self.predictor.artifact
        return JSONResponse(
            {
                "hymtl": hymtl.__version__,
                "torch": torch.__version__,
                "backbone": loaded.backbone,
                "strategy": loaded.strategy["name"],
                "classes": loaded.classes,
                "weights_sha256": loaded.digest,
            }
        )


def make(predictor: Predictor, explainer: Explainer | None, threads: int, unsure: float) -> Starlette:
    """The application; there is nothing in it but these paths."""
    answers = Answers(predictor, explainer, threads, unsure)
    return Starlette(
        routes=[
            Route("/", _file("page.html")),
            *(Route(f"/{name}", _file(name)) for name in ("page.css", "page.js")),
            Route("/predict", answers.predict, methods=["POST"]),
            Route("/health", answers.health),
            Route("/version", answers.version),
        ],
        middleware=[Middleware(Guard)],
        exception_handlers={HTTPException: _refusal},
    )


async def _refusal(request: Request, error: Exception) -> Response:
    """Of a path that there is not, or another method than its own."""
    assert isinstance(error, HTTPException)
    said = f"{request.method} {request.url.path}: {error.detail}. A picture's file goes to POST /predict."
    return JSONResponse({"error": said}, error.status_code, error.headers)


def _file(name: str):
    content = (files("hymtl.serve") / name).read_text(encoding="utf-8")

    async def answer(_: Request) -> Response:
        return HTMLResponse(content, media_type=_TYPES[name])

    return answer


async def _body(request: Request) -> bytes | None:
    """The upload; None if it is too large, whatever its length was said to be.

    The rest of one that is too large is read and forgotten: browsers that are cut off while they send show no answer.
    """
    if _length(request) > BEARABLE:
        return None
    parts, size = bytearray(), 0
    async for part in request.stream():
        size += len(part)
        if size <= MAX_BYTES:
            parts += part
        elif size > BEARABLE:
            break
        else:
            parts.clear()
    return bytes(parts) if size <= MAX_BYTES else None


def _length(request: Request) -> int:
    said = request.headers.get("content-length", "")
    return int(said) if said.isdecimal() else 0
