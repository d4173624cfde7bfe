import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { watchSettings, type WatchSetting } from './access/may-watch.js';
import { closestName } from '@plumbline/shared/closest-name';
import { worldGridIntensity, type EnergySettings } from '@plumbline/shared/energy';
import { planMemory, type MemoryPlan } from './memory-plan.js';
import { UsageError } from './usage-error.js';

const here = dirname(fileURLToPath(import.meta.url));
/** The repository's root, found from the sources as well as from the build. */
export const rootDir = resolve(here, here.endsWith('dist') ? '../..' : '..');

/** The default data folder, relative to the current folder. */
export const defaultDataDir = '.plumbline';

const list = z
  .string()
  .default('')
  .transform((text) =>
    text
      .split(',')
      .map((word) => word.trim())
      .filter(Boolean),
  );

/** Node's timers fire at once above 2^31 - 1 ms. */
const milliseconds = z.coerce
  .number()
  .int()
  .min(100)
  .max(2 ** 31 - 1);

/** A number that may have a fraction; an empty string is invalid. */
const decimal = z.string().trim().min(1).transform(Number);

/** All settings of the hub, with their names in the environment and their defaults. */
const Environment = z.object({
  /** Address to listen on. The default is reachable from this machine only. */
  PLUMBLINE_HOST: z.string().min(1).default('127.0.0.1'),
  PLUMBLINE_PORT: z.coerce.number().int().min(0).max(65535).default(4517),
  /** Folder of the store, checkpoints, sessions and the trainer token. */
  PLUMBLINE_DATA_DIR: z.string().min(1).default(defaultDataDir),
  /** `embedded` (a file in the data folder) or `influx` (an InfluxDB 2 server). */
  PLUMBLINE_STORE: z.enum(['embedded', 'influx']).default('embedded'),
  PLUMBLINE_INFLUX_URL: z.url({ protocol: /^https?$/ }).default('http://127.0.0.1:8086'),
  PLUMBLINE_INFLUX_ORG: z.string().min(1).default('plumbline'),
  PLUMBLINE_INFLUX_BUCKET: z.string().min(1).default('plumbline'),
  /** Token that reads and writes the bucket; by default the file `influx-token` beside the trainer token, from influx-setup. */
  PLUMBLINE_INFLUX_TOKEN: z.string().optional(),
  /** How much may wait on this machine's disk for InfluxDB; beyond that trainers wait. */
  PLUMBLINE_SPOOL_MAX_MB: z.coerce.number().int().min(16).default(4096),
  /** Redis that connects the hubs on one InfluxDB, e.g. `redis://127.0.0.1:6379`; without it a hub is alone. */
  PLUMBLINE_REDIS_URL: z.url({ protocol: /^rediss?$/ }).optional(),
  /** Folder of sessions and the trainer token, shared by all hubs behind one address; by default the data folder. */
  PLUMBLINE_ACCESS_DIR: z.string().min(1).optional(),
  /** Address at which built-in trainers find a hub, e.g. the proxy in front of several; by default the hub that starts them. */
  PLUMBLINE_TRAINER_HUB_URL: z.url({ protocol: /^https?$/ }).optional(),
  /** Address at which browsers find the hub, e.g. a proxy: one-time links begin with it. By default the hub's own address. */
  PLUMBLINE_PUBLIC_URL: z.url({ protocol: /^https?$/ }).optional(),
  /** Who may watch: `open` for everybody who reaches the port, `session` only after opening a link or with the trainer token. */
  PLUMBLINE_WATCH: z.enum(watchSettings).default('open'),
  /** Trusted proxies in front of the hub: their headers say where a request comes from. */
  PLUMBLINE_TRUSTED_PROXIES: z.coerce.number().int().min(0).max(10).default(0),
  /** Host names that requests may use besides `localhost` and plain addresses; comma-separated. */
  PLUMBLINE_ALLOWED_HOSTS: list,
  /** Allowed origins besides the hub's own, e.g. `http://localhost:3000` of a development server. */
  PLUMBLINE_ALLOWED_ORIGINS: list,
  /** How long a trainer that lost its connection has to come back before its run counts as failed. */
  PLUMBLINE_TRAINER_GRACE_MS: milliseconds.default(15_000),
  /**
   * A connection of a trainer or a browser counts as lost after this time of silence, also to pings. A process that is
   * blocked by a step or a checkpoint is as silent as a machine without network, so blocks may last this long.
   */
  PLUMBLINE_TRAINER_SILENCE_MS: milliseconds.default(120_000),
  /** A command expires if no trainer confirms it within this time. */
  PLUMBLINE_COMMAND_EXPIRY_MS: milliseconds.default(60_000),
  /** Most built-in trainers at a time. */
  PLUMBLINE_MAX_TRAINERS: z.coerce.number().int().min(1).default(3),
  /** Emissions of the electricity of built-in trainers, g CO2e/kWh. The default is a world average; see docs/energy.md. */
  PLUMBLINE_GRID_INTENSITY: decimal.pipe(z.number().min(0).max(3000)).default(worldGridIntensity),
  /** Power usage effectiveness: energy of the building per joule of its computers. */
  PLUMBLINE_PUE: decimal.pipe(z.number().min(1).max(5)).default(1),
  /** Watts of one busy core of this machine, where they cannot be measured; by default from the power model. */
  PLUMBLINE_WATTS_PER_CORE: decimal.pipe(z.number().positive().max(1000)).optional(),
  /** Secret that signs the webhook messages of rules; without it rules cannot notify. */
  PLUMBLINE_WEBHOOK_SECRET: z
    .string()
    .refine((secret) => secret === '' || secret.length >= 16, 'it has at least 16 characters')
    .optional(),
  /**
   * Hosts that rules may notify, comma-separated: `hooks.example.org`, with a port if it is not the scheme's default. Anyone
   * who may control a run chooses the address, so the hub calls no other host.
   */
  PLUMBLINE_WEBHOOK_HOSTS: list,
  /** Memory limit of the hub's process in MiB; docs/operations.md says how it is divided. */
  PLUMBLINE_MEMORY_MB: z.coerce.number().int().min(384).default(1024),
  /** Longest time that stopping takes: then everything still open is ended. */
  PLUMBLINE_SHUTDOWN_LIMIT_MS: milliseconds.default(25_000),
  /** Log level: by default problems only at a terminal, also events for a log collector. */
  PLUMBLINE_LOG_LEVEL: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent'])
    .default(process.stderr.isTTY ? 'warn' : 'info'),
});

