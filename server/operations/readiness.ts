import { CommandId } from '@plumbline/shared/command';
import type { ReadinessResponse } from '@plumbline/shared/http';
import type { WireError } from '@plumbline/shared/socket';
import { toWireError } from '../run/refusal.js';
import type { RunRegistry } from '../run/registry.js';
import { isShared, StoreUnavailableError } from '../store/event-store.js';
import type { StoreWatch } from './store-watch.js';

/** Asked for to see whether the store answers; there is no such command. */
const noCommand = CommandId.parse('readiness-probe');

/**
 * Whether the hub can do its work now: it is not being stopped, it knows its runs, its store took the last write.
 * A store with a spool does that work while the server behind it is gone: this is told of, and the hub stays ready. If
 * each hub behind one address called itself unready then, trainers would have nowhere to go and the spools no use.
 * What a store has lost is told of in the same way, until somebody has taken note: the hub can still do its work.
 */
export async function readiness(runs: RunRegistry, storeWatch: StoreWatch): Promise<ReadinessResponse> {
  const faults: unknown[] = [];
  const borne: unknown[] = [];
  try {
    runs.drain.refuseNewWork();
  } catch (error) {
    faults.push(error);
  }
  try {
    await runs.load();
    const spool = isShared(runs.store) ? await runs.store.spoolState() : undefined;
    const problem = spool?.problem ?? null;
    const answer =
      problem === null ? runs.store.command(noCommand) : Promise.reject(new StoreUnavailableError(problem));
    const answers = await answer.then(
      () => true,
      (error: unknown) => {
        (spool ? borne : faults).push(error);
        return false;
      },
    );
    // A store that does not answer would fail again, with the same words.
    const condition = answers ? await runs.store.condition?.() : undefined;
    if (condition?.fault) faults.push(condition.fault);
    else if (storeWatch.failedWrite) faults.push(storeWatch.failedWrite);
    borne.push(...(condition?.losses ?? []).map((loss) => new StoreUnavailableError(loss)));
  } catch (error) {
    faults.push(error);
  }
  const problems = [...faults, ...borne].map(toWireError);
  // A store that is closed says so to each question.
  const isFirst = ({ message }: WireError, index: number): boolean =>
    problems.findIndex((other) => other.message === message) === index;
  return { ready: faults.length === 0, problems: problems.filter(isFirst) };
}
