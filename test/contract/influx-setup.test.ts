import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RunId } from '@plumbline/shared/run';
import { InfluxClient } from '../../server/store/influx-client.js';
import { downsampledBucket, setUpInflux, type InfluxSetup } from '../../server/store/influx-setup.js';
import { InfluxStore } from '../../server/store/influx-store.js';
import { InfluxServer } from '../support/influx-server.js';
import { eventually } from '../support/test-hub.js';
import { runId, stepEvent, storedRun } from './stored-samples.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'plumbline-influx-setup-'));
let server: InfluxServer;
beforeAll(async () => {
  server = await InfluxServer.start();
});
afterAll(async () => {
  await server.remove();
  rmSync(folder, { recursive: true });
});

let setups = 0;
/** A bucket and a data folder that nothing is in yet. */
const newSetup = (): InfluxSetup => {
  const name = `setup-${++setups}`;
  const tokenFile = join(folder, name, 'influx-token');
  return { url: server.url, org: server.org, bucket: name, adminToken: server.token, tokenFile };
};
const tokenIn = ({ tokenFile }: InfluxSetup): string => readFileSync(tokenFile, 'utf8').trim();
const clientOf = (setup: InfluxSetup, bucket = setup.bucket): InfluxClient =>
  new InfluxClient({ url: setup.url, org: setup.org, bucket, token: tokenIn(setup) });
async function valuesIn(client: InfluxClient, flux = '', bucket = client.options.bucket): Promise<string[]> {
  const values: string[] = [];
  await client.query(`from(bucket: "${bucket}") |> range(start: 0) ${flux}`, (row) => values.push(row('_value')));
  return values;
}
/** The list of objects that the server has of a kind. */
const listed = async (kind: 'authorizations' | 'tasks' | 'buckets' | 'orgs'): Promise<Record<string, unknown>[]> =>
  ((await server.request('GET', `/api/v2/${kind}?limit=100`)) as Record<string, Record<string, unknown>[]>)[kind]!;
/** A token with these permissions in the organisation, each as `action:resource`. */
async function tokenWith(...permissions: string[]): Promise<string> {
  const org = (await listed('orgs')).find(({ name }) => name === server.org);
  const answer = await server.request('POST', '/api/v2/authorizations', {
    orgID: org!['id'],
    permissions: permissions.map((permission) => {
      const [action, type] = permission.split(':');
      return { action, resource: type === 'orgs' ? { type, id: org!['id'] } : { type, orgID: org!['id'] } };
    }),
  });
  return (answer as { token: string }).token;
}
const plumbline = (env: Record<string, string>, ...flags: string[]) =>
  promisify(execFile)(process.execPath, ['server/dist/cli.js', 'influx-setup', ...flags], {
    cwd: root,
    env: { PATH: process.env['PATH'], ...env },
  });

