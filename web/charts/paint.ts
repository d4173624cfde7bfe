import { isMeasured } from '@plumbline/shared/metric';
import { scaleLinear } from 'd3';
import type { StepWindow } from './chart-view';
import type { ChartMark, ChartSeries } from './chart-types';
import { decimate, type DecimatedLine } from './decimate';
import { formatStep, formatTicks, formatValue, type Unit } from './format';
import type { Palette } from './palette';
import { readingAt } from './reading';
import { yScale, yTicks, type YScale } from './scale';

export const margin = { top: 8, right: 10, bottom: 20, left: 46 } as const;
const font = '10.5px Inter, ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

export interface PlotContent {
  series: readonly ChartSeries[];
  marks: readonly ChartMark[];
  unit: Unit;
  include: readonly number[];
  logarithmic: boolean;
}
/** Maps steps and values to pixels inside the canvas, as last painted. */
export interface PlotGeometry {
  x: (step: number) => number;
  y: YScale;
  stepAt: (pixel: number) => number;
  plotWidth: number;
  plotHeight: number;
}

/** Sizes the canvas to its box at the screen's resolution and clears it. */
export function prepareCanvas(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const ratio = window.devicePixelRatio || 1;
  const [pixelWidth, pixelHeight] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== pixelWidth || canvas.height !== pixelHeight) {
    canvas.width = pixelWidth;
    canvas.height = pixelHeight;
  }
  const context = canvas.getContext('2d');
  if (!context) throw new Error('This browser has no 2D canvas.');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** Paints axes, marks, base values and lines. */
export function paintPlot(
  context: CanvasRenderingContext2D,
  width: number,
  height: number,
  window: StepWindow,
  content: PlotContent,
  palette: Palette,
): PlotGeometry {
  const plotWidth = Math.max(1, width - margin.left - margin.right);
  const plotHeight = Math.max(1, height - margin.top - margin.bottom);
  const lines = content.series.map((series) =>
    decimate(series.columns, window[0], window[1], plotWidth, series.transform),
  );
  const pasts = content.series.map((series) =>
    series.past ? decimate(series.past, window[0], window[1], plotWidth, series.transform) : null,
  );
  const drawn = [...lines, ...pasts.filter((line) => line !== null)];
  const bases = content.series.flatMap(({ base }) => (base !== undefined && isMeasured(base) ? [base] : []));
  const low = Math.min(...drawn.map((line) => line.low), ...bases);
  const high = Math.max(...drawn.map((line) => line.high), ...bases);
  const y = yScale(
    low,
    high,
    content.include,
    content.unit === 'probability' ? 1 : Infinity,
    content.logarithmic,
    plotHeight,
  );
  const x = scaleLinear([window[0], window[1]], [0, plotWidth]);

  context.save();
  context.translate(margin.left, margin.top);
  context.font = font;
  paintAxes(
    context,
    x.ticks(Math.max(2, Math.floor(plotWidth / 80))),
    x,
    y,
    plotWidth,
    plotHeight,
    content.unit,
    palette,
  );

  context.beginPath();
  context.rect(-1, -margin.top, plotWidth + 2, plotHeight + margin.top + 1);
  context.clip();
  for (const mark of content.marks) paintMark(context, x(mark.step), plotHeight, mark.kind, palette);
  content.series.forEach((series) => {
    if (series.base === undefined || !isMeasured(series.base)) return;
    context.strokeStyle = palette[series.color];
    context.globalAlpha = 0.75;
    context.lineWidth = 1;
    context.setLineDash([4, 3]);
    context.beginPath();
    context.moveTo(0, crisp(y(series.base)));
    context.lineTo(plotWidth, crisp(y(series.base)));
    context.stroke();
    context.setLineDash([]);
    context.globalAlpha = 1;
  });
  content.series.forEach((series, index) => {
    const past = pasts[index];
    if (past) paintLine(context, past, { ...series, quiet: true }, y, palette);
  });
  content.series.forEach((series, index) => paintLine(context, lines[index]!, series, y, palette));
  paintOffScale(context, drawn, plotHeight, palette);
  context.restore();
  return {
    x: (step) => margin.left + x(step),
    y,
    stepAt: (pixel) => x.invert(pixel - margin.left),
    plotWidth,
    plotHeight,
  };
}

const crisp = (pixel: number): number => Math.round(pixel) + 0.5;

function paintAxes(
  context: CanvasRenderingContext2D,
  stepTicks: number[],
  x: (step: number) => number,
  y: YScale,
  plotWidth: number,
  plotHeight: number,
  unit: Unit,
  palette: Palette,
): void {
  context.lineWidth = 1;
  context.strokeStyle = palette.grid;
  context.fillStyle = palette.axis;
  context.textBaseline = 'middle';
  context.textAlign = 'right';
  const ticks = yTicks(y, plotHeight);
  const labels = formatTicks(ticks, unit);
  for (const [index, tick] of ticks.entries()) {
    const at = crisp(y(tick));
    context.beginPath();
    context.moveTo(0, at);
    context.lineTo(plotWidth, at);
    context.stroke();
    context.fillText(labels[index]!, -6, at);
  }
  context.textBaseline = 'top';
  context.fillText('step', -6, plotHeight + 6);
  for (const tick of stepTicks) {
    if (!Number.isInteger(tick)) continue;
    const at = x(tick);
    context.textAlign = at < 6 ? 'left' : at > plotWidth - 16 ? 'right' : 'center';
    context.fillText(formatStep(tick), at, plotHeight + 6);
  }
}

