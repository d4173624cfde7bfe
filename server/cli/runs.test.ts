import { Command } from 'commander';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { aRunId, attachment, eventually, started, stepped, TestHub } from '../../test/support/test-hub.js';
import { addRunsCommand } from './runs.js';
import { addShowCommand } from './show.js';

let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.start();
});
afterAll(() => hub.remove());

/** The lines that a command prints. */
async function said(...args: string[]): Promise<string[]> {
  const program = new Command().exitOverride();
  const lines: string[] = [];
  addRunsCommand(program, (line) => lines.push(line));
  addShowCommand(program, (line) => lines.push(line));
  await program.parseAsync([...args, '--hub', hub.url], { from: 'user' });
  return lines;
}

it("lists and shows the last values of any trainer's series, those with a better direction first", async () => {
  const runId = aRunId();
  const trainer = hub.trainer();
  expect(await trainer.emitWithAck('attach', attachment(runId, { name: 'foreign' }))).toMatchObject({ ok: true });
  const names = ['lr-AdamW/pg1', 'loss', 'val/AR@100', 'grad_norm', 'epoch'];
  const series = names.map((name, number) => ({
    ...{ number, name },
    ...(name === 'loss' && { better: 'lower' as const, unit: 'nats' }),
    ...(name === 'val/AR@100' && { better: 'higher' as const, label: 'recall' }),
  }));
  const values = { 'lr-AdamW/pg1': 0.001, loss: 2.5, 'val/AR@100': 'NaN', grad_norm: 1, epoch: 0.25 } as const;
  const answer = await trainer.emitWithAck('events', { events: [{ ...started(), series }, stepped(2, values, names)] });
  expect(answer).toMatchObject({ ok: true });
  const [heads, row] = await eventually(async () => {
    const lines = await said('runs');
    return lines[1]?.includes('loss') ? lines : null;
  });
  expect(heads).toMatch(/^RUN +STATE +STEP +LAST VALUES +NAME$/);
  expect(row).toMatch(new RegExp(`^${runId} +running +2 +loss 2\\.5 nats {2}recall NaN +foreign$`));
  expect(await said('show', runId)).toContainEqual(
    expect.stringMatching(/^last values +loss 2\.5 nats {2}recall NaN {2}lr-AdamW\/pg1 0\.001 {2}grad_norm 1$/),
  );
});
