'use client';
import { isMeasured } from '@plumbline/shared/metric';
import { useEffect, useRef } from 'react';
import type { Columns } from './columns';
import { decimate } from './decimate';
import { requestPaint, cancelPaint } from './frame';
import { prepareCanvas } from './paint';
import { currentPalette, onThemeChange, type ChartColor } from './palette';
import './charts.css';

/** A series as a word-sized line without axes. `base` is a faint reference line. Values off the scale are marked. */
export function Sparkline({
  columns,
  color,
  low,
  high,
  base,
}: {
  columns: Columns;
  color: ChartColor;
  low?: number;
  high?: number;
  base?: number | undefined;
}): React.ReactNode {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const paint = (): void => {
      const target = canvas.current;
      if (!target || columns.length === 0) return;
      const [width, height] = [target.clientWidth, target.clientHeight];
      const context = prepareCanvas(target, width, height);
      const palette = currentPalette();
      const first = columns.steps[0]!;
      const line = decimate(columns, first, Math.max(first + 1, columns.steps[columns.length - 1]!), width - 4);
      context.fillStyle = palette.bad;
      for (const { x } of line.offScale) context.fillRect(x + 1.25, 0, 1.5, height);
      if (line.x.length === 0) return;
      const shown = base !== undefined && isMeasured(base) ? base : undefined;
      const bottom = Math.min(low ?? Infinity, line.low, shown ?? Infinity);
      const top = Math.max(high ?? -Infinity, line.high, shown ?? -Infinity);
      const y = (value: number): number => height - 3 - ((value - bottom) / (top - bottom || 1)) * (height - 6);
      if (shown !== undefined) {
        context.fillStyle = palette.grid;
        context.fillRect(0, Math.round(y(shown)), width, 1);
      }
      context.strokeStyle = context.fillStyle = palette[color];
      context.lineWidth = 1.5;
      context.lineJoin = 'round';
      context.beginPath();
      line.x.forEach((x, index) => {
        const at = y(line.value[index]!);
        if (line.starts[index]) context.moveTo(x + 2, at);
        else context.lineTo(x + 2, at);
      });
      context.stroke();
      context.beginPath();
      context.arc(line.x.at(-1)! + 2, y(line.value.at(-1)!), 2, 0, 2 * Math.PI);
      context.fill();
    };
    requestPaint(paint);
    const stop = onThemeChange(() => requestPaint(paint));
    return () => {
      stop();
      cancelPaint(paint);
    };
  }, [columns, color, low, high, base]);
  return <canvas ref={canvas} className="sparkline" aria-hidden />;
}
