import { pino, type DestinationStream, type LevelWithSilent, type Logger } from 'pino';
import { hasEnded } from '@plumbline/shared/run';
import type { PublishWatch } from '../cluster/publish-watch.js';
import type { RunRegistry } from '../run/registry.js';
import type { LiveFeed } from '../socket/live-feed.js';
import type { StoreWatch } from './store-watch.js';

const secrets = ['token', 'cookie', 'authorization', 'password', 'auth'];

/** JSON lines, on standard error unless told otherwise. Nothing here logs a secret; if something does, it is struck out. */
export function createLog(level: LevelWithSilent, destination: DestinationStream = pino.destination(2)): Logger {
  const paths = secrets.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);
  return pino({ level, redact: { paths, censor: '[secret]' } }, destination);
}

/** Writes down what happens to runs, commands, clients and the store. */
export function logEvents(log: Logger, runs: RunRegistry, feed: LiveFeed, storeWatch: StoreWatch): void {
  const of = (runId: string | null) => log.child({ runId });

  runs.on('attached', (run) => of(run.runId).info({ lastSeq: run.lastSeq }, 'trainer attached'));
  runs.on('run', (run, before) => {
    if (before?.trainerConnected && !run.trainerConnected) of(run.runId).info('trainer detached');
    if (before?.state === run.state) return;
    const { state, reason, lastStep: step } = run;
    of(run.runId).info({ state, step, ...(reason && { reason }) }, hasEnded(state) ? 'run ended' : `run ${state}`);
  });
  runs.on('deleted', ({ runId }, by) => of(runId).info(by === null ? {} : { by }, 'run deleted'));
  runs.on('cleared', (runId, bytes) => of(runId).info({ bytes }, 'folder of a deleted run removed'));
  runs.on('refused', (runId, { code, message }) => {
    // A hub on its way down refuses as it should.
    of(runId)[code === 'draining' ? 'info' : 'warn']({ code, reason: message }, 'events refused');
  });
  runs.on('command', (record) => {
    const { commandId, runId, author, action, state, step, reason } = record;
    const verb = state === 'pending' ? 'given' : state;
    log
      .child({ runId, commandId })
      .info({ author, kind: action.kind, state, step, ...(reason && { reason }) }, `command ${verb}`);
  });
  feed.on('lagging', ({ runId, ...client }) => of(runId).warn(client, 'dashboard cannot keep up, left out for now'));
  storeWatch.on('failed', (operation, err) => log.error({ operation, err }, 'store failed'));
}

/** Writes down when live data stop reaching the browsers at other hubs, and when they do again. */
export function logPublishing(log: Logger, watch: PublishWatch): void {
  watch.on('began', (err) => log.error({ err }, 'Redis does not take live data for browsers at other hubs'));
  watch.on('ended', (lost) => log.warn({ lost }, 'Redis takes live data again'));
}
