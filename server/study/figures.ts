import { scaleLinear, scalePoint } from 'd3-scale';
import { line } from 'd3-shape';

/*
 * The report's figures as SVG texts that stand alone and follow the reader's light or dark setting. Pure: no DOM.
 */

const colours = [
  '#2f6fdd',
  '#d9722e',
  '#2f9e6e',
  '#8a5bd6',
  '#c2415b',
  '#8a8f98',
  '#b58900',
  '#2aa1b3',
  '#6b4f3a',
  '#7fae3b',
  '#d36ba6',
  '#4c5fa8',
  '#a0a63a',
  '#5b7f77',
];
const size = { width: 680, height: 320, left: 64, right: 170, top: 20, bottom: 52 };
const style = `<style>
  .figure { font: 12px system-ui, sans-serif; fill: #3b4048; }
  .figure .axis, .figure .zero { stroke: #c6cad1; fill: none; } .figure .zero { stroke-dasharray: 3 3; }
  .figure .title { font-weight: 600; }
  @media (prefers-color-scheme: dark) { .figure { fill: #c9ced6; } .figure .axis, .figure .zero { stroke: #4a505a; } }
</style>`;

export interface Interval {
  estimate: number;
  low: number;
  high: number;
}
const isInterval = (value: Interval | null): value is Interval => value !== null;
const escape = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
const colour = (index: number): string => colours[index % colours.length]!;

function svg(title: string, body: string, height = size.height): string {
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" class="figure" viewBox="0 0 ${size.width} ${height}" role="img" ` +
    `aria-label="${escape(title)}">${style}${body}</svg>\n`
  );
}

const legend = (names: readonly string[]): string =>
  names
    .map((name, index) => {
      const [x, y] = [size.width - size.right + 16, size.top + 12 + index * 18];
      return `<circle cx="${x}" cy="${y - 4}" r="4" fill="${colour(index)}"/><text x="${x + 10}" y="${y}">${escape(name)}</text>`;
    })
    .join('');

/** A linear scale over all values, with round ends; always with 0 in it. */
function scaleOver(values: readonly number[], range: [number, number]): ReturnType<typeof scaleLinear<number, number>> {
  const finite = values.filter(Number.isFinite);
  return scaleLinear([Math.min(0, ...finite), Math.max(0, ...finite)], range).nice();
}

function yAxis(scale: ReturnType<typeof scaleOver>, label: string): string {
  const right = size.width - size.right;
  const ticks = scale
    .ticks(6)
    .map(
      (tick) =>
        `<line class="${tick === 0 ? 'zero' : 'axis'}" x1="${size.left}" x2="${right}" y1="${scale(tick)}" y2="${scale(tick)}" opacity="${tick === 0 ? 1 : 0.4}"/>` +
        `<text x="${size.left - 8}" y="${scale(tick) + 4}" text-anchor="end">${scale.tickFormat(6)(tick)}</text>`,
    );
  const middle = (size.top + size.height - size.bottom) / 2;
  return `${ticks.join('')}<text transform="translate(14 ${middle}) rotate(-90)" text-anchor="middle">${escape(label)}</text>`;
}

/** One line a variant over the stages of the sequence, with its interval as a bar at each. */
export function stageFigure(
  title: string,
  stages: readonly string[],
  variants: readonly { name: string; values: readonly (Interval | null)[] }[],
): string {
  const x = scalePoint([...stages], [size.left + 16, size.width - size.right - 16]);
  const all = variants.flatMap(({ values }) => values.filter(isInterval).flatMap(({ low, high }) => [low, high]));
  const y = scaleOver(all, [size.height - size.bottom, size.top]);
  const labels = stages.map(
    (stage) =>
      `<text x="${x(stage)}" y="${size.height - size.bottom + 20}" text-anchor="middle">${escape(stage)}</text>`,
  );
  const lines = variants.map(({ values }, index) => {
    // Side by side, so that bars do not hide one another, but within the margins; all begin at one point.
    const apart = Math.min(4, 32 / variants.length);
    const at = (stage: number): number =>
      x(stages[stage]!)! + (stage === 0 ? 0 : (index - (variants.length - 1) / 2) * apart);
    const known = values.flatMap((value, stage) => (value ? [[at(stage), value] as const] : []));
    const path = line<(typeof known)[number]>()
      .x(([px]) => px)
      .y(([, value]) => y(value.estimate))(known);
    const bars = known.map(
      ([px, { estimate, low, high }]) =>
        `<line x1="${px}" x2="${px}" y1="${y(low)}" y2="${y(high)}" stroke="${colour(index)}" opacity="0.55"/>` +
        `<circle cx="${px}" cy="${y(estimate)}" r="3" fill="${colour(index)}"/>`,
    );
    return `<path d="${path ?? ''}" fill="none" stroke="${colour(index)}" stroke-width="1.6"/>${bars.join('')}`;
  });
  return svg(title, yAxis(y, title) + labels.join('') + lines.join('') + legend(variants.map(({ name }) => name)));
}

