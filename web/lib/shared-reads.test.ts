import { describe, expect, it, vi } from 'vitest';
import type { CommandRecord } from '@plumbline/shared/command';
import type { ControlEventsResponse } from '@plumbline/shared/http';
import { RunId, type RunSummary } from '@plumbline/shared/run';
import { readTakenOver } from './run-past';
import { sharedReads } from './shared-reads';

const run = (id: string, parent: string | null): RunSummary =>
  ({
    runId: RunId.parse(id),
    parent: parent === null ? null : { runId: RunId.parse(parent), checkpointId: 'step-1', step: 1 },
  }) as RunSummary;

describe('sharedReads', () => {
  it('asks for an ancestor once, however many branches go back to it', async () => {
    const events = vi.fn((runId: RunId) =>
      Promise.resolve({ runId, lastSeq: 0, events: [] } satisfies ControlEventsResponse),
    );
    const commands = vi.fn((_: RunId) => Promise.resolve<CommandRecord[]>([]));
    const hub = sharedReads({ events, commands });
    const [root, first, second, grandchild] = [
      run('root', null),
      run('first', 'root'),
      run('second', 'root'),
      run('grandchild', 'first'),
    ];
    await Promise.all([readTakenOver(first, [root], hub), readTakenOver(second, [root], hub)]);
    await readTakenOver(grandchild, [first, root], hub);
    expect(events.mock.calls).toEqual([['root'], ['first']]);
    expect(commands.mock.calls).toEqual([['root'], ['first']]);
  });

  it('asks again after a read that failed', async () => {
    const commands = vi.fn<(runId: RunId) => Promise<CommandRecord[]>>().mockRejectedValueOnce(new Error('away'));
    commands.mockResolvedValue([]);
    const hub = sharedReads({ events: vi.fn(), commands });
    await expect(hub.commands(RunId.parse('root'))).rejects.toThrow('away');
    expect(await hub.commands(RunId.parse('root'))).toEqual([]);
  });
});
