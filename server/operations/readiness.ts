import { CommandId } from '@plumbline/shared/command';
import type { ReadinessResponse } from '@plumbline/shared/http';
import { toWireError } from '../run/refusal.js';
import type { RunService } from '../run/run-service.js';
import type { StoreWatch } from './store-watch.js';

/** Asked for to see whether the store answers; there is no such command. */
const noCommand = CommandId.parse('readiness-probe');

/** Whether the hub can do its work now: it is not being stopped, its store can be read and took the last write. */
export async function readiness(runs: RunService, storeWatch: StoreWatch): Promise<ReadinessResponse> {
  const faults: unknown[] = [];
  try {
    runs.drain.refuseNewWork();
  } catch (error) {
    faults.push(error);
  }
  try {
    await runs.load();
    await runs.store.command(noCommand);
    if (storeWatch.failedWrite) faults.push(storeWatch.failedWrite);
  } catch (error) {
    faults.push(error);
  }
  const problems = faults.map(toWireError);
  return { ready: problems.length === 0, problems };
}
