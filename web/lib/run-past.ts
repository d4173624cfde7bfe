import type { CommandRecord } from '@plumbline/shared/command';
import { entryOf } from '@plumbline/shared/record';
import type { RunSummary } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import { joinColumns, type Columns } from '../charts/columns';
import { eventsInForce } from '@plumbline/shared/segments';
import { fetchHistories, type FeedTransport } from './run-feed';
import type { SeriesDemand } from './series-demand';
import { SeriesBuffer } from './series-buffer';

/** The ancestors of a run, its parent first. The list ends at the first unknown one. */
export function ancestorsOf(run: RunSummary, runs: readonly RunSummary[]): RunSummary[] {
  const ancestors: RunSummary[] = [];
  for (let child = run; child.parent; child = ancestors.at(-1)!) {
    const { runId } = child.parent;
    const parent = runs.find((other) => other.runId === runId);
    // A trainer may claim any parent: a circle ends here.
    if (!parent || parent === run || ancestors.includes(parent)) break;
    ancestors.push(parent);
  }
  return ancestors;
}

/** The branches of a run, ordered by step. */
export const branchesOf = (run: RunSummary, runs: readonly RunSummary[]): RunSummary[] =>
  runs
    .filter(({ runId, parent }) => parent?.runId === run.runId && runId !== run.runId)
    .sort((a, b) => a.parent!.step - b.parent!.step || a.createdMs - b.createdMs);

/** The history of a branch before it began: of each ancestor, the part up to the checkpoint where the next run branched off. */
export interface RunPast {
  /** The parent first. */
  ancestors: readonly RunSummary[];
  /** The courses of the drawn series, each from the eldest ancestor on. */
  columns: ReadonlyMap<string, Columns>;
  /** Starts of the ancestors' stages, oldest run first. */
  stages: readonly { run: RunSummary; event: StageStarted }[];
  /** Commands applied before the checkpoints, oldest run first. */
  commands: readonly { run: RunSummary; record: CommandRecord }[];
  /** The commands whose effect the branch took over. A restored run continues its checkpoint's state, a new run its own
   * configuration. */
  inForce: readonly CommandRecord[];
}

type StageStarted = Extract<ControlEvent, { type: 'stage_started' }>;
type Hub = Pick<FeedTransport, 'history' | 'events' | 'commands'>;

/** The part of an ancestor before the checkpoint where the next run branched off. */
interface Left {
  ancestor: RunSummary;
  stages: StageStarted[];
  records: CommandRecord[];
  /** Whether the child continues the checkpoint's state, not its own configuration. */
  goesOn: boolean;
}

async function readLeft(ancestor: RunSummary, child: RunSummary, hub: Omit<Hub, 'history'>): Promise<Left> {
  const { checkpointId, step, goesOn } = child.parent!;
  const [{ events }, commands] = await Promise.all([hub.events(ancestor.runId), hub.commands(ancestor.runId)]);
  // Several events may share the checkpoint's step: event numbers tell which came before it.
  const saved = events.findLast(
    (event) => event.type === 'checkpoint_saved' && event.checkpointId === checkpointId && event.step === step,
  );
  const lastSeq = saved?.seq ?? Infinity;
  const earlier = eventsInForce(events.filter((event) => event.step <= step && event.seq < lastSeq));
  const applied = new Set(earlier.flatMap((event) => (event.type === 'command_applied' ? [event.commandId] : [])));
  return {
    ancestor,
    stages: earlier.filter((event) => event.type === 'stage_started'),
    records: commands.filter(
      // Rules belong to the hub: it records after which event they were set. The trainer sends no event for them.
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
 * Reads the commands from before a branch that are in force in it, oldest first. It reads no measured values.
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
 * Reads the history of a branch before it began, without the courses of series.
 * @param ancestors the parent first
 * @throws ApiError when the hub does not answer
 */
export async function readPast(
  run: RunSummary,
  ancestors: readonly RunSummary[],
  hub: Omit<Hub, 'history'>,
): Promise<RunPast> {
  const parts = await Promise.all(
    ancestors.map((ancestor, index) => readLeft(ancestor, childOf(run, ancestors, index), hub)),
  );
  const eldestFirst = [...parts].reverse();
  return {
    ancestors,
    columns: new Map(),
    stages: eldestFirst.flatMap(({ ancestor, stages }) => stages.map((event) => ({ run: ancestor, event }))),
    commands: eldestFirst.flatMap(({ ancestor, records }) => records.map((record) => ({ run: ancestor, record }))),
    inForce: inForceOf(parts),
  };
}

/**
 * Reads the courses of series before a branch began, each from the eldest ancestor on; empty if it has no value.
 * @param ancestors the parent first
 * @throws ApiError when the hub does not answer
 */
export async function readCourses(
  run: RunSummary,
  ancestors: readonly RunSummary[],
  hub: Pick<Hub, 'history'>,
  names: readonly string[],
): Promise<Map<string, Columns>> {
  const eldestFirst = await Promise.all(
    ancestors
      .map((ancestor, index) =>
        // Values at the checkpoint's step belong to its weights, even if they were measured after the save.
        fetchHistories(hub, ancestor.runId, names, { toStep: childOf(run, ancestors, index).parent!.step }),
      )
      .reverse(),
  );
  return new Map(
    names.map((name) => [
      name,
      joinColumns(
        eldestFirst.flatMap((answers) => {
          const part = answers.map(({ series }) => entryOf(series, name)).find((found) => found !== undefined);
          if (!part) return [];
          const buffer = new SeriesBuffer();
          buffer.merge(part);
          return [{ columns: buffer, length: buffer.length }];
        }),
      ),
    ]),
  );
}

/** The store that receives the past of a branch. */
interface PastSink {
  readonly past: RunPast | null;
  readonly demand: SeriesDemand;
  pastIs(past: RunPast): void;
  pastCourses(courses: ReadonlyMap<string, Columns>): void;
}

/**
 * Reads the past of a branch into its store: events at once, and the courses of series as they are drawn.
 * @param ancestors the parent first
 * @param failed called with the reason if something could not be read
 * @returns stops it
 */
export function followPast(
  store: PastSink,
  run: RunSummary,
  ancestors: readonly RunSummary[],
  hub: Hub,
  failed: (error: unknown) => void,
): () => void {
  let isOver = false;
  let isReading = false;
  const readDrawn = async (): Promise<void> => {
    if (isReading || !store.past) return;
    isReading = true;
    try {
      for (;;) {
        const { columns } = store.past;
        const names = store.demand.courses.filter((name) => !columns.has(name));
        if (names.length === 0) break;
        const courses = await readCourses(run, ancestors, hub, names);
        if (isOver) return;
        store.pastCourses(courses);
      }
    } catch (error) {
      if (!isOver) failed(error);
    } finally {
      isReading = false;
    }
  };
  const stop = store.demand.onChange(() => queueMicrotask(() => void (isOver || readDrawn())));
  readPast(run, ancestors, hub).then(
    (past) => {
      if (isOver) return;
      store.pastIs(past);
      void readDrawn();
    },
    (error: unknown) => !isOver && failed(error),
  );
  return () => {
    isOver = true;
    stop();
  };
}
