# SPDX-License-Identifier: MIT
"""Debian's chromium without a window, driven over its DevTools protocol on two pipes."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

from support.stage import need

# No sandbox: tests may run as root, in a container.  What would go out of its own accord does not.
OPTIONS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
           "--disable-background-networking", "--disable-component-update", "--disable-sync",
           "--disable-extensions", "--no-default-browser-check", "--hide-scrollbars", "--remote-debugging-pipe"]


class Browser:
    """One page at a time; what it said and asked for is kept."""

    def __init__(self):
        program = need("chromium")
        self.directory = tempfile.mkdtemp(prefix="sf-browser-")
        self.number, self.buffer = 0, b""
        self.events, self.session, self.context = [], None, None
        command_in, self.write_end = os.pipe()
        self.read_end, command_out = os.pipe()
        # It reads descriptor 3 and writes 4.
        words = [program, *OPTIONS, f"--user-data-dir={self.directory}", "about:blank"]
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{command_in} 4>&{command_out}', "bash", *words],
            pass_fds=(command_in, command_out), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**os.environ, "HOME": self.directory})
        os.close(command_in)
        os.close(command_out)

    def renew(self):
        """Another page, which knows nothing of the one before."""
        before, self.session, self.events = self.context, None, []
        self.context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=self.context)["targetId"]
        if before:
            self.call("Target.disposeBrowserContext", browserContextId=before)
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.read_end)
        os.close(self.write_end)
        shutil.rmtree(self.directory, ignore_errors=True)

    # ---- the protocol ----

    def receive(self, until):
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.read_end], [], [], max(0, until - time.monotonic()))
            assert ready, "chromium does not answer"
            data = os.read(self.read_end, 1 << 20)
            assert data, "chromium has ended"
            self.buffer += data
        text, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(text)

    def call(self, method, within=60, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + within
        while True:
            answer = self.receive(until)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    # ---- what a test does ----

    def size(self, width, height=900, scale=1):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
                  mobile=False)

    def media(self, **features):
        """media(prefers_color_scheme="dark")"""
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": name.replace("_", "-"), "value": value} for name, value in features.items()])

    def without_script(self):
        self.call("Emulation.setScriptExecutionDisabled", value=True)

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def ask(self, expression):
        """What a JavaScript expression gives."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, expression, within=60):
        """Until that is true; gives what it gave."""
        until = time.monotonic() + within
        while not (value := self.ask(expression)):
            assert time.monotonic() < until, f"never true: {expression}"
            time.sleep(.1)
        return value

    def text(self, selector):
        return self.ask(f"document.querySelector({json.dumps(selector)}).innerText")

    def press(self, key, code=None):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=code or key,
                      windowsVirtualKeyCode={"Tab": 9, "Enter": 13, " ": 32}.get(key, 0),
                      **({"text": "\r"} if key == "Enter" and kind == "keyDown" else {}))

    def picture(self, path, clip=None):
        """Of the whole page, however high it is; or of (width, height) of it, from the top."""
        area = {"clip": {"x": 0, "y": 0, "width": clip[0], "height": clip[1], "scale": 1}} if clip else {}
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True, **area)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    # ---- what it has seen ----

    def happened(self, method):
        self.ask("1")  # what was before that has arrived with the answer
        return [event["params"] for event in self.events
                if event.get("method") == method and event.get("sessionId") == self.session]

    def complaints(self):
        """Of the console, of scripts, of the policy."""
        said = [one for one in self.happened("Runtime.consoleAPICalled") if one["type"] in ("error", "warning")]
        return said + self.happened("Runtime.exceptionThrown") + self.happened("Log.entryAdded")

    def requests(self):
        return [one["request"]["url"] for one in self.happened("Network.requestWillBeSent")]
