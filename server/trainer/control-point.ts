import { CommandAction, type Command } from '@plumbline/shared/command';
import type { UnnumberedEvent } from '@plumbline/shared/trainer-event';

/** A command's change, before or after, in words and numbers for people. */
export type Change = Record<string, string | number | boolean | null>;
export interface Applied {
  before: Change;
  after: Change;
}

/** A command that cannot be carried out. It changed nothing. */
export class CommandError extends Error {
  override name = 'CommandError';
}

/** The target of commands. Each method is all or nothing: it throws CommandError, or does the whole. */
export interface Steered {
  readonly step: number;
  /** Whether a command has ended this run to continue it as another. */
  readonly leaving: boolean;
  apply(action: Exclude<CommandAction, { kind: 'pause' | 'resume' | 'step_once' | 'stop' }>): Promise<Applied>;
}

const known: ReadonlySet<string> = new Set(CommandAction.options.map(({ shape }) => shape.kind.value));

/** The decision of a control point: to train one more step or to stop. */
export type Decision = 'train' | 'stop';

/**
 * The point between two optimizer steps, and the whole of a pause, at which commands take effect. Commands run in
 * arrival order. Each ends exactly once, as `command_applied` or `command_failed`, however often it arrives.
 */
export class ControlPoint {
  readonly #queue: Command[] = [];
  readonly #seen = new Set<string>();
  #paused = false;
  #stepsWanted = 0;
  #stopReason: string | undefined;
  #wake: () => void = () => undefined;

  constructor(
    private readonly emit: (event: UnnumberedEvent) => void,
    private readonly nowMs: () => number = Date.now,
  ) {}

  /** The reason why `serve` decided to stop. */
  get stopReason(): string {
    return this.#stopReason ?? '';
  }

  /** Queues a command. Ignores one that was queued before. */
  take(command: Command): void {
    if (this.#seen.has(command.commandId)) return;
    this.#seen.add(command.commandId);
    this.#queue.push(command);
    this.#wake();
  }

  /** Ends training at the next control point. */
  requestStop(reason: string): void {
    this.#stopReason ??= reason;
    this.#wake();
  }

  /** Pauses from within training; people see the reason. */
  pause(reason: string, step: number): void {
    this.#paused = true;
    this.emit({ type: 'run_paused', step, wallTimeMs: this.nowMs(), reason });
  }

  /** Carries out the commands that have arrived, waits while paused, and returns whether to train one more step. */
  async serve(target: Steered): Promise<Decision> {
    if (this.#stepsWanted > 0 && --this.#stepsWanted === 0) this.pause('stepped once', target.step);
    for (;;) {
      // Lets the event loop read the sockets, so that a command sent during the step is seen now: one turn for messages
      // that have arrived, one for the replies that they release.
      for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
      for (let command = this.#queue.shift(); command; command = this.#queue.shift()) {
        await this.#carryOut(command, target);
        if (this.#stopReason !== undefined || target.leaving) break;
      }
      if (this.#stopReason !== undefined || target.leaving) return this.#end(target);
      if (!this.#paused || this.#stepsWanted > 0) return 'train';
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        if (this.#queue.length > 0 || this.#stopReason !== undefined) resolve();
      });
    }
  }

  /** Fails commands that came too late. */
  #end(target: Steered): Decision {
    for (const command of this.#queue.splice(0)) this.#failed(command, target, 'The run ended before it took effect.');
    return 'stop';
  }

  async #carryOut(command: Command, target: Steered): Promise<void> {
    const { action } = command;
    const base = (): { step: number; wallTimeMs: number } => ({ step: target.step, wallTimeMs: this.nowMs() });
    const applied = (change: Applied): void =>
      this.emit({ ...base(), type: 'command_applied', commandId: command.commandId, ...change });
    try {
      // A hub of another version may know kinds of commands that this trainer does not.
      if (!known.has(action.kind))
        throw new CommandError(`This trainer does not know the command ${String(action.kind).slice(0, 80)}.`);
      switch (action.kind) {
        case 'pause':
          if (this.#paused) throw new CommandError('The run is paused already.');
          applied({ before: { paused: false }, after: { paused: true } });
          this.pause('', target.step);
          break;
        case 'resume':
          if (!this.#paused) throw new CommandError('The run is not paused.');
          this.#paused = false;
          this.#stepsWanted = 0;
          applied({ before: { paused: true }, after: { paused: false } });
          this.emit({ ...base(), type: 'run_resumed' });
          break;
        case 'step_once':
          if (!this.#paused) throw new CommandError('Pause the run first; one step is taken from a pause.');
          this.#stepsWanted++;
          applied({ before: { step: target.step }, after: { step: target.step + this.#stepsWanted } });
          break;
        case 'stop':
          this.#stopReason = 'stopped by a command';
          applied({ before: { stopped: false }, after: { stopped: true } });
          break;
        default:
          applied(await target.apply(action));
      }
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      this.#failed(command, target, error.message);
    }
  }

  #failed({ commandId }: Command, target: Steered, reason: string): void {
    this.emit({ type: 'command_failed', commandId, step: target.step, wallTimeMs: this.nowMs(), reason });
  }
}
