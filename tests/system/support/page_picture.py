# SPDX-License-Identifier: MIT
"""
Draws the status page, with some of everything on it, as the README shows it:

    python3 tests/system/support/page_picture.py daemon/status/page.png

"make page-picture" does so.
"""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support.browser import Browser
from support.page_server import PageServer, demo
from support.stage import need

WIDTH, HEIGHT = 1280, 1460  # the drawing, and the first of the connections


def live(world):
    """For a while: some come, and some go, for one reason or another."""
    for reason in ("closed", "closed", "client reset", "closed", "idle timeout", "closed", "closed", "closed"):
        with world.lock:
            one = world.random.choice([one for one in world.connections if one["proxy"] == "web"])
            world.end(one, reason)
            world.connect(*one["ways"], rate=one["rate"])
        time.sleep(.4)


def draw(browser, path):
    world = demo()
    serving = PageServer(world)
    try:
        browser.size(WIDTH)
        browser.media(prefers_color_scheme="light", prefers_reduced_motion="reduce")
        browser.open(f"http://{serving.address}/")
        browser.wait("document.querySelectorAll('#rows tr').length > 5")
        browser.ask("document.querySelector('[data-key=rate]').click()")
        live(world)
        browser.wait("document.querySelectorAll('.lane.busy').length > 5")
        browser.picture(path, clip=(WIDTH, HEIGHT))
    finally:
        serving.end()
    # To a palette, without which it is three times as large.
    subprocess.run([need("pngquant"), "--force", "--speed", "1", "--strip", "--output", path, "256", path], check=True)


def main(path):
    browser = Browser()
    try:
        browser.renew()
        draw(browser, path)
    finally:
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
