import { CommandId, type AskedAction, type AskedCommand, type CommandRecord } from '@plumbline/shared/command';
import type { RunId } from '@plumbline/shared/run';
import type { Result } from '@plumbline/shared/socket';

export interface CommandTransport {
  /** Sends once and waits for the hub's answer; throws when none came. */
  sendCommand(command: AskedCommand): Promise<Result<{ record: CommandRecord }>>;
  /** Resolves a little later while connected, else at the next connection or after `limitMs`. */
  connected(limitMs: number): Promise<void>;
}

/** A command without an answer for this long is given up here; had it arrived, the audit log will tell. */
const giveUpAfterMs = 60_000;

/**
 * Gives commands and reports each one's record from the first moment on. A command whose answer was lost is sent again
 * under its own id, which the hub answers with the first outcome: nothing is done twice.
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
        const reason = 'No answer from the hub for a minute. If it did arrive, the timeline will show it.';
        this.report({ ...record, state: 'expired', endedMs: this.now(), reason });
        return;
      }
      let answer: Result<{ record: CommandRecord }>;
      try {
        answer = await this.transport.sendCommand(command);
      } catch {
        // No answer: the connection is lost. What a person asked for a minute ago must not happen out of the blue later.
        await this.transport.connected(leftMs);
        continue;
      }
      if (answer.ok) this.report(answer.record);
      else this.report({ ...record, state: 'rejected', endedMs: this.now(), reason: answer.error.message });
      return;
    }
  }
}

/** 128 random bits; unlike randomUUID this works on a page that came without TLS from another machine. */
function newCommandId(): CommandId {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return CommandId.parse(Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(''));
}
