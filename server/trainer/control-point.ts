import { CommandAction, type Command } from '@plumbline/shared/command';
import type { UnnumberedEvent } from '@plumbline/shared/trainer-event';

/** What a command changed, before and after, in words and numbers a person can read. */
export type Change = Record<string, string | number | boolean | null>;
export interface Applied {
  before: Change;
  after: Change;
}

/** A command that cannot be carried out; nothing was changed. */
export class CommandError extends Error {
  override name = 'CommandError';
}

/** What commands act on. Each method is all or nothing: it throws CommandError, or has done the whole. */
export interface Steered {
  readonly step: number;
  /** A command has made this run end here and go on as another. */
  readonly leaving: boolean;
  apply(action: Exclude<CommandAction, { kind: 'pause' | 'resume' | 'step_once' | 'stop' }>): Promise<Applied>;
}

const known: ReadonlySet<string> = new Set(CommandAction.options.map(({ shape }) => shape.kind.value));

/** How training goes on after a control point. */
export type Decision = 'train' | 'stop';

/**
 * Where commands meet training: between two optimizer steps, and for as long as training is paused. Commands are taken
 * in arrival order; each ends exactly once, as `command_applied` or `command_failed`, however often it arrives.
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

  /** Why `serve` decided to stop. */
  get stopReason(): string {
    return this.#stopReason ?? '';
  }

  /** Queues a command; one that was queued before is ignored. */
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

  /** Pauses from within training, with the reason that people are shown. */
  pause(reason: string, step: number): void {
    this.#paused = true;
    this.emit({ type: 'run_paused', step, wallTimeMs: this.nowMs(), reason });
  }

  /** Carries out what has arrived, waits while paused, and says whether to train one more step. */
  async serve(target: Steered): Promise<Decision> {
    if (this.#stepsWanted > 0 && --this.#stepsWanted === 0) this.pause('stepped once', target.step);
    for (;;) {
      // Sockets are read here, so that a command sent during the step is seen now: one turn of the event loop for what
      // has arrived, one for what that set free to go.
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

  /** Commands that came too late fail. */
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
      // A hub of another version may know kinds that this trainer does not.
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
