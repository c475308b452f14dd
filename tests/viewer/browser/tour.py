"""A tour over the matrix: zooming in, moving about, zooming out, a step in every frame."""

from typing import Any

STEPS = 300

# Each frame has what the matrix told of it, and the time that the browser gave it. Tasks of more
# than 50 ms are those of which the browser tells by itself.
_TOUR = """
const [steps, done] = arguments;
const root = document.querySelector('.edgelinear-view').shadowRoot;
const canvas = root.querySelector('.matrix canvas');
canvas.scrollIntoView({ block: 'center' });
canvas.setPointerCapture = () => undefined; // there is no such pointer
const box = canvas.getBoundingClientRect();
const [x, y] = [box.x + box.width * 0.6, box.y + box.height * 0.6];
const long = [];
const observer = new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) long.push(duration);
});
observer.observe({ type: 'longtask' });
const send = (Kind, name, more) => canvas.dispatchEvent(new Kind(name, {
  clientX: x, clientY: y, pointerId: 1, button: 0, bubbles: true, cancelable: true, ...more,
}));
const frames = [];
const third = steps / 3;
const next = (time) => {
  const step = frames.length;
  frames.push({ time, ...canvas.dataset });
  if (step === steps) {
    observer.disconnect();
    return done({ frames, long });
  }
  const at = step - third;
  const moved = { clientX: x - 3 * at, clientY: y - 2 * at };
  if (step < third) send(WheelEvent, 'wheel', { deltaY: -30 });
  else if (step >= 2 * third) send(WheelEvent, 'wheel', { deltaY: 30 });
  else {
    if (at === 0) send(PointerEvent, 'pointerdown', {});
    send(PointerEvent, 'pointermove', moved);
    if (at === third - 1) send(PointerEvent, 'pointerup', moved);
  }
  requestAnimationFrame(next);
};
requestAnimationFrame(next);
"""


def tour(page: Any, steps: int = STEPS) -> tuple[list[dict], list[float]]:
    """Return what each frame of a tour told, and the milliseconds of long tasks."""
    page.driver.set_script_timeout(120)
    found = page.driver.execute_async_script(_TOUR, steps)
    return found["frames"], found["long"]
