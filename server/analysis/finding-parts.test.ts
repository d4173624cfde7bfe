import { expect, it } from 'vitest';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { weightDrift } from '@plumbline/shared/metric';
import type { SeriesDeclaration } from '@plumbline/shared/series';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { MetricSeries } from './finding.js';
import { findingParts, findings } from './findings.js';

const many = 50_000;
const nameOf = (i: number): string => weightDrift(`group.${i}`);
const run = { description: describeRun(RunConfig.parse({ name: 'x' })), state: 'finished', parent: null } as const;
const started: ControlEvent = {
  ...{ type: 'run_started', seq: 1, step: 0, wallTimeMs: 0 },
  trainer: { backend: 'wasm', device: 'cpu', host: 'h', processId: 1, version: '1' },
  model: { name: 'm', groups: [], parameters: [], recipes: [] },
  baseline: Object.fromEntries(Array.from({ length: many }, (_, i) => [nameOf(i), 0])),
  ...{ selection: { kind: 'recipe', recipe: 'full' }, trainable: [] },
};

it('findings of 50,000 series come in parts of at most 1,000 series', () => {
  let [touched, most] = [0, 0];
  const measured = (value: number): MetricSeries => ({
    steps: [0, 10],
    get values() {
      touched++;
      return [0, value];
    },
  });
  const series = new Map(Array.from({ length: many }, (_, i) => [nameOf(i), measured(i % 1000 === 0 ? i + 1 : 0)]));
  const declared = new Map(
    Array.from({ length: many }, (_, number): [string, SeriesDeclaration] => [
      nameOf(number),
      { number, name: nameOf(number), better: 'lower', noiseFloor: 0.5 },
    ]),
  );
  const found = [];
  for (const part of findingParts(series, [started], 100, run, [], undefined, declared)) {
    found.push(...part);
    most = Math.max(most, touched);
    touched = 0;
  }
  expect(most).toBeGreaterThan(0);
  expect(most).toBeLessThanOrEqual(1000);
  expect(found.map(({ kind }) => kind)).toEqual([
    ...Array<string>(50).fill('series_drift'),
    ...['no_harm', 'weight_drift'],
  ]);
  expect(found.at(-1)!.text).toBe(
    'Weights moved most in group.49000 (4900100.0 %), group.48000 (4800100.0 %), group.47000 (4700100.0 %).',
  );
  expect(findings(series, [started], 100, run, [], undefined, declared)).toEqual(found);
});