describe('setting up InfluxDB with an admin token', () => {
  it('makes a bucket, and a token for its owner alone that a store works with', async () => {
    const setup = newSetup();
    const done = await setUpInflux(setup);
    expect(done.join('\n')).toMatch(/Created bucket "setup-\d+"; it keeps points for ever.*\n.*reads and writes/);
    expect(statSync(setup.tokenFile).mode & 0o777).toBe(0o600);
    const store = new InfluxStore({
      ...setup,
      token: tokenIn(setup),
      spoolFolder: join(folder, `${setup.bucket}-spool`),
    });
    await store.createRun(storedRun());
    await store.append(runId, [stepEvent(1, { 'train/loss': 1.5 })]);
    expect(await store.drained(10_000)).toBe(true);
    expect([...(await store.history(runId, { maxPoints: 10 })).series.get('train/loss')!.values]).toEqual([1.5]);
    await store.close();
  });

  it('gives the token that one bucket: it reads and writes no other, and may make nothing', async () => {
    const [mine, other] = [newSetup(), newSetup()];
    await setUpInflux(mine);
    await setUpInflux(other);
    expect(await clientOf(other).write('m f=1 1')).toEqual({ kind: 'stored' });
    expect(await valuesIn(clientOf(other))).toEqual(['1']);
    const trespassing = clientOf(mine, other.bucket);
    expect(await trespassing.write('m f=2 2')).toMatchObject({ kind: 'later', problem: /refuses the token/ });
    await expect(valuesIn(trespassing)).rejects.toThrow(/InfluxDB at/);
    expect(await valuesIn(clientOf(other))).toEqual(['1']);
    await expect(setUpInflux({ ...newSetup(), adminToken: tokenIn(mine) })).rejects.toThrow(/may not/);
  });

  it('does nothing a second time, and makes a new token where the first was lost or withdrawn', async () => {
    const setup = newSetup();
    await setUpInflux(setup);
    const [token, count] = [tokenIn(setup), (await listed('authorizations')).length];
    expect((await setUpInflux(setup)).join()).toMatch(/already/);
    expect([tokenIn(setup), (await listed('authorizations')).length]).toEqual([token, count]);
    const given = (await listed('authorizations')).find((authorization) => authorization['token'] === token)!;
    await fetch(`${server.url}/api/v2/authorizations/${String(given['id'])}`, {
      method: 'DELETE',
      headers: { authorization: `Token ${server.token}` },
    });
    await setUpInflux(setup);
    expect(tokenIn(setup)).not.toBe(token);
    expect(await clientOf(setup).write('m f=1 1')).toEqual({ kind: 'stored' });
  });

  it('makes an organisation that is not there', async () => {
    const setup = { ...newSetup(), org: 'another' };
    expect((await setUpInflux(setup)).join()).toContain('Created organisation "another"');
    expect(await clientOf(setup).write('m f=1 1')).toEqual({ kind: 'stored' });
  });

  it('sets how long points are kept, changes it when asked, and leaves it when not', async () => {
    const setup = newSetup();
    const keptSeconds = async (): Promise<unknown> => {
      const bucket = (await listed('buckets')).find(({ name }) => name === setup.bucket)!;
      return (bucket['retentionRules'] as { everySeconds: number }[])[0]?.everySeconds;
    };
    await setUpInflux({ ...setup, retentionDays: 30 });
    expect(await keptSeconds()).toBe(30 * 86_400);
    expect((await setUpInflux({ ...setup, retentionDays: 60 })).join()).toContain('keeps points for 60 days');
    await setUpInflux(setup);
    expect(await keptSeconds()).toBe(60 * 86_400);
  });

  it('says which permission is missing, for what, and has kept no token', async () => {
    const lacking = async (...permissions: string[]): Promise<string> => {
      const setup = { ...newSetup(), adminToken: await tokenWith(...permissions) };
      const message = await setUpInflux(setup).then(
        () => 'it worked',
        (error: Error) => error.message,
      );
      expect(() => tokenIn(setup)).toThrow(/ENOENT/);
      return message;
    };
    expect(await lacking('read:buckets')).toMatch(/organisation "plumbline".*read:orgs/);
    expect(await lacking('read:orgs', 'read:buckets')).toMatch(/create bucket "setup-\d+".*write:buckets/);
    expect(await lacking('read:orgs', 'read:buckets', 'write:buckets')).toMatch(
      /create a token for bucket.*write:authorizations/,
    );
    await expect(setUpInflux({ ...newSetup(), adminToken: 'wrong' })).rejects.toThrow(
      /does not know the admin token.*PLUMBLINE_INFLUX_ADMIN_TOKEN/,
    );
    await expect(setUpInflux({ ...newSetup(), url: 'http://127.0.0.1:9' })).rejects.toThrow(/does not answer.*--url/);
  });
});

