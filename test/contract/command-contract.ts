import { expect, it } from 'vitest';
import type { CommandRecord } from '@plumbline/shared/command';
import { RunId } from '@plumbline/shared/run';
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
}