type Scale = ReturnType<typeof scaleOver>;

/** Two measures against each other: `draw` places what `xs` and `ys` reach over. */
function plane(
  [xLabel, yLabel]: readonly [string, string],
  { xs, ys }: { xs: readonly number[]; ys: readonly number[] },
  names: readonly string[],
  draw: (x: Scale, y: Scale) => string[],
): string {
  const x = scaleOver(xs, [size.left + 8, size.width - size.right]);
  const y = scaleOver(ys, [size.height - size.bottom, size.top]);
  const ticks = x
    .ticks(6)
    .map((tick) => `<text x="${x(tick)}" y="${size.height - size.bottom + 20}" text-anchor="middle">${tick}</text>`);
  const middle = (size.left + size.width - size.right) / 2;
  const label = `<text x="${middle}" y="${size.height - 10}" text-anchor="middle">${escape(xLabel)}</text>`;
  return svg(
    `${yLabel} against ${xLabel}`,
    yAxis(y, yLabel) + ticks.join('') + label + draw(x, y).join('') + legend(names),
  );
}

/** One cross a variant: what it learnt against what it forgot, each with its interval. */
export function tradeOffFigure(
  labels: readonly [x: string, y: string],
  variants: readonly { name: string; x: Interval | null; y: Interval | null }[],
): string {
  const known = variants.flatMap(({ x, y }, index) => (x && y ? [{ x, y, index }] : []));
  const reach = {
    xs: known.flatMap(({ x }) => [x.low, x.high]),
    ys: known.flatMap(({ y }) => [y.low, y.high]),
  };
  const names = variants.map(({ name }) => name);
  return plane(labels, reach, names, (xScale, yScale) =>
    known.map(({ x, y, index }) => {
      const stroke = `stroke="${colour(index)}" stroke-width="1.4"`;
      const [px, py] = [xScale(x.estimate), yScale(y.estimate)];
      return (
        `<line x1="${xScale(x.low)}" x2="${xScale(x.high)}" y1="${py}" y2="${py}" ${stroke}/>` +
        `<line x1="${px}" x2="${px}" y1="${yScale(y.low)}" y2="${yScale(y.high)}" ${stroke}/>` +
        `<circle cx="${px}" cy="${py}" r="4.5" fill="${colour(index)}"/>`
      );
    }),
  );
}

/** One dot a probe. */
export function scatterFigure(
  labels: readonly [x: string, y: string],
  variants: readonly { name: string; points: readonly (readonly [number, number])[] }[],
): string {
  const points = variants.flatMap((variant) => variant.points);
  const reach = { xs: points.map(([x]) => x), ys: points.map(([, y]) => y) };
  const names = variants.map(({ name }) => name);
  return plane(labels, reach, names, (xScale, yScale) =>
    variants.flatMap(({ points: of }, index) =>
      of.map(
        ([x, y]) => `<circle cx="${xScale(x)}" cy="${yScale(y)}" r="2.6" fill="${colour(index)}" fill-opacity="0.65"/>`,
      ),
    ),
  );
}

/** A pair of bars a layer: how much its attention and its MLP push something. */
export function layerFigure(
  title: string,
  layers: readonly { layer: string; values: readonly number[] }[],
  names: readonly string[],
): string {
  const x = scalePoint(
    layers.map(({ layer }) => layer),
    [size.left + 40, size.width - size.right - 40],
  );
  const y = scaleOver(
    layers.flatMap(({ values }) => values),
    [size.height - size.bottom, size.top],
  );
  const bars = layers.flatMap(({ layer, values }) => [
    ...values.map((value, index) => {
      const left = x(layer)! + (index - values.length / 2) * 18;
      const [top, bottom] = [Math.min(y(value), y(0)), Math.max(y(value), y(0))];
      return `<rect x="${left}" y="${top}" width="16" height="${bottom - top}" fill="${colour(index)}"/>`;
    }),
    `<text x="${x(layer)}" y="${size.height - size.bottom + 20}" text-anchor="middle">${escape(layer)}</text>`,
  ]);
  return svg(title, yAxis(y, title) + bars.join('') + legend(names));
}
