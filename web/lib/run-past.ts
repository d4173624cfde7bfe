import type { CommandRecord } from '@plumbline/shared/command';
import type { RunSummary } from '@plumbline/shared/run';
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
  /** Applied before the checkpoints, oldest run first. */
  commands: readonly { run: RunSummary; record: CommandRecord }[];
  /** Those whose effect the branch took over: a restored run goes on as its checkpoint was, a new one as configured. */
  inForce: readonly CommandRecord[];
}

const maxPoints = 2000;

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
  hub: Pick<FeedTransport, 'history' | 'events' | 'commands'>,
  metrics?: readonly string[],
): Promise<RunPast | null> {
  const ancestors = ancestorsOf(run, runs);
  if (ancestors.length === 0) return null;
  const parts = await Promise.all(
    ancestors.map(async (ancestor, index) => {
      const child = index === 0 ? run : ancestors[index - 1]!;
      const { checkpointId, step } = child.parent!;
      const [history, { events }, commands] = await Promise.all([
        hub.history(ancestor.runId, { toStep: step, maxPoints, ...(metrics && { metrics }) }),
        hub.events(ancestor.runId),
        hub.commands(ancestor.runId),
      ]);
      // Several things may have happened at the step of the checkpoint: event numbers tell what came before it.
      const saved = events.findLast(
        (event) => event.type === 'checkpoint_saved' && event.checkpointId === checkpointId && event.step === step,
      );
      const lastSeq = saved?.seq ?? Infinity;
      const before = new Set(
        events.flatMap((event) =>
          event.type === 'command_applied' && event.step <= step && event.seq < lastSeq ? [event.commandId] : [],
        ),
      );
      return {
        ancestor,
        lastSeq,
        series: history.series,
        records: commands.filter(({ commandId }) => before.has(commandId)),
        goesOn:
          child.parent!.goesOn === true ||
          commands.some(
            ({ action, state }) =>
              state === 'applied' && action.kind === 'restore_checkpoint' && action.branchRunId === child.runId,
          ),
      };
    }),
  );
  const eldestFirst = [...parts].reverse();
  const names = new Set(parts.flatMap(({ series }) => Object.keys(series)));
  const columns = new Map<string, Columns>();
  for (const name of names) {
    columns.set(
      name,
      joinColumns(
        eldestFirst.flatMap(({ series, lastSeq }) => {
          const part = series[name];
          if (!part) return [];
          const buffer = new SeriesBuffer();
          buffer.merge(part);
          const over = buffer.seqs.subarray(0, buffer.length).findIndex((seq) => seq > lastSeq);
          return [{ columns: buffer, length: over < 0 ? buffer.length : over }];
        }),
      ),
    );
  }
  const ownStart = parts.findIndex(({ goesOn }) => !goesOn);
  const takenOver = ownStart < 0 ? parts : parts.slice(0, ownStart);
  return {
    ancestors,
    columns,
    commands: eldestFirst.flatMap(({ ancestor, records }) => records.map((record) => ({ run: ancestor, record }))),
    inForce: [...takenOver].reverse().flatMap(({ records }) => records),
  };
}