const markDash: Record<ChartMark['kind'], number[]> = { change: [], quiet: [1, 3], branch: [5, 3], stage: [] };
function paintMark(
  context: CanvasRenderingContext2D,
  at: number,
  plotHeight: number,
  kind: ChartMark['kind'],
  palette: Palette,
): void {
  const pixel = crisp(at);
  context.strokeStyle = context.fillStyle = kind === 'change' ? palette.mark : palette['mark-quiet'];
  context.lineWidth = 1;
  if (kind === 'branch' || kind === 'stage') context.strokeStyle = context.fillStyle = palette.axis;
  context.setLineDash(markDash[kind]);
  context.beginPath();
  context.moveTo(pixel, 0);
  context.lineTo(pixel, plotHeight);
  context.stroke();
  context.setLineDash([]);
  if (kind === 'branch') {
    context.beginPath();
    context.arc(pixel, 0, 3, 0, 2 * Math.PI);
    context.fill();
  }
  if (kind !== 'change') return;
  context.beginPath(); // a small bob that hangs on the line
  context.moveTo(pixel - 4, -4);
  context.lineTo(pixel + 4, -4);
  context.lineTo(pixel, 3);
  context.fill();
}

function paintLine(
  context: CanvasRenderingContext2D,
  line: DecimatedLine,
  series: ChartSeries,
  y: YScale,
  palette: Palette,
): void {
  context.strokeStyle = context.fillStyle = palette[series.color];
  context.lineWidth = series.quiet ? 1 : 1.75;
  context.globalAlpha = series.quiet ? 0.55 : 1;
  context.lineJoin = 'round';
  context.beginPath();
  for (let index = 0; index < line.x.length; index++) {
    const at = y(line.value[index]!);
    if (line.starts[index]) context.moveTo(line.x[index]!, at);
    else context.lineTo(line.x[index]!, at);
  }
  context.stroke();
  // A point with gaps on both sides has no line, so it gets a dot. Few points get dots too: they are measurements, not a curve.
  const few = line.x.length <= 25;
  for (let index = 0; index < line.x.length; index++) {
    const alone = line.starts[index] && (index + 1 === line.x.length || line.starts[index + 1]);
    if (!alone && !few) continue;
    context.beginPath();
    context.arc(line.x[index]!, y(line.value[index]!), series.quiet ? 1.5 : 2.25, 0, 2 * Math.PI);
    context.fill();
  }
  context.globalAlpha = 1;
}

/** Marks values off the scale over the whole height of the plot, with the value in words if there is room. */
function paintOffScale(
  context: CanvasRenderingContext2D,
  lines: readonly DecimatedLine[],
  plotHeight: number,
  palette: Palette,
): void {
  context.fillStyle = palette.bad;
  context.textBaseline = 'middle';
  const words: { from: number; to: number; isHigh: boolean }[] = [];
  for (const { offScale } of lines)
    for (const { x, value } of offScale) {
      context.fillRect(x - 0.75, 0, 1.5, plotHeight);
      if (offScale.length > 3) continue;
      const text = formatValue(value, '');
      const width = context.measureText(text).width;
      // Beside the mark, on the side that has room.
      const from = x - 5 > width ? x - 5 - width : x + 5;
      const isHigh = value > 0;
      if (words.some((other) => other.isHigh === isHigh && from < other.to + 4 && other.from < from + width + 4))
        continue;
      words.push({ from, to: from + width, isHigh });
      context.textAlign = 'left';
      context.fillText(text, from, isHigh ? 6 : plotHeight - 6);
    }
}

/** Paints the layer that follows the pointer: the crosshair with its step, a dot on each line, the dragged window. */
export function paintPointer(
  context: CanvasRenderingContext2D,
  geometry: PlotGeometry,
  hoverStep: number | null,
  selection: StepWindow | null,
  series: readonly ChartSeries[],
  palette: Palette,
): void {
  const bottom = margin.top + geometry.plotHeight;
  if (selection) {
    const from = geometry.x(selection[0]);
    context.fillStyle = palette.selection;
    context.fillRect(from, margin.top, geometry.x(selection[1]) - from, geometry.plotHeight);
  }
  if (hoverStep === null) return;
  const at = geometry.x(hoverStep);
  if (at < margin.left - 1 || at > margin.left + geometry.plotWidth + 1) return;
  context.strokeStyle = palette.axis;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(crisp(at), margin.top);
  context.lineTo(crisp(at), bottom);
  context.stroke();
  for (const each of series) {
    const reading = readingAt(each, hoverStep);
    if (!reading) continue;
    const { value } = reading;
    const x = geometry.x(reading.step);
    if (!isMeasured(value) || x < margin.left - 1) continue;
    context.fillStyle = palette[each.color];
    context.strokeStyle = palette.surface;
    context.lineWidth = 1.5;
    context.beginPath();
    context.arc(x, margin.top + geometry.y(value), 3.5, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
  }
  const away = (step: number): number => Math.abs(step - hoverStep);
  const measured = series
    .flatMap((each) => readingAt(each, hoverStep)?.step ?? [])
    .sort((a, b) => away(a) - away(b))
    .at(0);
  // Probes are rarer than steps, so a reading may be from another step.
  const isElsewhere = measured !== undefined && measured !== hoverStep;
  const label = isElsewhere ? `${formatStep(hoverStep)} · measured at ${formatStep(measured)}` : formatStep(hoverStep);
  context.font = font;
  const width = context.measureText(label).width + 10;
  const left = Math.min(Math.max(at - width / 2, 0), margin.left + geometry.plotWidth + margin.right - width);
  context.fillStyle = palette.ink;
  context.beginPath();
  context.roundRect(left, bottom + 3, width, 15, 4);
  context.fill();
  context.fillStyle = palette.surface;
  context.textAlign = 'center';
  context.textBaseline = 'middle';
  context.fillText(label, left + width / 2, bottom + 11);
}
