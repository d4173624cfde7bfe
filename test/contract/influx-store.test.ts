import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { InfluxStore } from '../../server/store/influx-store.js';
import { InfluxServer } from '../support/influx-server.js';
import { eventStoreContract } from './event-store-contract.js';
import { largeEventContract } from './large-event-contract.js';

const folder = mkdtempSync(join(tmpdir(), 'plumbline-influx-store-'));
let server: InfluxServer;
beforeAll(async () => {
  server = await InfluxServer.start();
});
afterAll(async () => {
  await server.remove();
  rmSync(folder, { recursive: true });
});
let spools = 0;

async function makeStore() {
  const { url, org, token } = server;
  const options = { url, org, token, bucket: await server.bucket(), spoolFolder: join(folder, `${++spools}`) };
  let store = new InfluxStore(options);
  return {
    store,
    reopen: async () => {
      await store.close();
      return (store = new InfluxStore(options));
    },
  };
}
eventStoreContract(makeStore);
largeEventContract(makeStore);
