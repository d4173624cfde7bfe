import { expect, it } from 'vitest';
import type { CommandRecord } from '@plumbline/shared/command';
import { RunId } from '@plumbline/shared/run';
import { ReadAbandonedError } from '../../server/store/event-store.js';
import type { StoreUnderTest } from './store-under-test.js';
import { commandRecord, runId } from './stored-samples.js';

/** The latest record of each command. */
export function commandContract(subject: StoreUnderTest): void {
  it('keeps the latest record of each command, oldest command first', async () => {
    const record = (commandId: string, receivedMs: number, state: CommandRecord['state']): CommandRecord =>
      commandRecord(commandId, { receivedMs, state, after: state === 'applied' ? { state: 'paused' } : null });
    await subject.store.putCommand(record('command-2', 20, 'pending'));
    await subject.store.putCommand(record('command-1', 10, 'pending'));
    await subject.store.putCommand(record('command-2', 20, 'applied'));
    await subject.reopen();
    expect(await subject.store.commands(runId)).toEqual([
      record('command-1', 10, 'pending'),
      record('command-2', 20, 'applied'),
    ]);
    expect(await subject.store.command(record('command-2', 0, 'pending').commandId)).toEqual(
      record('command-2', 20, 'applied'),
    );
    expect(await subject.store.command(record('command-9', 0, 'pending').commandId)).toBeNull();
    expect(await subject.store.commands(RunId.parse('nowhere'))).toEqual([]);
    expect(await subject.store.runsWithOpenCommands()).toEqual([runId]);
    await subject.store.putCommand(record('command-1', 10, 'applied'));
    expect(await subject.store.runsWithOpenCommands()).toEqual([]);
  });

  it('reads the latest record of each command of a run in parts, in order', async () => {
    const count = 450;
    // Several to a millisecond, and not in order.
    const given = Array.from({ length: count }, (_, i) =>
      commandRecord(`command-${String(i).padStart(3, '0')}`, { receivedMs: 1000 + Math.floor(((i * 7) % count) / 3) }),
    );
    for (const record of given) await subject.store.putCommand(record);
    await subject.store.putCommand({ ...given[5]!, state: 'applied', step: 3 });
    const expected = await subject.store.commands(runId);
    expect(expected).toHaveLength(count);
    expect(expected.find(({ commandId }) => commandId === 'command-005')).toMatchObject({ state: 'applied' });
    for (let opened = 1; opened <= 2; opened++) {
      const parts: CommandRecord[][] = [];
      await subject.store.eachCommands(runId, (texts) => {
        parts.push(texts.map((text) => JSON.parse(text) as CommandRecord));
      });
      expect(parts.flat()).toEqual(expected);
      expect(Math.max(...parts.map(({ length }) => length))).toBeLessThanOrEqual(2048);
      await subject.reopen();
    }
    const left = AbortSignal.abort(new ReadAbandonedError('gone'));
    await expect(subject.store.eachCommands(runId, () => undefined, left)).rejects.toThrow(ReadAbandonedError);
    await expect(subject.store.commands(runId, left)).rejects.toThrow(ReadAbandonedError);
  });
}
