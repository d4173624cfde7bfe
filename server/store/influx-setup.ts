import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fluxString, HttpError, InfluxDB } from '@influxdata/influxdb-client';
import {
  AuthorizationsAPI,
  BucketsAPI,
  OrgsAPI,
  SetupAPI,
  TasksAPI,
  type Bucket,
  type Organization,
} from '@influxdata/influxdb-client-apis';
import { InfluxClient } from './influx-client.js';

export interface InfluxPlace {
  /** e.g. `http://127.0.0.1:8086` */
  url: string;
  org: string;
  bucket: string;
}

export interface InfluxSetup extends InfluxPlace {
  /** A token that may create organisations, buckets and tokens; it is not stored. */
  adminToken: string;
  /** File for the hub's token, readable by its owner only. */
  tokenFile: string;
  /** InfluxDB deletes points older than this, by their age as influx-lines.ts defines it. Unchanged where undefined. */
  retentionDays?: number | undefined;
  downsample?: Downsampling | undefined;
}

/** Copies mean, minimum and maximum of every `steps` steps to `<bucket>-downsampled` once they are `afterDays` old. */
export interface Downsampling {
  afterDays: number;
  steps: number;
}

const daySeconds = 86_400;
/** How far back the daily task looks, to catch up on days without a run and on late data. */
const catchUpDays = 7;
const copyTimeoutMs = 30 * 60_000;

export const downsampledBucket = (bucket: string): string => `${bucket}-downsampled`;

/** An operator has to act before InfluxDB can be used; the message says how. */
export class InfluxSetupError extends Error {
  override name = 'InfluxSetupError';
}

/**
 * Whether the server has no user yet.
 * @throws InfluxSetupError when it does not answer
 */
export async function isFresh({ url }: Pick<InfluxPlace, 'url'>): Promise<boolean> {
  const setup = new SetupAPI(new InfluxDB({ url }));
  const answer = await asking(url, 'say whether it is set up', '', () => setup.getSetup());
  return answer.allowed === true;
}

/**
 * Creates the first user, organisation and bucket of a fresh server.
 * @returns the operator token, which has all permissions; InfluxDB shows it to that user after signing in
 * @throws InfluxSetupError
 */
export async function setUpFresh(
  { url, org, bucket }: InfluxPlace,
  user: { username: string; password: string },
): Promise<string> {
  const setup = new SetupAPI(new InfluxDB({ url }));
  const { auth } = await asking(url, 'take its first user', '', () =>
    setup.postSetup({ body: { ...user, org, bucket, retentionPeriodSeconds: 0 } }),
  );
  if (!auth?.token)
    throw new InfluxSetupError(`InfluxDB at ${url} gave its first user no token. Sign in and create one.`);
  return auth.token;
}

/** Why the token in the file cannot read and write the bucket; null when it can. */
export async function tokenProblem({ url, org, bucket }: InfluxPlace, tokenFile: string): Promise<string | null> {
  if (!existsSync(tokenFile)) return `There is no token in ${tokenFile}.`;
  const client = new InfluxClient({ url, org, bucket, token: readFileSync(tokenFile, 'utf8').trim() });
  // An empty write: InfluxDB answers whether writing is allowed.
  const write = await client.write('');
  if (write.kind !== 'stored') return write.problem;
  const flux = `from(bucket: ${fluxString(bucket)}) |> range(start: 0, stop: 1) |> limit(n: 1)`;
  return client
    .query(flux, () => undefined)
    .then(
      () => null,
      (error: Error) => error.message,
    );
}

/** Whether the token in the file may write a bucket of this name, tried with an empty write. */
async function mayWrite({ url, org, tokenFile }: InfluxSetup, bucket: string): Promise<boolean> {
  const client = new InfluxClient({ url, org, bucket, token: readFileSync(tokenFile, 'utf8').trim() });
  return (await client.write('')).kind === 'stored';
}

/**
 * Creates what the hub needs and does not have yet: an organisation, a bucket, and a token that may read and write only
 * this bucket. With downsampling the token may also write the bucket of the thinned copies: deleting a run needs that.
 * A second call changes only the settings that differ.
 * @returns what was done, one line each
 * @throws InfluxSetupError naming the missing permission or object
 */
