"""The page at `/` in a browser without a window."""
import os

from common import HERE, debian, run


def chromium(place):
    # Some 100 MB and as many packages.
    browser = debian("chromium", "chromium", 240)
    node = debian("node", "nodejs")
    with place.server() as server:
        words = [node, os.path.join(HERE, "page.js"), browser, server.url, os.path.join(place.work, "profile")]
        return run("chromium", words, 90).strip()
