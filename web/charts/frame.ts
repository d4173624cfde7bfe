const waiting = new Set<() => void>();
let requested = false;

/** Runs `paint` once in the next animation frame, however often it is requested. All charts share one frame. */
export function requestPaint(paint: () => void): void {
  waiting.add(paint);
  if (requested) return;
  requested = true;
  requestAnimationFrame(() => {
    requested = false;
    const paints = [...waiting];
    waiting.clear();
    for (const each of paints) each();
  });
}
export const cancelPaint = (paint: () => void): boolean => waiting.delete(paint);
