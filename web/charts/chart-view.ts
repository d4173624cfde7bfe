export type StepWindow = readonly [from: number, to: number];

/** The state that all charts of a page share: the visible window of steps and the step under the pointer. */
export class ChartView {
  #extent: StepWindow = [0, 1];
  #zoom: StepWindow | null = null;
  #hoverStep: number | null = null;
  readonly #windowListeners = new Set<() => void>();
  readonly #hoverListeners = new Set<() => void>();

  /** The visible window. */
  get window(): StepWindow {
    return this.#zoom ?? this.#extent;
  }
  get zoom(): StepWindow | null {
    return this.#zoom;
  }
  get hoverStep(): number | null {
    return this.#hoverStep;
  }

  /** Sets the full extent. The window follows it unless zoomed. */
  setExtent(from: number, to: number): void {
    const end = Math.max(to, from + 1);
    if (this.#extent[0] === from && this.#extent[1] === end) return;
    this.#extent = [from, end];
    if (!this.#zoom) this.#tell(this.#windowListeners);
  }
  /** @returns whether the window is now zoomed: it spans at least two steps */
  zoomTo(from: number, to: number): boolean {
    const low = Math.max(this.#extent[0], Math.min(from, to));
    const high = Math.min(this.#extent[1], Math.max(from, to));
    if (high - low < 2) return false;
    this.#zoom = [low, high];
    this.#tell(this.#windowListeners);
    return true;
  }
  /** Zooms around a step. A factor below 1 zooms in. The zoom ends at the whole extent. */
  zoomBy(factor: number, around: number): void {
    const [from, to] = this.window;
    const low = around - (around - from) * factor;
    const high = around + (to - around) * factor;
    if (low <= this.#extent[0] && high >= this.#extent[1]) this.resetZoom();
    else this.zoomTo(low, high);
  }
  resetZoom(): void {
    if (!this.#zoom) return;
    this.#zoom = null;
    this.#tell(this.#windowListeners);
  }
  hover(step: number | null): void {
    if (step === this.#hoverStep) return;
    this.#hoverStep = step;
    this.#tell(this.#hoverListeners);
  }

  onWindow = (listener: () => void): (() => void) => {
    this.#windowListeners.add(listener);
    return () => this.#windowListeners.delete(listener);
  };
  onHover = (listener: () => void): (() => void) => {
    this.#hoverListeners.add(listener);
    return () => this.#hoverListeners.delete(listener);
  };
  #tell(listeners: ReadonlySet<() => void>): void {
    for (const listener of listeners) listener();
  }
}