/** Settings of `plumbline influx-setup` besides the hub's. */
const SetupEnvironment = Environment.pick({
  PLUMBLINE_DATA_DIR: true,
  PLUMBLINE_ACCESS_DIR: true,
  PLUMBLINE_INFLUX_URL: true,
  PLUMBLINE_INFLUX_ORG: true,
  PLUMBLINE_INFLUX_BUCKET: true,
}).extend({
  /** Token that may create organisations, buckets and tokens; used by influx-setup only and stored nowhere. */
  PLUMBLINE_INFLUX_ADMIN_TOKEN: z.string().min(1).optional(),
  /** The first user of a server that has none yet. */
  PLUMBLINE_INFLUX_USERNAME: z.string().min(1).optional(),
  PLUMBLINE_INFLUX_PASSWORD: z.string().min(8).optional(),
});

/** The configured store. */
export type StoreConfig =
  | { kind: 'embedded' }
  | { kind: 'influx'; url: string; org: string; bucket: string; token: string; maxSpoolBytes: number };

export interface HubConfig {
  host: string;
  port: number;
  dataDir: string;
  store: StoreConfig;
  redisUrl: string | null;
  /** Folder of sessions and the trainer token, if not the data folder. */
  accessDir: string | null;
  trainerHubUrl: string | null;
  publicUrl: string | null;
  watch: WatchSetting;
  trustedProxies: number;
  allowedHosts: string[];
  allowedOrigins: string[];
  trainerGraceMs: number;
  trainerSilenceMs: number;
  commandExpiryMs: number;
  maxTrainers: number;
  webhooks: { secret: string | null; hosts: string[] };
  memory: MemoryPlan;
  shutdownLimitMs: number;
  /** For built-in trainers. */
  energy: EnergySettings;
  logLevel: z.infer<typeof Environment>['PLUMBLINE_LOG_LEVEL'];
  /** The dashboard's static export. */
  webDir: string;
  /** The built-in trainer's program. */
  trainerEntry: string;
}

