import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { commandContract } from './command-contract.js';
import { deletionContract } from './deletion-contract.js';
import { eventContract } from './event-contract.js';
import { largeEventContract } from './large-event-contract.js';
import { overviewContract } from './overview-contract.js';
import { runContract } from './run-contract.js';
import { seriesContract } from './series-contract.js';
import { StoreUnderTest, type MakeStore } from './store-under-test.js';
import { lossEvents, runId } from './stored-samples.js';

/** The contract that every event store must meet. */
export function eventStoreContract(make: MakeStore): void {
  describe('event store contract', () => {
    const subject = new StoreUnderTest(make);
    beforeEach(() => subject.open());
    afterEach(() => subject.store.close());

    runContract(subject);
    seriesContract(subject);
    eventContract(subject);
    largeEventContract(subject);
    commandContract(subject);
    overviewContract(subject);
    deletionContract(subject);

    it('refuses work after it is closed', async () => {
      await subject.store.close();
      await expect(subject.store.append(runId, lossEvents(1, 1))).rejects.toThrow(/closed/);
    });
  });
}
