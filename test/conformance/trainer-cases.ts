import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import type { Command } from '@plumbline/shared/command';
import { type CommandAction } from '@plumbline/shared/command';
import { isLastWord } from '@plumbline/shared/trainer-event';
import { holds, same, until, type Case } from './cases.js';
import { PlayedHub } from './played-hub.js';

/** A trainer's process with its played hub. */
export class TrainerUnderTest {
  #child: ChildProcess | undefined;
  /** The end of its output, for the message of a failed case. */
  output = '';

  private constructor(
    readonly hub: PlayedHub,
    readonly command: string,
  ) {}

  static async start(command: string): Promise<TrainerUnderTest> {
    const trainer = new TrainerUnderTest(await PlayedHub.start(), command);
    trainer.#spawn();
    return trainer;
  }

  get exitCode(): number | null {
    return this.#child?.exitCode ?? null;
  }
  get hasEnded(): boolean {
    return this.#child !== undefined && (this.#child.exitCode !== null || this.#child.signalCode !== null);
  }

  #spawn(): void {
    const env = { ...process.env, PLUMBLINE_HUB: this.hub.url, PLUMBLINE_TOKEN: this.hub.token };
    // A process group of its own, so that the shell's children end with it.
    this.#child = spawn(this.command, { shell: true, detached: true, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const read = (chunk: Buffer): void => void (this.output = (this.output + chunk.toString()).slice(-4000));
    this.#child.stdout!.on('data', read);
    this.#child.stderr!.on('data', read);
  }

  async remove(): Promise<void> {
    if (this.#child?.pid !== undefined && !this.hasEnded) process.kill(-this.#child.pid, 'SIGKILL');
    await this.hub.close();
  }

  /** Gives a command for its run. */
  give(action: CommandAction | { kind: string }): Command {
    const { runId } = this.hub.attaches.at(-1)!;
    const command = { commandId: randomUUID(), runId, action } as unknown as Command;
    this.hub.give(command);
    return command;
  }

  /** Waits for the end of a command, of which there must be only one. */
  async ended({ commandId }: Command): Promise<string> {
    const what = `the end of a command (${this.hub.acknowledged.includes(commandId) ? '' : 'not '}acknowledged)`;
    await until(what, () => this.hub.endsOf(commandId).length > 0);
    return this.hub.endsOf(commandId)[0]!.type;
  }
}

const trainerCase = (
  name: string,
  expects: string,
  play: (hub: PlayedHub, trainer: TrainerUnderTest) => Promise<void>,
): Case<TrainerUnderTest> => ({
  name,
  expects,
  async run(trainer) {
    const { hub } = trainer;
    const known = hub.faults.length;
    try {
      await play(hub, trainer);
      if (hub.faults.length > known) throw new Error(hub.faults.slice(known).join(' '));
    } catch (error) {
      const lines = trainer.output.trim().split('\n').slice(-5).join(' | ');
      throw new Error(`${(error as Error).message}${lines ? ` The trainer wrote: ${lines}` : ''}`, { cause: error });
    }
  },
});