/**
 * The hub's configuration: command-line flags first, then the environment, then defaults.
 * @throws UsageError naming the setting that is wrong
 */
export function readConfig(
  flags: Partial<Record<keyof z.input<typeof Environment>, string | undefined>> = {},
): HubConfig {
  const setting = read(Environment, flags);
  return {
    host: setting.PLUMBLINE_HOST,
    port: setting.PLUMBLINE_PORT,
    dataDir: resolve(setting.PLUMBLINE_DATA_DIR),
    store: storeConfig(setting),
    redisUrl: redisUrl(setting),
    accessDir: setting.PLUMBLINE_ACCESS_DIR === undefined ? null : resolve(setting.PLUMBLINE_ACCESS_DIR),
    watch: setting.PLUMBLINE_WATCH,
    trustedProxies: setting.PLUMBLINE_TRUSTED_PROXIES,
    trainerHubUrl: setting.PLUMBLINE_TRAINER_HUB_URL ?? null,
    publicUrl: setting.PLUMBLINE_PUBLIC_URL?.replace(/\/+$/, '') ?? null,
    allowedHosts: setting.PLUMBLINE_ALLOWED_HOSTS.map((host) => host.toLowerCase()),
    allowedOrigins: setting.PLUMBLINE_ALLOWED_ORIGINS,
    trainerGraceMs: setting.PLUMBLINE_TRAINER_GRACE_MS,
    trainerSilenceMs: setting.PLUMBLINE_TRAINER_SILENCE_MS,
    commandExpiryMs: setting.PLUMBLINE_COMMAND_EXPIRY_MS,
    maxTrainers: setting.PLUMBLINE_MAX_TRAINERS,
    webhooks: {
      secret: setting.PLUMBLINE_WEBHOOK_SECRET || null,
      hosts: setting.PLUMBLINE_WEBHOOK_HOSTS.map((host) => host.toLowerCase()),
    },
    memory: planMemory(setting.PLUMBLINE_MEMORY_MB),
    shutdownLimitMs: setting.PLUMBLINE_SHUTDOWN_LIMIT_MS,
    energy: {
      gridIntensity: setting.PLUMBLINE_GRID_INTENSITY,
      powerUsageEffectiveness: setting.PLUMBLINE_PUE,
      wattsPerCore: setting.PLUMBLINE_WATTS_PER_CORE ?? null,
    },
    logLevel: setting.PLUMBLINE_LOG_LEVEL,
    webDir: resolve(rootDir, 'web/out'),
    trainerEntry: resolve(rootDir, 'server/dist/trainer/main.js'),
  };
}

const prefix = 'PLUMBLINE_';

/**
 * Unknown settings in the environment that resemble known ones: a misspelt setting would silently keep its default. Others
 * may belong to other programs.
 * @returns a sentence for each
 */
export function misspeltSettings(environment: NodeJS.ProcessEnv = process.env): string[] {
  const known = Object.keys({ ...Environment.shape, ...SetupEnvironment.shape }).map((name) =>
    name.slice(prefix.length),
  );
  return Object.keys(environment).flatMap((name) => {
    const bare = name.slice(prefix.length);
    if (!name.startsWith(prefix) || known.includes(bare)) return [];
    const meant = closestName(bare, known);
    return meant === null ? [] : [`There is no setting ${name}; did you mean ${prefix}${meant}?`];
  });
}

export interface InfluxSetupConfig {
  url: string;
  org: string;
  bucket: string;
  /** File for the hub's token. */
  tokenFile: string;
  adminToken: string | undefined;
  username: string | undefined;
  password: string | undefined;
}

/**
 * The settings of `plumbline influx-setup`: flags first, then the environment, then defaults.
 * @throws UsageError naming the setting that is wrong
 */
