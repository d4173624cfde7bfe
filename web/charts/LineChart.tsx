'use client';
import {
  useCallback,
  useEffect,
  useRef,
  useState,
  useSyncExternalStore,
  type KeyboardEvent,
  type PointerEvent,
} from 'react';
import type { ChartMark, ChartSeries, ChartSource } from './chart-types';
import type { ChartView, StepWindow } from './chart-view';
import { hasOffScale } from './decimate';
import { formatStep, formatValue, shortName, unitLabel, type Unit } from './format';
import { cancelPaint, requestPaint } from './frame';
import { margin, paintPlot, paintPointer, prepareCanvas, type PlotGeometry } from './paint';
import { currentPalette, onThemeChange } from './palette';
import { latestReading, readingAt } from './reading';
import { useInSight } from './use-in-sight';
import './charts.css';

export interface LineChartProps {
  title: string;
  /** One line that says how to read the chart. */
  hint?: string;
  unit: Unit;
  /** Replaces the unit's own label at the title. */
  unitText?: string;
  series: readonly ChartSeries[];
  /** Names of the series to request from the source. The default is the ids of the lines. */
  draws?: readonly string[];
  marks?: readonly ChartMark[];
  view: ChartView;
  source: ChartSource;
  /** Values that the scale always includes, e.g. 0. */
  include?: readonly number[];
  /** Adds a switch to a logarithmic scale, with this initial state. */
  logarithm?: 'off' | 'on';
  /** `short` for long names that the page shows in full elsewhere, `none` for too many lines. */
  legend?: 'names' | 'short' | 'none';
  /** A remark under the title, e.g. the sample size. */
  note?: string;
  /** Replaces the plot while no series has a value. */
  emptyText?: string;
  testId: string;
}

const never: readonly ChartMark[] = [];
const none: readonly number[] = [];
const markReachPixels = 6;
/** A chart with more lines than this does not read values out. */
const mostSpoken = 20;

