import { isDeepStrictEqual } from 'node:util';
import { trainerTakes } from '@plumbline/shared/taken-commands';
import type { GivenCommand } from '@plumbline/shared/command';
import { measuredWords } from '@plumbline/shared/metric';
import type { GuardRule, RestoreBestCheckpoint } from '@plumbline/shared/rule';
import { RunParent, type RunId, type RunSummary, hasNoTrainerYet } from '@plumbline/shared/run';
import { declaredIn } from '@plumbline/shared/series-facts';
import { changeableKeys, type RunDescription } from '@plumbline/shared/run-description';
import type { EventStore } from '../store/event-store.js';
import { bestCheckpoint, MeasuredBefore } from './best-checkpoint.js';
import { controlEventsOf, storedCheckpoints } from './control-events.js';
import { Refusal } from './refusal.js';
import { newRunId } from './run-id.js';
import { eachPart } from './series-parts.js';
import { refusedTarget, type WebhookOptions } from './webhook.js';

/** A completed command, and the reason if it is rejected. */
export interface Admitted {
  command: GivenCommand;
  rejection: string | null;
}

/**
 * Decides at the hub, before the trainer sees it, whether a command can be carried out, and completes it. It does not check
 * the run's state.
 */
export class Admission {
  constructor(
    readonly store: EventStore,
    readonly webhooks: WebhookOptions,
    readonly stopOverdueMs: number,
  ) {}

  /** @throws Refusal `invalid` that names the rule whose notification this hub would not send, with the remedy */
  refuseRules({ rules }: Pick<RunDescription, 'rules'>): void {
    const refusal = this.refusalOf(rules);
    if (refusal !== null) throw new Refusal('invalid', refusal);
  }

  /** Why this hub cannot carry out one of these rules, or null. */
  refusalOf(rules: readonly GuardRule[]): string | null {
    for (const { name, actions } of rules)
      for (const action of actions) {
        const refusal = action.kind === 'notify' ? refusedTarget(action.url, this.webhooks) : null;
        if (refusal !== null) return `The rule "${name}" cannot notify. ${refusal}`;
      }
    return null;
  }

  /**
   * @throws Refusal `conflict` if the id belongs to a run with another description, with the differences. Later changes of
   *   the description are valid too.
   */
  async refuseOtherRun(
    known: RunSummary,
    { description, parent }: Pick<RunSummary, 'description' | 'parent'>,
  ): Promise<void> {
    const there = comparable(known);
    const here = comparable({ description, parent });
    const changed = new Set<string>(changeableKeys);
    if (differences(there, here).some(({ key }) => changed.has(key))) {
      const { events } = await controlEventsOf(this.store, known.runId, { types: ['run_described'] });
      for (const event of events)
        if (event.type === 'run_described')
          for (const key of Object.keys(event)) if (changed.has(key)) there[key] = here[key];
    }
    const found = differences(there, here);
    if (found.length === 0) return;
    const words = found.map(({ key, a, b }) => `${key} ${shortened(a)}, not ${shortened(b)}`);
    throw new Refusal(
      'conflict',
      `There is another run ${known.runId} already, with ${words.join('; ')}. Give this one an id of its own.`,
    );
  }

  /** Decides outside the run's mailbox, because it reads from the store. */
  async admit(command: GivenCommand, author: string, run: RunSummary): Promise<Admitted> {
    const { action } = command;
    switch (action.kind) {
      case 'notify':
        return { command, rejection: refusedTarget(action.url, this.webhooks) };
      case 'set_rules':
        return { command, rejection: this.refusalOf(action.rules) };
      case 'end_run':
        // There is no other way to end a run whose trainer takes no stop or never came.
        if (!trainerTakes(run, 'stop') || hasNoTrainerYet(run)) return { command, rejection: null };
        return { command, rejection: await this.#stopNotOverdue(run.runId) };
      case 'restore_best_checkpoint':
        return this.#restoreBest(command, action, author, run);
      case 'restore_checkpoint': {
        const isThere = (await storedCheckpoints(this.store, run.runId)).some(
          (one) => one.checkpointId === action.checkpointId,
        );
        if (!isThere) return { command, rejection: noCheckpoint(run.runId, action.checkpointId) };
        if (action.branchRunId !== undefined && (await this.store.run(action.branchRunId)))
          return {
            command,
            rejection: `There is a run ${action.branchRunId} already: choose another id for the branch.`,
          };
        // The branch gets its run id here, so that the command and the branch refer to each other.
        const branchRunId = action.branchRunId ?? newRunId(run.description);
        return { command: { ...command, action: { ...action, branchRunId } }, rejection: null };
      }
      default:
        return { command, rejection: null };
    }
  }

  /** Why a run may not be ended without its trainer, or null. */
  async #stopNotOverdue(runId: RunId): Promise<string | null> {
    const stop = (await this.store.commands(runId)).findLast(({ action }) => action.kind === 'stop');
    if (stop?.state === 'expired') return null;
    if (stop?.state === 'pending' && Date.now() - stop.receivedMs >= this.stopOverdueMs) return null;
    return (
      'Stop the run first. It can be ended without its trainer when that does not confirm the stop, or has not stopped ' +
      `${this.stopOverdueMs / 1000} s after it.`
    );
  }

