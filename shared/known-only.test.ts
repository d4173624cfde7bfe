import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { StartRunRequest } from './built-in/start-run.js';
import { GiveCommandRequest } from './http.js';
import { knownOnly } from './known-only.js';

const faults = (schema: z.ZodType, given: unknown): string[] =>
  schema.safeParse(given).error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? [];

describe('a request to start a run', () => {
  const rule = {
    name: 'Bias',
    metric: 'train/loss',
    condition: { kind: 'threshold', side: 'above', value: 1 },
    actions: [{ kind: 'pause' }],
  };

  it('is refused for an unknown setting at any depth, with the nearest name', () => {
    expect(faults(StartRunRequest, { config: { name: 'x', learningrate: 0.1 } })).toEqual([
      'config: there is no "learningrate" here; did you mean "learningRate"?',
    ]);
    expect(faults(StartRunRequest, { config: { name: 'x' }, form: {} })).toEqual([
      ': there is no "form" here; did you mean "from"?',
    ]);
    expect(faults(StartRunRequest, { config: { name: 'x', method: { kind: 'lora', rnk: 4 } } })).toEqual([
      'config.method: there is no "rnk" here; did you mean "rank"?',
    ]);
    // Of another kind of condition.
    const condition = { ...rule.condition, window: 5 };
    expect(
      faults(StartRunRequest, { config: { name: 'x', rules: [rule, { ...rule, name: 'b', condition }] } }),
    ).toEqual(['config.rules.1.condition: there is no "window" here']);
  });

  it('reports a misspelt name before the missing one', () => {
    const { metric, ...rest } = rule;
    expect(faults(StartRunRequest, { config: { name: 'x', rules: [{ ...rest, metrik: metric }] } })[0]).toBe(
      'config.rules.0: there is no "metrik" here; did you mean "metric"?',
    );
  });

  it('is read as before where it knows all names', () => {
    const from = { runId: 'run-1', checkpointId: 'step-1', goesOn: true };
    const request = { config: { name: 'x', method: { kind: 'lora', rank: 4 }, rules: [rule] }, from };
    expect(StartRunRequest.parse(request)).toMatchObject({ ...request, config: { steps: 400, method: { alpha: 16 } } });
  });
});

it('a command is refused for what it does not take', () => {
  const command = { commandId: 'command-1', action: { kind: 'pause', untilStep: 40 } };
  expect(faults(GiveCommandRequest, command)).toEqual(['action: there is no "untilStep" here']);
});

it('names as JSON parses them are names like others', () => {
  const schema = knownOnly(z.object({ a: z.number() }));
  for (const name of ['__proto__', 'constructor', 'toString'])
    expect(faults(schema, JSON.parse(`{"a": 1, "${name}": 2}`))).toEqual([`: there is no "${name}" here`]);
  expect(faults(schema, { a: 1, ['b'.repeat(1000)]: 1 })[0]).toHaveLength(2 + 60 + '…there is no "" here'.length);
});
