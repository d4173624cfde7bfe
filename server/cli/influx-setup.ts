import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import type { Command } from 'commander';
import { readInfluxSetupConfig } from '../config.js';
import { InfluxSetupError, isFresh, setUpFresh, setUpInflux, tokenProblem } from '../store/influx-setup.js';
import { say } from '../terminal.js';
import { wholeNumber } from './whole-number.js';

interface SetupFlags {
  url?: string;
  org?: string;
  bucket?: string;
  dataDir?: string;
  username?: string;
  password?: string;
  retentionDays?: number;
  downsampleAfterDays?: number;
  downsampleSteps?: number;
}

/** `plumbline influx-setup`. */
export function addInfluxSetupCommand(program: Command): void {
  program
    .command('influx-setup')
    .description('create the organisation, the bucket and the token that a hub with PLUMBLINE_STORE=influx needs')
    .option('--url <url>', 'address of the server (PLUMBLINE_INFLUX_URL, http://127.0.0.1:8086)')
    .option('--org <name>', 'organisation (PLUMBLINE_INFLUX_ORG, plumbline)')
    .option('--bucket <name>', 'bucket (PLUMBLINE_INFLUX_BUCKET, plumbline)')
    .option('--data-dir <folder>', 'data folder of the hub, where its token goes (PLUMBLINE_DATA_DIR, .plumbline)')
    .option('--username <name>', 'first user of a fresh server (PLUMBLINE_INFLUX_USERNAME; asked for otherwise)')
    .option('--password <text>', 'that user’s password (better in PLUMBLINE_INFLUX_PASSWORD; asked for otherwise)')
    .option('--retention-days <number>', 'let InfluxDB delete points that are older; 0 keeps them', wholeNumber(0))
    .option('--downsample-after-days <number>', 'copy what is older, thinned, to <bucket>-downsampled', wholeNumber(1))
    .option('--downsample-steps <number>', 'steps that become one mean, minimum and maximum there', wholeNumber(2))
    .addHelpText(
      'after',
      '\nA server that has users already needs a token that may create these: PLUMBLINE_INFLUX_ADMIN_TOKEN. It is not kept.',
    )
    .action(setUp);
}

async function setUp(flags: SetupFlags): Promise<void> {
  const config = readInfluxSetupConfig({
    PLUMBLINE_INFLUX_URL: flags.url,
    PLUMBLINE_INFLUX_ORG: flags.org,
    PLUMBLINE_INFLUX_BUCKET: flags.bucket,
    PLUMBLINE_DATA_DIR: flags.dataDir,
    PLUMBLINE_INFLUX_USERNAME: flags.username,
    PLUMBLINE_INFLUX_PASSWORD: flags.password,
  });
  const { retentionDays, downsampleAfterDays: afterDays, downsampleSteps: steps } = flags;
  if ((afterDays === undefined) !== (steps === undefined))
    throw new InfluxSetupError('Give --downsample-after-days and --downsample-steps together.');
  if (retentionDays && afterDays !== undefined && afterDays >= retentionDays)
    throw new InfluxSetupError('--downsample-after-days has to be less than --retention-days: it would find nothing.');
  const downsample = afterDays !== undefined && steps !== undefined ? { afterDays, steps } : undefined;

  let { adminToken } = config;
  if (await isFresh(config)) {
    const username = config.username ?? (await ask('User name of the first user of InfluxDB: '));
    const password = config.password ?? (await ask('Password, 8 characters or more: ', true));
    adminToken = await setUpFresh(config, { username, password });
    say(`InfluxDB at ${config.url} has its first user, "${username}", with all permissions.`);
  }
  if (adminToken === undefined) {
    // A second call has nothing to do and needs no admin token.
    const asksForMore = retentionDays !== undefined || downsample !== undefined;
    const problem = await tokenProblem(config, config.tokenFile);
    if (problem !== null || asksForMore)
      throw new InfluxSetupError(
        `InfluxDB at ${config.url} is set up already: give an all-access token in PLUMBLINE_INFLUX_ADMIN_TOKEN.${problem === null ? '' : ` (${problem})`}`,
      );
    say(`The token in ${config.tokenFile} reads and writes bucket "${config.bucket}". Nothing to do.`);
    return;
  }
  for (const line of await setUpInflux({ ...config, adminToken, retentionDays, downsample })) say(line);
  say('Start the hub with PLUMBLINE_STORE=influx and the same --data-dir.');
}

async function ask(question: string, hidden = false): Promise<string> {
  if (!process.stdin.isTTY)
    throw new InfluxSetupError(
      'The server is fresh: give its first user in PLUMBLINE_INFLUX_USERNAME and PLUMBLINE_INFLUX_PASSWORD.',
    );
  process.stdout.write(question);
  const output = hidden ? new Writable({ write: (_chunk, _encoding, done) => done() }) : process.stdout;
  const lines = createInterface({ input: process.stdin, output, terminal: true });
  try {
    return await lines.question('');
  } finally {
    lines.close();
    if (hidden) process.stdout.write('\n');
  }
}
