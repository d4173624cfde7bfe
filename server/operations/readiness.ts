import { CommandId } from '@plumbline/shared/command';
import type { ReadinessResponse } from '@plumbline/shared/http';
import type { WireError } from '@plumbline/shared/socket';
import { toWireError } from '../run/refusal.js';
import type { RunRegistry } from '../run/registry.js';
import { isShared, StoreUnavailableError } from '../store/event-store.js';
import type { StoreWatch } from './store-watch.js';

/** The id of no command: its look-up shows whether the store answers. */
const noCommand = CommandId.parse('readiness-probe');

/**
 * Whether the hub can work now: it is not stopping, it has read its runs, and its store took the last write.
 * A hub whose store has a spool stays ready while InfluxDB is away, and reports that as a problem. If all hubs behind one
 * address were unready then, trainers could connect to none of them and the spools would be useless.
 * A hub also stays ready after its store has lost data, and reports the loss until somebody has acknowledged it.
 */
export async function readiness(runs: RunRegistry, storeWatch: StoreWatch): Promise<ReadinessResponse> {
  const faults: unknown[] = [];
  const tolerated: unknown[] = [];
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
        (spool ? tolerated : faults).push(error);
        return false;
      },
    );
    // A store that does not answer would fail again with the same message.
    const condition = answers ? await runs.store.condition?.() : undefined;
    if (condition?.fault) faults.push(condition.fault);
    else if (storeWatch.failedWrite) faults.push(storeWatch.failedWrite);
    tolerated.push(...(condition?.losses ?? []).map((loss) => new StoreUnavailableError(loss)));
  } catch (error) {
    faults.push(error);
  }
  const problems = [...faults, ...tolerated].map(toWireError);
  // A closed store fails each call with the same message.
  const isFirst = ({ message }: WireError, index: number): boolean =>
    problems.findIndex((other) => other.message === message) === index;
  return { ready: faults.length === 0, problems: problems.filter(isFirst) };
}
