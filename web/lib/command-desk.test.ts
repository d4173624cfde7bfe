import { describe, expect, it } from 'vitest';
import type { Command, CommandRecord } from '@plumbline/shared/command';
import { RunId } from '@plumbline/shared/run';
import type { Result } from '@plumbline/shared/socket';
import { CommandDesk } from './command-desk';

const runId = RunId.parse('run-1');
type Answer = Result<{ record: CommandRecord }> | 'lost';

function desk(answers: Answer[]): {
  sent: Command[];
  records: CommandRecord[];
  give: () => Promise<void>;
} {
  const sent: Command[] = [];
  const records: CommandRecord[] = [];
  let nowMs = 0;
  const transport = {
    async sendCommand(command: Command): Promise<Result<{ record: CommandRecord }>> {
      sent.push(command);
      const answer = answers.shift() ?? 'lost';
      if (answer === 'lost') throw new Error('connection lost');
      return answer;
    },
    async connected(): Promise<void> {
      nowMs += 20_000;
    },
  };
  const made = new CommandDesk(
    transport,
    (record) => records.push(record),
    () => nowMs,
  );
  return {
    sent,
    records,
    give: async () => {
      made.give(runId, { kind: 'pause' });
      await new Promise((resolve) => setTimeout(resolve, 0));
    },
  };
}
const accepted = { state: 'applied', step: 7 } as CommandRecord;

describe('CommandDesk', () => {
  it('shows a command as pending before the hub has answered, then as the hub says', async () => {
    const { records, give } = desk([{ ok: true, record: accepted }]);
    await give();
    expect(records.map((record) => record.state)).toEqual(['pending', 'applied']);
  });

  it('sends a command again under the same id if its answer was lost', async () => {
    const { sent, records, give } = desk(['lost', { ok: true, record: accepted }]);
    await give();
    expect(sent.length).toBe(2);
    expect(sent[0]!.commandId).toBe(sent[1]!.commandId);
    expect(records.at(-1)?.state).toBe('applied');
  });

  it('shows the reason of a refusal', async () => {
    const { records, give } = desk([{ ok: false, error: { code: 'forbidden', message: 'Read only.' } }]);
    await give();
    expect(records.at(-1)).toMatchObject({ state: 'rejected', reason: 'Read only.' });
  });

  it('does not send a command given more than a minute ago', async () => {
    const { sent, records, give } = desk(['lost', 'lost', 'lost', { ok: true, record: accepted }]);
    await give();
    expect(sent.length).toBe(3);
    expect(records.at(-1)?.state).toBe('expired');
  });
});