describe('downsampling', () => {
  it('copies mean, min and max of old steps, of what is there at once and of what gets old by a task', async () => {
    const setup = newSetup();
    const [steps, count, afterDays] = [10, 25, 3];
    await setUpInflux(setup);
    const store = new InfluxStore({
      ...setup,
      token: tokenIn(setup),
      spoolFolder: join(folder, `${setup.bucket}-spool`),
    });
    // At a whole window of Flux, which counts from 1970: then windows of steps lie as those of the store.
    const wholeDay = Math.floor(Date.now() / 86_400_000) * 86_400_000;
    const [old, middle, young] = ['run-old', 'run-middle', 'run-young'].map((id) => RunId.parse(id)) as [
      RunId,
      RunId,
      RunId,
    ];
    const write = async (id: RunId, daysAgo: number): Promise<void> => {
      await store.createRun(storedRun(id, wholeDay - daysAgo * 86_400_000));
      const events = Array.from({ length: count }, (_, i) => stepEvent(i + 1, { 'train/loss': (i * 7) % 11 }, i));
      await store.append(id, [...events, stepEvent(count + 1, { 'train/loss': 'NaN' }, count)]);
    };
    await write(old, 20);
    await write(young, 1);
    expect(await store.drained(10_000)).toBe(true);
    const done = await setUpInflux({ ...setup, downsample: { afterDays, steps } });
    expect(done.join()).toContain(downsampledBucket(setup.bucket));

    const admin = new InfluxClient({ ...setup, token: setup.adminToken, bucket: downsampledBucket(setup.bucket) });
    const copied = async (id: RunId): Promise<Record<string, number[]>> =>
      Object.fromEntries(
        await Promise.all(
          ['mean', 'min', 'max'].map(async (aggregate) => [
            aggregate,
            (await valuesIn(admin, `|> filter(fn: (r) => r.run == "${id}" and r.aggregate == "${aggregate}")`)).map(
              Number,
            ),
          ]),
        ),
      );
    const { means, minima, maxima } = (await store.windows(old, { metrics: ['train/loss'], everySteps: steps })).get(
      'train/loss',
    )!;
    const expected = { mean: [...means], min: [...minima], max: [...maxima] };
    expect(expected.mean).toHaveLength(3);
    expect(await copied(old)).toEqual(expected);
    expect(await copied(young)).toEqual({ mean: [], min: [], max: [] });

    // The task, asked to run now.
    await write(middle, 5);
    expect(await store.drained(10_000)).toBe(true);
    expect((await setUpInflux({ ...setup, downsample: { afterDays, steps } })).join()).toContain('is there already');
    const [task, ...more] = (await listed('tasks')).filter(({ name }) => String(name).endsWith(setup.bucket));
    expect(more).toEqual([]);
    const taskPath = `/api/v2/tasks/${String(task!['id'])}/runs`;
    const { id } = (await server.request('POST', taskPath, {})) as { id: string };
    // A run that has just ended is in no list for a moment.
    const status = await eventually(async () => {
      const { runs } = (await server.request('GET', taskPath)) as { runs: { id: string; status: string }[] };
      const found = runs.find((run) => run.id === id)?.status;
      return found === 'success' || found === 'failed' ? found : null;
    });
    expect(status).toBe('success');
    expect(await copied(middle)).toEqual(expected);
    await store.close();
  });
});

describe('plumbline influx-setup', () => {
  it('sets a fresh server up, says so, and a second call finds nothing to do', async () => {
    const fresh = await InfluxServer.startFresh();
    try {
      const dataDir = join(folder, 'fresh');
      const flags = ['--url', fresh.url, '--org', 'lab', '--bucket', 'runs', '--data-dir', dataDir];
      await expect(plumbline({}, ...flags)).rejects.toMatchObject({
        stderr: expect.stringContaining('PLUMBLINE_INFLUX_PASSWORD'),
      });
      const user = { PLUMBLINE_INFLUX_USERNAME: 'ada', PLUMBLINE_INFLUX_PASSWORD: 'a-long-password' };
      const first = await plumbline(user, ...flags);
      expect(first.stdout).toMatch(/first user, "ada"[\s\S]*reads and writes bucket "runs" and nothing else/);
      expect(first.stdout + first.stderr).not.toContain(user.PLUMBLINE_INFLUX_PASSWORD);
      expect((await plumbline({}, ...flags)).stdout).toContain('Nothing to do');
      await expect(plumbline({}, ...flags, '--retention-days', '3')).rejects.toMatchObject({
        stderr: expect.stringContaining('PLUMBLINE_INFLUX_ADMIN_TOKEN'),
      });
      await expect(plumbline({}, ...flags, '--downsample-steps', '3')).rejects.toMatchObject({
        stderr: expect.stringContaining('together'),
      });
    } finally {
      await fresh.remove();
    }
  });
});