/** The requirements of every trainer, in this order: one process goes through all of them. */
export const trainerCases: Case<TrainerUnderTest>[] = [
  trainerCase('attach and run_started', 'It attaches with a secret; its first event is run_started.', async (hub) => {
    hub.moods.attach.push({ breakLine: 'before' }, { refuse: { code: 'draining', retry: true } });
    await until('the trainer to attach, after a broken line and a draining hub', () => hub.isAttached, 120_000);
    holds(hub.attaches[0]!.secret !== undefined, 'It has no secret: anybody with the token can take over its run.');
    await until('run_started', () => hub.has('run_started'), 120_000);
  }),
  trainerCase('events', 'Steps come in order, with numbers of declared series.', async (hub) => {
    await until('a step', () => hub.has('step_completed'), 120_000);
    await hub.more(5);
  }),
  trainerCase(
    'a line that breaks before the answer',
    'Unacknowledged events are sent again, unchanged.',
    async (hub) => {
      for (const breakLine of ['before', 'after', 'after'] as const) {
        hub.moods.events.push({ breakLine });
        await until('the line to break', () => hub.moods.events.length === 0);
        await until('the trainer to come back', () => hub.isAttached);
        await hub.more(3);
      }
    },
  ),
  trainerCase('a hub that is away', 'It waits, reconnects, and nothing is missing.', async (hub) => {
    await hub.restart(1500);
    await until('the trainer to come back', () => hub.isAttached);
    await hub.more(5);
  }),
  trainerCase('gap', 'It resends from the hub’s position.', async (hub) => {
    hub.moods.events.push({ refuse: { code: 'gap', retry: true, lastSeq: hub.lastSeq } });
    await until('events', () => hub.moods.events.length === 0);
    await hub.more(5);
  }),
  trainerCase('a store that cannot write', 'It keeps its events and retries.', async (hub) => {
    const refuse = { code: 'store_failed', retry: true };
    hub.moods.events.push({ refuse }, { refuse }, { refuse: { code: 'draining', retry: true } });
    await until('events', () => hub.moods.events.length === 0);
    await hub.more(5);
  }),
  trainerCase('problems', 'It continues when the hub has omitted a value.', async (hub) => {
    hub.moods.events.push({ problem: true });
    await until('events', () => hub.moods.events.length === 0);
    await hub.more(5);
  }),
  trainerCase(
    'pause and resume',
    'Each is acknowledged, applied once and reported; no step comes in between.',
    async (hub, trainer) => {
      const pause = trainer.give({ kind: 'pause' });
      same(await trainer.ended(pause), 'command_applied', 'The end of pause');
      holds(hub.acknowledged.includes(pause.commandId), 'It did not acknowledge the command.');
      await until('run_paused', () => hub.has('run_paused'));
      const pausedAt = hub.events.find(({ type }) => type === 'run_paused')!.step;
      hub.resend(pause);
      hub.breakLine();
      await until('the trainer to come back while it is paused', () => hub.isAttached);
      hub.resend(pause);
      const resume = trainer.give({ kind: 'resume' });
      same(await trainer.ended(resume), 'command_applied', 'The end of resume');
      await until('run_resumed', () => hub.has('run_resumed'));
      same(hub.events.find(({ type }) => type === 'run_resumed')!.step, pausedAt, 'The step at which it resumed');
      await hub.more(3);
      same(hub.endsOf(pause.commandId).length, 1, 'The number of ends of one pause that came three times');
    },
  ),
  trainerCase(
    'an end that is lost',
    'A command is carried out once, even if the connection breaks at its end.',
    async (hub, trainer) => {
      const pause = trainer.give({ kind: 'pause' });
      hub.moods.events.push({ breakLine: 'before' }, { breakLine: 'after' });
      await trainer.ended(pause);
      await until('the trainer to come back', () => hub.isAttached);
      hub.moods.events.length = 0;
      await trainer.ended(trainer.give({ kind: 'resume' }));
      await hub.more(3);
      same(hub.endsOf(pause.commandId).length, 1, 'The number of ends');
    },
  ),
  trainerCase(
    'an unknown kind',
    'It acknowledges the command, reports its failure, and continues.',
    async (hub, trainer) => {
      const unknown = trainer.give({ kind: 'brew_coffee' });
      same(await trainer.ended(unknown), 'command_failed', 'The end of an unknown kind');
      await hub.more(3);
    },
  ),
  trainerCase(
    'stop',
    'The command is applied, run_stopped is the last event, and the process ends.',
    async (hub, trainer) => {
      const stop = trainer.give({ kind: 'stop' });
      same(await trainer.ended(stop), 'command_applied', 'The end of stop');
      await until('the last event', () => hub.events.some(isLastWord));
      same(hub.events.at(-1)!.type, 'run_stopped', 'The last event');
      await until('the process to end', () => trainer.hasEnded, 30_000);
      same(trainer.exitCode, 0, 'Its exit code');
    },
  ),
];

/** The requirements of a refused trainer; each case has its own process. */
export const refusedTrainerCases: Case<TrainerUnderTest>[] = [
  trainerCase('a wrong token', 'It does not hammer the hub, and ends with a message.', async (hub, trainer) => {
    hub.refusesTokens = true;
    await until('the process to end', () => trainer.hasEnded, 120_000);
    holds(trainer.exitCode !== 0, 'It ends with exit code 0.');
    holds(hub.refusedConnections <= 3, `It asked ${hub.refusedConnections} times.`);
  }),
  trainerCase("a run of another trainer's", 'It ends when its run is forbidden.', async (hub, trainer) => {
    hub.moods.attach.push(...Array.from({ length: 20 }, () => ({ refuse: { code: 'forbidden', retry: false } })));
    await until('the process to end', () => trainer.hasEnded, 120_000);
    holds(trainer.exitCode !== 0, 'It ends with exit code 0.');
    holds(hub.moods.attach.length >= 17, `It asked ${20 - hub.moods.attach.length} times.`);
  }),
];
