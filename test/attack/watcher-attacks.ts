import type { Attack } from './attack.js';
import { firstOf } from './attack.js';
import { newId } from './attacked-run.js';
import { HostileTrainer, neither } from './hostile-trainer.js';
import { inLanes, RawSocket } from './raw-clients.js';
import type { Victim } from './victim.js';

/* Strangers who watch one busy run, each by a selection of series of its own. */

const namespace = '/dashboard';
const watchers = 250;
const seriesOfRun = Array.from({ length: 215 }, (_, i) => `drift/language_model.layers.${i}.mlp.up_proj`);
const busyMs = 8000;
const eventsPerBatch = 10;
/** Of the honest trainer, while they watch. */
const maxAnswerMs = 1500;

/** A trainer that sends one batch after another, as soon as each is answered. @returns how long the slowest took, in ms */
async function trainBusily(trainer: HostileTrainer): Promise<number | string> {
  let [seq, slowestMs] = [2, 0];
  for (const endMs = performance.now() + busyMs; performance.now() < endMs;) {
    const metrics = Object.fromEntries(seriesOfRun.map((name, i) => [name, seq * i]));
    const events = Array.from({ length: eventsPerBatch }, () => trainer.step(++seq, metrics));
    const sentMs = performance.now();
    const reply = await trainer.events(events);
    if (reply.kind !== 'answer' || !reply.ok) return `an honest batch is answered ${JSON.stringify(reply)}`;
    slowestMs = Math.max(slowestMs, performance.now() - sentMs);
  }
  return slowestMs;
}

const watchedBy = (what: string, series: (watcher: number) => readonly string[]): Attack => ({
  name: `watchers: ${watchers} of one run, each with ${what}`,
  run: async (victim: Victim) => {
    const [trainer, runId] = [await HostileTrainer.open(victim), newId()];
    await trainer.attach(runId);
    const [started] = trainer.whole();
    await trainer.events([started, trainer.declares(2, seriesOfRun)]);
    const sockets = await inLanes(watchers, 25, async () => {
      const socket = await RawSocket.open(victim.port);
      await socket.join(namespace);
      return socket;
    });
    const watch = (i: number) => sockets[i]!.ask(namespace, 'watch', JSON.stringify({ runId, series: series(i) }));
    const replies = await inLanes(watchers, 25, watch);
    const slowest = await trainBusily(trainer);
    sockets.forEach((socket) => socket.close());
    trainer.close();
    return firstOf(
      ...replies.map(neither),
      typeof slowest === 'string' && slowest,
      Number(slowest) > maxAnswerMs && `the trainer waited ${Math.round(Number(slowest))} ms for an answer`,
    );
  },
});

export const watcherAttacks: Attack[] = [
  watchedBy('500 groups of its own that there are not', (watcher) =>
    Array.from({ length: 500 }, (_, i) => `none/${watcher}/${i}/*`),
  ),
  watchedBy('20 groups of its own that there are not', (watcher) =>
    Array.from({ length: 20 }, (_, i) => `none/${watcher}/${i}/*`),
  ),
  watchedBy('all series but one', (watcher) => seriesOfRun.filter((_, i) => i !== watcher % seriesOfRun.length)),
];
