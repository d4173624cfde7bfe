import type { EventStore, Series } from '../../server/store/event-store.js';
import { runId, storedRun } from './stored-samples.js';

/** Makes a store. `reopen` closes it and returns a new one on the same data. */
export type MakeStore = () => Promise<{ store: EventStore; reopen: () => Promise<EventStore> }>;

/** The store of one contract test: each test gets a new one. */
export class StoreUnderTest {
  store!: EventStore;
  #reopen!: () => Promise<EventStore>;

  constructor(private readonly make: MakeStore) {}

  /** A new store that knows the run `runId`. */
  async open(): Promise<void> {
    const { store, reopen } = await this.make();
    this.store = store;
    this.#reopen = reopen;
    await store.createRun(storedRun());
  }

  async reopen(): Promise<void> {
    this.store = await this.#reopen();
  }

  async lossOf(maxPoints = 10_000): Promise<Series> {
    return (await this.store.history(runId, { metrics: ['train/loss'], maxPoints })).series.get('train/loss')!;
  }
}
