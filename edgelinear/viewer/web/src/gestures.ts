/** Mouse, pen, fingers and wheel on the matrix, as what they mean. Places are in pixels of it. */

export interface Gestures {
  /** Whether a drag draws a rectangle without the shift key too. */
  drawsRectangles(): boolean;
  hover(place: Spot | null): void;
  pan(across: number, down: number): void;
  /** Show `factor` times as much. Returns false where nothing more is to be shown. */
  zoom(factor: number, at: Spot): boolean;
  tap(at: Spot): void;
  rectangle(from: Spot, to: Spot, isDone: boolean): void;
}

export interface Spot {
  x: number;
  y: number;
}

const STILL = 4; // pixels that a tap may move
const SCROLL = 300; // milliseconds: turns of a wheel closer than that are one scroll of the page

export function listen(canvas: HTMLElement, to: Gestures, signal: AbortSignal): void {
  const pointers = new Map<number, Spot>();
  let start: Spot | null = null; // of a pointer that may yet be a tap
  let corner: Spot | null = null; // of a rectangle

  const spot = (event: MouseEvent): Spot => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const on = <K extends keyof HTMLElementEventMap>(
    name: K,
    run: (event: HTMLElementEventMap[K]) => void,
  ) => canvas.addEventListener(name, run, { signal, passive: false });

  on("pointerdown", (event) => {
    if (event.button !== 0) return;
    const at = spot(event);
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at);
    start = pointers.size === 1 ? at : null;
    corner = pointers.size === 1 && (event.shiftKey || to.drawsRectangles()) ? at : null;
  });

  on("pointermove", (event) => {
    const at = spot(event);
    const before = pointers.get(event.pointerId);
    if (!before) return to.hover(at);
    if (start && distance(start, at) <= STILL) return;
    start = null;
    if (corner) to.rectangle(corner, at, false);
    else if (pointers.size === 1) to.pan(at.x - before.x, at.y - before.y);
    else pinch(event.pointerId, before, at);
    pointers.set(event.pointerId, at);
  });

  function pinch(id: number, before: Spot, at: Spot): void {
    const other = [...pointers].find(([key]) => key !== id)?.[1];
    if (!other) return;
    const middle = { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 };
    // The other finger moves in an event of its own.
    to.pan((at.x - before.x) / 2, (at.y - before.y) / 2);
    to.zoom(distance(before, other) / Math.max(distance(at, other), 1), middle);
  }

  const end = (event: PointerEvent, isDone: boolean) => {
    if (!pointers.delete(event.pointerId)) return;
    const at = spot(event);
    if (isDone && start) to.tap(start);
    else if (corner) to.rectangle(corner, isDone ? at : corner, true);
    start = corner = null;
  };
  on("pointerup", (event) => end(event, true));
  on("pointercancel", (event) => end(event, false));
  on("pointerleave", () => to.hover(null));

  // A page that scrolls on under the pointer goes on scrolling, and so does one that is scrolled
  // down while the whole matrix is seen: only a wheel that is turned here zooms.
  let scrolled = -Infinity;
  window.addEventListener(
    "wheel",
    (event) => {
      if (!event.composedPath().includes(canvas)) scrolled = event.timeStamp;
    },
    { signal, passive: true, capture: true },
  );
  on("wheel", (event) => {
    if (!event.ctrlKey && event.timeStamp - scrolled < SCROLL) {
      scrolled = event.timeStamp;
      return;
    }
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const turned = Math.max(-240, Math.min(240, event.deltaY * lines));
    const isZoomed = to.zoom(Math.exp(turned * (event.ctrlKey ? 0.01 : 0.002)), spot(event));
    if (isZoomed || event.ctrlKey) event.preventDefault();
    else scrolled = event.timeStamp;
  });
}

function distance(one: Spot, other: Spot): number {
  return Math.hypot(one.x - other.x, one.y - other.y);
}
