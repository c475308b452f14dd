"""How many frames a second the viewer draws of the fly's eye, by the browser's own clock.

    python benchmarks/view_frames.py [--rounds 3]

A tour of 300 frames zooms in, moves about and zooms out in headless Chromium, without a GPU. What
`make test-view` installs is needed.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parents[1] / "tests" / "viewer" / "browser"
sys.path.insert(0, str(TESTS))  # the stage of its tests

from page import Page, start_browser  # noqa: E402
from stage import Stage  # noqa: E402
from subjects import eye  # noqa: E402
from tour import tour  # noqa: E402

import edgelinear as el  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    view, stage, browser = el.view(eye()), Stage(), start_browser()
    try:
        page = Page(browser)
        print(f"{view._meta['title']}, {browser.capabilities['browserVersion']}")
        for _ in range(arguments.rounds):
            page.open(stage.show(view)).settle()
            print(said(*tour(page)))
    finally:
        browser.quit()
        stage.close()


def said(frames: list[dict], long: list[float]) -> str:
    took = np.diff([frame["time"] for frame in frames])  # milliseconds
    tiles = [int(frame["tiles"]) for frame in frames]
    median, most = np.median(took), np.percentile(took, 95)
    return (
        f"{1000 / took.mean():.0f} frames a second; a frame {median:.1f} ms, 95 in 100 within "
        f"{most:.1f}, the longest {took.max():.1f}; {min(tiles)} to {max(tiles)} tiles; "
        f"{len(long)} tasks of over 50 ms, the longest {max(long, default=0):.0f}"
    )


if __name__ == "__main__":
    main()
