"""Chromium without a window, driven over a pair of pipes: no driver is needed.

Source: the Chrome DevTools Protocol, https://chromedevtools.github.io/devtools-protocol/; messages are JSON that a zero
byte ends.
"""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
PATIENCE = 60  # seconds


class Tab:
    """A page that is open; ``problems`` are the messages of its console."""

    def __init__(self, read: int, write: int) -> None:
        self._in, self._out = os.fdopen(read, "rb"), os.fdopen(write, "wb")
        self._number, self._session = 0, None
        self.problems: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "DOM", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> dict:
        """What the browser answers to a method of the protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        self._out.write(json.dumps(message).encode() + b"\0")
        self._out.flush()
        while (answer := self._next()).get("id") != self._number:
            if answer.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.problems.append(json.dumps(answer["params"]))
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self) -> dict:
        content = bytearray()
        while (byte := self._in.read(1)) != b"\0":
            assert byte, "the browser has ended"
            content += byte
        return json.loads(content)

    def ask(self, script: str) -> object:
        """The value of a JavaScript expression, awaited."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, script: str) -> None:
        """Until the expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.ask(script):
            assert time.monotonic() < end, f"{script} stays false"
            time.sleep(0.05)

    def open(self, address: str, width: int = 1400) -> None:
        """An address, in a window so many pixels wide."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'")

    def give(self, selector: str, file: Path) -> None:
        """Choose a file in an input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def picture(self, file: Path) -> None:
        """The whole page as a PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))


@contextlib.contextmanager
def tab(profile: Path) -> Iterator[Tab]:
    """A browser with one tab; ``profile`` is an empty folder of its own."""
    to_read, to_write = os.pipe(), os.pipe()
    words = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    words += [
        "--remote-debugging-pipe",
        f"--user-data-dir={profile}",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    ]

    def pipes() -> None:  # the browser reads from 3 and writes to 4
        read, write = os.dup(to_read[0]), os.dup(to_write[1])
        os.dup2(read, 3)
        os.dup2(write, 4)

    browser = subprocess.Popen(
        words, preexec_fn=pipes, close_fds=False, stderr=subprocess.DEVNULL, env=os.environ | {"HOME": str(profile)}
    )
    os.close(to_read[0])
    os.close(to_write[1])
    opened = Tab(to_write[0], to_read[1])
    try:
        yield opened
        with contextlib.suppress(AssertionError):
            opened.call("Browser.close")
    finally:
        browser.kill()
        browser.wait()