/** Lines over optimizer steps. Drag to zoom, double-click or Escape to see all, arrow keys to read values. */
export function LineChart(props: LineChartProps): React.ReactNode {
  const {
    title,
    hint,
    unit,
    unitText = unitLabel[unit],
    series,
    draws = series.map(({ id }) => id),
    marks = never,
    view,
    source,
    include = none,
    logarithm,
    legend = 'names',
    note,
    emptyText,
    testId,
  } = props;
  const box = useRef<HTMLDivElement>(null);
  const plotCanvas = useRef<HTMLCanvasElement>(null);
  const pointerCanvas = useRef<HTMLCanvasElement>(null);
  const geometry = useRef<PlotGeometry | null>(null);
  const selection = useRef<StepWindow | null>(null);
  const [logarithmic, setLogarithmic] = useState(logarithm === 'on');
  const [nearMark, setNearMark] = useState<{ mark: ChartMark; left: number } | null>(null);
  useSyncExternalStore(
    source.onChange,
    () => source.version,
    () => 0,
  );

  const isInSight = useInSight(box);
  const drawn = draws.join('\n');
  useEffect(() => {
    if (isInSight && drawn !== '') return source.draw(drawn.split('\n'));
    return undefined;
  }, [isInSight, drawn, source]);

  // Painters outlive a render: they read the newest content here.
  const content = useRef({ series, marks, unit, include, logarithmic });
  const paintTop = useCallback(() => {
    const canvas = pointerCanvas.current;
    const host = box.current;
    if (!canvas || !host || !geometry.current) return;
    const context = prepareCanvas(canvas, host.clientWidth, host.clientHeight);
    const { series: lines } = content.current;
    paintPointer(context, geometry.current, view.hoverStep, selection.current, lines, currentPalette());
  }, [view]);
  const paintAll = useCallback(() => {
    const canvas = plotCanvas.current;
    const host = box.current;
    if (!canvas || !host || host.clientWidth === 0) return;
    const context = prepareCanvas(canvas, host.clientWidth, host.clientHeight);
    geometry.current = paintPlot(
      context,
      host.clientWidth,
      host.clientHeight,
      view.window,
      content.current,
      currentPalette(),
    );
    paintTop();
  }, [view, paintTop]);

  useEffect(() => {
    content.current = { series, marks, unit, include, logarithmic };
    requestPaint(paintAll);
  }, [series, marks, unit, include, logarithmic, paintAll]);

  useEffect(() => {
    const host = box.current;
    if (!host) return;
    const repaint = (): void => {
      if (isInSight) requestPaint(paintAll);
    };
    const repaintTop = (): void => {
      if (isInSight) requestPaint(paintTop);
    };
    repaint();
    const size = new ResizeObserver(repaint);
    size.observe(host);
    // Also out of sight: otherwise the chart would scroll into view in the old theme's colours.
    const recolor = (): void => requestPaint(paintAll);
    const stops = [source.onData(repaint), view.onWindow(repaint), view.onHover(repaintTop), onThemeChange(recolor)];
    return () => {
      for (const stop of stops) stop();
      size.disconnect();
      cancelPaint(paintAll);
      cancelPaint(paintTop);
    };
  }, [source, view, paintAll, paintTop, isInSight]);

  const stepAt = (event: PointerEvent): number | null => {
    const host = box.current;
    if (!host || !geometry.current) return null;
    const [from, to] = view.window;
    const step = geometry.current.stepAt(event.clientX - host.getBoundingClientRect().left);
    return Math.min(to, Math.max(from, step));
  };
  const onPointerMove = (event: PointerEvent): void => {
    const step = stepAt(event);
    if (step === null || !geometry.current) return;
    if (selection.current) selection.current = [selection.current[0], step];
    view.hover(Math.round(step));
    requestPaint(paintTop);
    const x = geometry.current.x;
    const near = marks.findLast((mark) => Math.abs(x(mark.step) - x(step)) <= markReachPixels);
    setNearMark(near ? { mark: near, left: x(near.step) } : null);
  };
  const onPointerDown = (event: PointerEvent): void => {
    const step = stepAt(event);
    if (event.button !== 0 || step === null || event.pointerType === 'touch') return;
    selection.current = [step, step];
    event.currentTarget.setPointerCapture(event.pointerId);
  };
  const onPointerUp = (): void => {
    const dragged = selection.current;
    selection.current = null;
    if (dragged && geometry.current && Math.abs(geometry.current.x(dragged[1]) - geometry.current.x(dragged[0])) > 5)
      if (view.zoomTo(Math.round(dragged[0]), Math.round(dragged[1]))) view.hover(null);
    requestPaint(paintTop);
  };
  const onPointerLeave = (): void => {
    if (!selection.current) view.hover(null);
    setNearMark(null);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const [from, to] = view.window;
    const stride = Math.max(1, Math.round((to - from) / (event.shiftKey ? 10 : 100)));
    const at = view.hoverStep ?? to;
    if (event.key === 'ArrowLeft') view.hover(Math.max(from, Math.round(at - stride)));
    else if (event.key === 'ArrowRight') view.hover(Math.min(to, Math.round(at + stride)));
    else if (event.key === '+' || event.key === '=') view.zoomBy(0.5, at);
    else if (event.key === '-') view.zoomBy(2, at);
    else if (event.key === 'Escape' || event.key === '0') {
      view.resetZoom();
      view.hover(null);
    } else return;
    event.preventDefault();
  };

  const isOffScale = series.some(({ columns, past }) => hasOffScale(columns) || (past && hasOffScale(past)));
  const isEmpty = series.every(({ columns, past }) => columns.length === 0 && !past?.length);
  const isLoading = isEmpty && (!isInSight || source.isLoading(draws)) && draws.length > 0;
  const waits = isLoading ? 'Loading …' : (emptyText ?? 'No values yet.');
  const spoken = (series.length > mostSpoken ? [] : series)
    .map((each) => `${each.label} ${formatValue(latestReading(each, isLoading), unit)}`)
    .join(', ');
  return (
    <section className="chart" data-testid={testId}>
      <header className="chart-head">
        <h3 title={hint}>
          {title}
          {unitText && <span className="chart-unit">{unitText}</span>}
        </h3>
        {logarithm && (
          <button
            type="button"
            className="chart-toggle"
            aria-pressed={logarithmic}
            onClick={() => setLogarithmic(!logarithmic)}
          >
            log
          </button>
        )}
        {legend !== 'none' && (
          <Legend {...{ title, series, unit, view, source, isLoading }} isShort={legend === 'short'} />
        )}
        {isOffScale && (
          <p
            className="chart-off-scale"
            title="A red line over the whole height: NaN, an infinity or an overflow at that step."
          >
            <i aria-hidden />
            not finite
          </p>
        )}
      </header>
      {note && <p className="chart-note">{note}</p>}
      <div
        ref={box}
        className="chart-plot"
        data-points={series.reduce((sum, { columns }) => sum + columns.length, 0)}
        role="group"
        aria-roledescription="chart"
        tabIndex={0}
        aria-label={`${title} over steps. ${isEmpty ? waits : spoken === '' ? '' : `Latest: ${spoken}.`} Arrow keys read values, plus and minus zoom, Escape shows all.`}
        onPointerMove={onPointerMove}
        onPointerDown={onPointerDown}
        onPointerUp={onPointerUp}
        onPointerCancel={onPointerUp}
        onPointerLeave={onPointerLeave}
        onDoubleClick={() => view.resetZoom()}
        onKeyDown={onKeyDown}
      >
        <canvas ref={plotCanvas} aria-hidden />
        <canvas ref={pointerCanvas} aria-hidden />
        {isEmpty && <p className="chart-empty">{waits}</p>}
        {nearMark && (
          <p
            className="chart-mark-label"
            style={{
              left: nearMark.left,
              translate: nearMark.left > (box.current?.clientWidth ?? 0) / 2 ? 'calc(-100% - 6px)' : '6px',
              top: margin.top,
            }}
          >
            <b>step {formatStep(nearMark.mark.step)}</b> {nearMark.mark.label}
          </p>
        )}
      </div>
    </section>
  );
}

/** Names, colours and values: those at the step under the pointer in any chart, else the latest. */
function Legend({
  title,
  series,
  unit,
  view,
  source,
  isLoading,
  isShort,
}: Pick<LineChartProps, 'title' | 'series' | 'unit' | 'view' | 'source'> & {
  isLoading: boolean;
  isShort: boolean;
}): React.ReactNode {
  const hoverStep = useSyncExternalStore(
    view.onHover,
    () => view.hoverStep,
    () => null,
  );
  useSyncExternalStore(
    source.onChange,
    () => source.version,
    () => 0,
  );
  return (
    <ul className="chart-legend" data-short={isShort}>
      {series.map((each) => {
        const isMeasured = each.columns.length > 0;
        const value =
          hoverStep === null || !isMeasured ? latestReading(each, isLoading) : readingAt(each, hoverStep)?.value;
        return (
          <li key={each.id} data-quiet={each.quiet}>
            <i className="swatch" data-color={each.color} />
            {each.label !== title && <span title={each.label}>{isShort ? shortName(each.label) : each.label}</span>}
            <b title={each.label}>{formatValue(value, unit)}</b>
          </li>
        );
      })}
    </ul>
  );
}
