import type { CommandId, AskedAction, AskedCommand, CommandRecord } from '@plumbline/shared/command';
import type { RunId } from '@plumbline/shared/run';
import type { Result } from '@plumbline/shared/socket';

export interface CommandTransport {
  /** Sends once and waits for the hub's answer; throws when none came. */
  sendCommand(command: AskedCommand): Promise<Result<{ record: CommandRecord }>>;
  /** Resolves after a short pause while connected, else at the next connection or after `limitMs`. */
  connected(limitMs: number): Promise<void>;
}

/** A command without an answer for this long is given up here. If it arrived, the audit log shows it. */
const giveUpAfterMs = 60_000;

/**
 * Gives commands and reports the record of each at once. A command whose answer was lost is sent again under the same
 * id. The hub answers it with the first outcome, so nothing is applied twice.
 */
export class CommandDesk {
  constructor(
    private readonly transport: CommandTransport,
    private readonly report: (record: CommandRecord) => void,
    private readonly now: () => number = Date.now,
  ) {}

  give(runId: RunId, action: AskedAction): CommandId {
    const command: AskedCommand = { commandId: newCommandId(), runId, action };
    const record: CommandRecord = {
      ...command,
      author: 'dashboard',
      state: 'pending',
      receivedMs: this.now(),
      endedMs: null,
      step: null,
      before: null,
      after: null,
      reason: '',
    };
    this.report(record);
    void this.#send(command, record);
    return command.commandId;
  }

  async #send(command: AskedCommand, record: CommandRecord): Promise<void> {
    for (;;) {
      const leftMs = record.receivedMs + giveUpAfterMs - this.now();
      if (leftMs <= 0) {
        const reason = 'No answer from the hub for a minute. If the command arrived, the timeline will show it.';
        this.report({ ...record, state: 'expired', endedMs: this.now(), reason });
        return;
      }
      let answer: Result<{ record: CommandRecord }>;
      try {
        answer = await this.transport.sendCommand(command);
      } catch {
        // No answer: the connection is lost. A request from a minute ago must not take effect unexpectedly later.
        await this.transport.connected(leftMs);
        continue;
      }
      if (answer.ok) this.report(answer.record);
      else this.report({ ...record, state: 'rejected', endedMs: this.now(), reason: answer.error.message });
      return;
    }
  }
}

/** 128 random bits. Unlike randomUUID, this also works on a page served without TLS from another machine. */
function newCommandId(): CommandId {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('') as CommandId;
}