export async function setUpInflux(setup: InfluxSetup): Promise<string[]> {
  const { url, bucket, tokenFile } = setup;
  const database = new InfluxDB({ url, token: setup.adminToken });
  const done: string[] = [];
  const org = await findOrMakeOrg(database, setup, done);
  const { id } = await findOrMakeBucket(database, setup, org, bucket, setup.retentionDays, done);
  const thinned = setup.downsample
    ? await findOrMakeBucket(database, setup, org, downsampledBucket(bucket), undefined, done)
    : null;
  if ((await tokenProblem(setup, tokenFile)) === null && (!thinned || (await mayWrite(setup, thinned.name)))) {
    done.push(`The token in ${tokenFile} reads and writes bucket "${bucket}" already.`);
  } else {
    const permission = (action: 'read' | 'write', bucketId: string) => ({
      action,
      resource: { type: 'buckets' as const, id: bucketId, orgID: org.id! },
    });
    const permissions = [permission('read', id!), permission('write', id!)];
    if (thinned) permissions.push(permission('write', thinned.id!));
    const { token } = await asking(url, `create a token for bucket "${bucket}"`, 'write:authorizations', () =>
      new AuthorizationsAPI(database).postAuthorizations({
        body: { orgID: org.id!, description: `Plumbline hub: bucket ${bucket}`, permissions },
      }),
    );
    if (!token)
      throw new InfluxSetupError(`InfluxDB at ${url} created a token and did not return it. Create one by hand.`);
    keep(tokenFile, token);
    const more = thinned ? `, writes "${thinned.name}"` : '';
    done.push(`Created a token that reads and writes bucket "${bucket}"${more} and nothing else: ${tokenFile}`);
  }
  if (setup.downsample) await downsampleDaily(database, setup, setup.downsample, org, done);
  return done;
}

async function findOrMakeOrg(database: InfluxDB, { url, org }: InfluxSetup, done: string[]): Promise<Organization> {
  const orgs = new OrgsAPI(database);
  // For an organisation that the token may not see, InfluxDB answers "not found" or an empty list.
  const found = await asking(url, `read organisation "${org}"`, 'read:orgs', () => orNone(orgs.getOrgs({ org }), {}));
  const known = found.orgs?.find(({ name }) => name === org);
  if (known) return known;
  const made = await asking(url, `see or create organisation "${org}"`, 'read:orgs and write:orgs', () =>
    orgs.postOrgs({ body: { name: org } }),
  );
  done.push(`Created organisation "${org}".`);
  return made;
}

async function findOrMakeBucket(
  database: InfluxDB,
  { url }: InfluxSetup,
  org: Organization,
  name: string,
  retentionDays: number | undefined,
  done: string[],
): Promise<Bucket> {
  const buckets = new BucketsAPI(database);
  const found = await asking(url, `read bucket "${name}"`, 'read:buckets', () =>
    orNone(buckets.getBuckets({ orgID: org.id!, name }), {}),
  );
  const known = found.buckets?.find((bucket) => bucket.name === name);
  const everySeconds = (retentionDays ?? 0) * daySeconds;
  const retentionRules = [{ type: 'expire' as const, everySeconds }];
  const keeps = retentionDays ? `keeps points for ${retentionDays} days` : 'keeps points for ever';
  if (!known) {
    const made = await asking(url, `create bucket "${name}"`, 'write:buckets', () =>
      buckets.postBuckets({ body: { orgID: org.id!, name, retentionRules } }),
    );
    done.push(`Created bucket "${name}"; it ${keeps}.`);
    return made;
  }
  if (retentionDays !== undefined && (known.retentionRules[0]?.everySeconds ?? 0) !== everySeconds) {
    await asking(url, `change how long bucket "${name}" keeps points`, 'write:buckets', () =>
      buckets.patchBucketsID({ bucketID: known.id!, body: { retentionRules } }),
    );
    done.push(`Bucket "${name}" ${keeps} from now on.`);
  }
  return known;
}