  async #restoreBest(
    command: GivenCommand,
    { metric, better }: RestoreBestCheckpoint,
    author: string,
    run: RunSummary,
  ): Promise<Admitted> {
    const before = await this.#wentBackFrom(run, author);
    if (before !== null)
      return {
        command,
        rejection: `It has gone back once already, from ${before}; going back again could repeat itself without end.`,
      };
    const checkpoints = await storedCheckpoints(this.store, run.runId);
    const measured = new MeasuredBefore(checkpoints);
    const range = { metrics: [metric], segments: run.segments, toStep: measured.lastStep };
    await eachPart(this.store, run, range, (part) => part.forEach((series) => measured.take(series)));
    const { events } = await controlEventsOf(this.store, run.runId, { types: ['run_started', 'series_declared'] });
    const { unit } = declaredIn(events).get(metric) ?? {};
    const best = bestCheckpoint(checkpoints, measured.series, better);
    if (best === null)
      return { command, rejection: `The run has no checkpoint by whose time ${metric} had been measured.` };
    const { checkpointId } = best.checkpoint;
    const extreme = better === 'higher' ? 'highest' : 'lowest';
    const why = `${checkpointId} has the ${extreme} ${metric}: ${measuredWords(best.value, unit)} at step ${best.measuredAtStep}`;
    return {
      command: {
        ...command,
        cause: command.cause === undefined ? why : `${command.cause}. ${why}`,
        action: { kind: 'restore_checkpoint', checkpointId, branchRunId: newRunId(run.description) },
      },
      rejection: null,
    };
  }

  /** The ancestor in which this author restored a checkpoint on the way to this run. */
  async #wentBackFrom(run: RunSummary, author: string): Promise<RunId | null> {
    const seen = new Set<RunId>([run.runId]);
    let child: Pick<RunSummary, 'runId' | 'parent'> | null = run;
    while (child?.parent && !seen.has(child.parent.runId)) {
      const { runId }: { runId: RunId } = child.parent;
      const branchRunId: RunId = child.runId;
      seen.add(runId);
      const opened = (await this.store.commands(runId)).some(
        ({ author: by, action }) =>
          by === author && action.kind === 'restore_checkpoint' && action.branchRunId === branchRunId,
      );
      if (opened) return runId;
      child = await this.store.run(runId);
    }
    return null;
  }
}

/** The fields that identify a run, by name, with each setting as a field. */
function comparable({ description, parent }: Pick<RunSummary, 'description' | 'parent'>): Record<string, unknown> {
  const { settings, ...rest } = description;
  const named = Object.entries(settings).map(([name, value]) => [`settings.${name}`, value] as const);
  return { ...rest, ...Object.fromEntries(named), parent: RunParent.nullable().parse(parent) };
}

function differences(
  there: Readonly<Record<string, unknown>>,
  here: Readonly<Record<string, unknown>>,
): { key: string; a: string | undefined; b: string | undefined }[] {
  return Object.keys({ ...there, ...here }).flatMap((key) => {
    if (isDeepStrictEqual(asStored(there[key]), asStored(here[key]))) return [];
    return [{ key, a: JSON.stringify(there[key]), b: JSON.stringify(here[key]) }];
  });
}

/** A value as it comes back from the store: JSON has no -0 and no undefined. */
export const asStored = (value: unknown): unknown =>
  value === undefined ? undefined : (JSON.parse(JSON.stringify(value)) as unknown);

const shortened = (json = 'nothing'): string => (json.length > 80 ? `${json.slice(0, 80)}…` : json);

export const noCheckpoint = (runId: RunId, checkpointId: string): string =>
  `The run ${runId} has no checkpoint ${checkpointId} any more, or never had.`;
