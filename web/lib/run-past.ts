import type { CommandRecord } from '@plumbline/shared/command';
import { entryOf } from '@plumbline/shared/record';
import type { RunSummary } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import { joinColumns, type Columns } from '../charts/columns';
import type { FeedTransport } from './run-feed';
import { SeriesBuffer } from './series-buffer';

/** The runs that a run was branched from, its parent first; ends where one is not known any more. */
export function ancestorsOf(run: RunSummary, runs: readonly RunSummary[]): RunSummary[] {
  const ancestors: RunSummary[] = [];
  for (let child = run; child.parent; child = ancestors.at(-1)!) {
    const { runId } = child.parent;
    const parent = runs.find((other) => other.runId === runId);
    // A trainer may say anything of its parents: a circle ends here.
    if (!parent || parent === run || ancestors.includes(parent)) break;
    ancestors.push(parent);
  }
  return ancestors;
}

/** The runs that were branched from a run, by their step. */
export const branchesOf = (run: RunSummary, runs: readonly RunSummary[]): RunSummary[] =>
  runs
    .filter(({ runId, parent }) => parent?.runId === run.runId && runId !== run.runId)
    .sort((a, b) => a.parent!.step - b.parent!.step || a.createdMs - b.createdMs);

/** What a branch went through before it was one: in its ancestors, each up to the checkpoint where it was left. */
export interface RunPast {
  /** The parent first. */
  ancestors: readonly RunSummary[];
  /** Each metric's course from the first ancestor on. */
  columns: ReadonlyMap<string, Columns>;
  /** Where the ancestors went on to their next skill, oldest run first. */
  stages: readonly { run: RunSummary; event: StageStarted }[];
  /** Applied before the checkpoints, oldest run first. */
  commands: readonly { run: RunSummary; record: CommandRecord }[];
  /** Those whose effect the branch took over: a restored run goes on as its checkpoint was, a new one as configured. */
  inForce: readonly CommandRecord[];
}

const maxPoints = 2000;

type StageStarted = Extract<ControlEvent, { type: 'stage_started' }>;
type Hub = Pick<FeedTransport, 'history' | 'events' | 'commands'>;

/** Of one ancestor what came before the checkpoint where it was left. */
interface Left {
  ancestor: RunSummary;
  stages: StageStarted[];
  records: CommandRecord[];
  /** Whether the child went on as the checkpoint was, not as configured anew. */
  goesOn: boolean;
}

async function readLeft(ancestor: RunSummary, child: RunSummary, hub: Omit<Hub, 'history'>): Promise<Left> {
  const { checkpointId, step, goesOn } = child.parent!;
  const [{ events }, commands] = await Promise.all([hub.events(ancestor.runId), hub.commands(ancestor.runId)]);
  // Several things may have happened at the step of the checkpoint: event numbers tell what came before it.
  const saved = events.findLast(
    (event) => event.type === 'checkpoint_saved' && event.checkpointId === checkpointId && event.step === step,
  );
  const lastSeq = saved?.seq ?? Infinity;
  const earlier = events.filter((event) => event.step <= step && event.seq < lastSeq);
  const applied = new Set(earlier.flatMap((event) => (event.type === 'command_applied' ? [event.commandId] : [])));
  return {
    ancestor,
    stages: earlier.filter((event) => event.type === 'stage_started'),
    records: commands.filter(
      // Rules are the hub's: of them it knows after which event they were set, and the trainer nothing.
      ({ commandId, state, afterSeq = Infinity }) =>
        applied.has(commandId) || (state === 'applied' && afterSeq < lastSeq),
    ),
    goesOn:
      goesOn === true ||
      commands.some(
        ({ action, state }) =>
          state === 'applied' && action.kind === 'restore_checkpoint' && action.branchRunId === child.runId,
      ),
  };
}

/** @param parts the parent's first */
function inForceOf(parts: readonly Left[]): CommandRecord[] {
  const ownStart = parts.findIndex(({ goesOn }) => !goesOn);
  const takenOver = ownStart < 0 ? parts : parts.slice(0, ownStart);
  return [...takenOver].reverse().flatMap(({ records }) => records);
}

const childOf = (run: RunSummary, ancestors: readonly RunSummary[], index: number): RunSummary =>
  index === 0 ? run : ancestors[index - 1]!;

/**
 * Reads what was changed before a branch began and is in force in it, oldest first; nothing of what was measured.
 * @param ancestors the parent first
 * @throws ApiError when the hub does not answer
 */
export async function readTakenOver(
  run: RunSummary,
  ancestors: readonly RunSummary[],
  hub: Omit<Hub, 'history'>,
): Promise<CommandRecord[]> {
  return inForceOf(
    await Promise.all(ancestors.map((ancestor, index) => readLeft(ancestor, childOf(run, ancestors, index), hub))),
  );
}

/**
 * Reads the past of a branch from the hub.
 * @param runs all runs, to find the ancestors among
 * @param metrics names; none means all
 * @returns null for a run without a parent that is known
 * @throws ApiError when the hub does not answer
 */
export async function readPast(
  run: RunSummary,
  runs: readonly RunSummary[],
  hub: Hub,
  metrics?: readonly string[],
): Promise<RunPast | null> {
  const ancestors = ancestorsOf(run, runs);
  if (ancestors.length === 0) return null;
  const parts = await Promise.all(
    ancestors.map(async (ancestor, index) => {
      const child = childOf(run, ancestors, index);
      const [{ series }, left] = await Promise.all([
        // What was measured at the checkpoint's step is of its weights, also where it was measured after it was saved.
        hub.history(ancestor.runId, { toStep: child.parent!.step, maxPoints, ...(metrics && { metrics }) }),
        readLeft(ancestor, child, hub),
      ]);
      return { ...left, series };
    }),
  );
  const eldestFirst = [...parts].reverse();
  const names = new Set(parts.flatMap(({ series }) => Object.keys(series)));
  const columns = new Map<string, Columns>();
  for (const name of names) {
    columns.set(
      name,
      joinColumns(
        eldestFirst.flatMap(({ ancestor, series }) => {
          const part = entryOf(series, name);
          if (!part) return [];
          const buffer = SeriesBuffer.of(name, ancestor.description);
          buffer.merge(part);
          return [{ columns: buffer, length: buffer.length }];
        }),
      ),
    );
  }
  return {
    ancestors,
    columns,
    stages: eldestFirst.flatMap(({ ancestor, stages }) => stages.map((event) => ({ run: ancestor, event }))),
    commands: eldestFirst.flatMap(({ ancestor, records }) => records.map((record) => ({ run: ancestor, record }))),
    inForce: inForceOf(parts),
  };
}