async function downsampleDaily(
  database: InfluxDB,
  setup: InfluxSetup,
  downsample: Downsampling,
  org: Organization,
  done: string[],
): Promise<void> {
  const { url, bucket } = setup;
  const target = downsampledBucket(bucket);
  const tasks = new TasksAPI(database);
  const name = `plumbline: downsample ${bucket}`;
  const copy = copyFlux(bucket, target, org.name, downsample, catchUpDays);
  const flux = `option task = {name: ${fluxString(name)}, every: 1d}\n\n${copy}`;
  const found = await asking(url, `read the task "${name}"`, 'read:tasks', () =>
    tasks.getTasks({ orgID: org.id!, name }),
  );
  const known = found.tasks?.find((task) => task.name === name);
  if (known?.flux === flux) {
    done.push(`The task "${name}" is there already.`);
    return;
  }
  // Copies the past first; the task continues where this ends.
  const queries = new InfluxDB({ url, token: setup.adminToken, timeout: copyTimeoutMs }).getQueryApi(org.name);
  await asking(url, `copy from bucket "${bucket}" to "${target}"`, 'read:buckets and write:buckets', async () => {
    await queries.collectRows(copyFlux(bucket, target, org.name, downsample, null), () => undefined);
  });
  await asking(url, `write the task "${name}"`, 'write:tasks', () =>
    known
      ? tasks.patchTasksID({ taskID: known.id, body: { flux } })
      : tasks.postTasks({ body: { orgID: org.id!, flux } }),
  );
  done.push(
    `The task "${name}" copies mean, min and max of every ${downsample.steps} steps that are ${downsample.afterDays} days old to bucket "${target}", daily; what was older is there now.`,
  );
}

/**
 * Flux that copies points older than `afterDays` as mean, min and max (tag `aggregate`) of windows of `steps` seconds,
 * which are steps (see influx-lines.ts), and the run records unchanged. It copies whole windows at fixed places, so a
 * second copy overwrites the first.
 * @param pastDays how far back it copies; `null` for everything
 */
function copyFlux(
  bucket: string,
  target: string,
  org: string,
  { afterDays, steps }: Downsampling,
  pastDays: number | null,
): string {
  const to = `to(bucket: ${fluxString(target)}, org: ${fluxString(org)})`;
  const aggregates = ['mean', 'min', 'max'].map(
    (aggregate) => `metrics() |> window(every: ${steps}s) |> ${aggregate}() |> duplicate(column: "_start", as: "_time")
  |> window(every: inf) |> set(key: "aggregate", value: "${aggregate}") |> ${to} |> yield(name: "${aggregate}")`,
  );
  const start = pastDays === null ? '1970-01-01T00:00:00Z' : `daysAgo(days: ${afterDays + pastDays})`;
  return `width = ${steps} * 1000000000
daysAgo = (days) => {
  at = int(v: now()) - days * ${daySeconds} * 1000000000
  return time(v: at - at % width)
}
old = () => from(bucket: ${fluxString(bucket)}) |> range(start: ${start}, stop: daysAgo(days: ${afterDays}))
metrics = () => old() |> filter(fn: (r) => r._measurement !~ /^plumbline/ and r._field !~ /:nonfinite$/)

${aggregates.join('\n')}
old() |> filter(fn: (r) => r._measurement == "plumbline.run") |> ${to} |> yield(name: "runs")
`;
}

/** Turns the 404 of a list for an unknown name into null. */
async function orNone<T>(asked: Promise<T>, none: T): Promise<T> {
  return asked.catch((error: unknown) => {
    if (error instanceof HttpError && error.statusCode === 404) return none;
    throw error;
  });
}

/** Sends a request to InfluxDB; a refusal becomes a message that names what is missing. */
async function asking<T>(url: string, what: string, permission: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    if (!(error instanceof HttpError))
      throw new InfluxSetupError(
        `InfluxDB at ${url} does not answer. Start it, or name another with --url. (${said})`,
        {
          cause: error,
        },
      );
    const answer = `${error.statusCode} ${said}`;
    const refused = error.statusCode === 401 || error.statusCode === 403 || /unauthorized|forbidden/.test(said);
    if (refused && /unauthorized access/.test(said))
      throw new InfluxSetupError(
        `InfluxDB at ${url} does not know the admin token. Give one that it does in PLUMBLINE_INFLUX_ADMIN_TOKEN: \`influx auth list\` shows them. (${answer})`,
        { cause: error },
      );
    if (refused)
      throw new InfluxSetupError(
        `The admin token may not ${what}: it lacks the permission ${permission}. Give an all-access token in PLUMBLINE_INFLUX_ADMIN_TOKEN, or have it done by somebody who may. (${answer})`,
        { cause: error },
      );
    throw new InfluxSetupError(`InfluxDB at ${url} could not ${what}. (${answer})`, { cause: error });
  }
}

/** Writes a file that only its owner can read, from its first moment. */
function keep(path: string, token: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(`${path}.writing`, `${token}\n`, { mode: 0o600 });
  renameSync(`${path}.writing`, path);
}
