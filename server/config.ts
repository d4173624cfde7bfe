import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

const here = dirname(fileURLToPath(import.meta.url));
/** The repository's root, from the sources and from the build alike. */
export const rootDir = resolve(here, here.endsWith('dist') ? '../..' : '..');

const list = z
  .string()
  .default('')
  .transform((text) =>
    text
      .split(',')
      .map((word) => word.trim())
      .filter(Boolean),
  );

/** Every setting of the hub, its name in the environment and its default. */
const Environment = z.object({
  /** Address to listen on. The default is reachable from this machine only. */
  PLUMBLINE_HOST: z.string().min(1).default('127.0.0.1'),
  PLUMBLINE_PORT: z.coerce.number().int().min(0).max(65535).default(4517),
  /** Folder of the store, checkpoints, sessions and the trainer token. */
  PLUMBLINE_DATA_DIR: z.string().min(1).default('.plumbline'),
  /** Host names beside `localhost` and plain addresses under which the hub may be asked; comma-separated. */
  PLUMBLINE_ALLOWED_HOSTS: list,
  /** Origins beside the hub's own that may speak to it, e.g. `http://localhost:3000` of a development server. */
  PLUMBLINE_ALLOWED_ORIGINS: list,
  /** How long a trainer that lost its connection has to come back before its run counts as failed. */
  PLUMBLINE_TRAINER_GRACE_MS: z.coerce.number().int().min(100).default(15_000),
  /** A command that no trainer confirms in this time expires. */
  PLUMBLINE_COMMAND_EXPIRY_MS: z.coerce.number().int().min(100).default(60_000),
  /** Built-in trainers at one time. */
  PLUMBLINE_MAX_TRAINERS: z.coerce.number().int().min(1).default(3),
  PLUMBLINE_LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'silent']).default('warn'),
});

export interface HubConfig {
  host: string;
  port: number;
  dataDir: string;
  allowedHosts: string[];
  allowedOrigins: string[];
  trainerGraceMs: number;
  commandExpiryMs: number;
  maxTrainers: number;
  logLevel: z.infer<typeof Environment>['PLUMBLINE_LOG_LEVEL'];
  /** The dashboard's static export. */
  webDir: string;
  /** The built-in trainer's program. */
  trainerEntry: string;
}

/**
 * The hub's configuration: command-line flags first, then the environment, then defaults.
 * @throws Error naming the setting that is wrong
 */
export function readConfig(
  flags: Partial<Record<keyof z.input<typeof Environment>, string | undefined>> = {},
): HubConfig {
  const given = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined));
  const parsed = Environment.safeParse({ ...process.env, ...given });
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new Error(`The setting ${issue.path.join('.')} is not valid: ${issue.message}.`);
  }
  const setting = parsed.data;
  return {
    host: setting.PLUMBLINE_HOST,
    port: setting.PLUMBLINE_PORT,
    dataDir: resolve(setting.PLUMBLINE_DATA_DIR),
    allowedHosts: setting.PLUMBLINE_ALLOWED_HOSTS,
    allowedOrigins: setting.PLUMBLINE_ALLOWED_ORIGINS,
    trainerGraceMs: setting.PLUMBLINE_TRAINER_GRACE_MS,
    commandExpiryMs: setting.PLUMBLINE_COMMAND_EXPIRY_MS,
    maxTrainers: setting.PLUMBLINE_MAX_TRAINERS,
    logLevel: setting.PLUMBLINE_LOG_LEVEL,
    webDir: resolve(rootDir, 'web/out'),
    trainerEntry: resolve(rootDir, 'server/dist/trainer/main.js'),
  };
}