export function readInfluxSetupConfig(
  flags: Partial<Record<keyof z.input<typeof SetupEnvironment>, string | undefined>> = {},
): InfluxSetupConfig {
  const setting = read(SetupEnvironment, flags);
  return {
    url: setting.PLUMBLINE_INFLUX_URL,
    org: setting.PLUMBLINE_INFLUX_ORG,
    bucket: setting.PLUMBLINE_INFLUX_BUCKET,
    tokenFile: influxTokenFile(resolve(setting.PLUMBLINE_ACCESS_DIR ?? setting.PLUMBLINE_DATA_DIR)),
    adminToken: setting.PLUMBLINE_INFLUX_ADMIN_TOKEN,
    username: setting.PLUMBLINE_INFLUX_USERNAME,
    password: setting.PLUMBLINE_INFLUX_PASSWORD,
  };
}

function read<T extends z.ZodType>(settings: T, flags: Record<string, string | undefined>): z.output<T> {
  const given = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined));
  const parsed = settings.safeParse({ ...process.env, ...given });
  if (parsed.success) return parsed.data;
  const name = String(parsed.error.issues[0]!.path[0]);
  const value = given[name] ?? process.env[name];
  // Named as it was given: by the flag or by the environment variable.
  const setting = name in given ? `--${name.replace('PLUMBLINE_', '').toLowerCase().replaceAll('_', '-')}` : name;
  throw new UsageError(`${setting} cannot be ${shown(name, value)}: ${explain(parsed.error.issues[0]!)}.`);
}

/** A value that may be logged: no secrets, and no user and password of a URL. */
function shown(name: string, value: string | undefined): string {
  if (/_(SECRET|PASSWORD|TOKEN)$/.test(name)) return 'what was given';
  return `"${value?.replace(/^([a-z]+:\/*)?.*@/i, '$1…@')}"`;
}

/** The token file of `plumbline influx-setup`: in the folder of secrets, or in the data folder. */
export const influxTokenFile = (folder: string): string => join(folder, 'influx-token');

function storeConfig(setting: z.infer<typeof Environment>): StoreConfig {
  return setting.PLUMBLINE_STORE === 'embedded' ? { kind: 'embedded' } : influx(setting);
}

/** The InfluxDB of the environment, whichever store the hub itself uses. */
export function influxStoreConfig(dataDir: string): StoreConfig {
  return influx(Environment.parse({ ...process.env, PLUMBLINE_DATA_DIR: dataDir }));
}

function influx(setting: z.infer<typeof Environment>): StoreConfig {
  const path = influxTokenFile(resolve(setting.PLUMBLINE_ACCESS_DIR ?? setting.PLUMBLINE_DATA_DIR));
  const token = setting.PLUMBLINE_INFLUX_TOKEN ?? (existsSync(path) ? readFileSync(path, 'utf8').trim() : '');
  if (!token)
    throw new UsageError(
      'InfluxDB needs a token: run `npm run plumbline -- influx-setup` once, or set PLUMBLINE_INFLUX_TOKEN.',
    );
  return {
    kind: 'influx',
    url: setting.PLUMBLINE_INFLUX_URL,
    org: setting.PLUMBLINE_INFLUX_ORG,
    bucket: setting.PLUMBLINE_INFLUX_BUCKET,
    token,
    maxSpoolBytes: setting.PLUMBLINE_SPOOL_MAX_MB * 2 ** 20,
  };
}

function redisUrl(setting: z.infer<typeof Environment>): string | null {
  if (setting.PLUMBLINE_REDIS_URL && setting.PLUMBLINE_STORE !== 'influx')
    throw new UsageError('PLUMBLINE_REDIS_URL joins hubs that share a store: set PLUMBLINE_STORE=influx too.');
  return setting.PLUMBLINE_REDIS_URL ?? null;
}

/** A validation message for people. */
function explain(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type') return `it has to be a ${issue.expected === 'int' ? 'whole number' : 'number'}`;
  if (issue.code === 'too_small' && issue.origin === 'string')
    return issue.minimum === 1 ? 'it is empty' : `it has at least ${issue.minimum} characters`;
  if (issue.code === 'too_small') return `it is ${issue.inclusive ? 'at least' : 'above'} ${issue.minimum}`;
  if (issue.code === 'too_big') return `it is at most ${issue.maximum}`;
  if (issue.code === 'invalid_value') return `it is one of ${issue.values.join(', ')}`;
  return issue.message;
}
