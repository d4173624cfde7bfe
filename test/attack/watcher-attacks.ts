import type { Attack } from './attack.js';
import { firstOf } from './attack.js';
import { BusyTrainer } from './busy-trainer.js';
import { neither } from './hostile-trainer.js';
import { inLanes, RawSocket } from './raw-clients.js';
import type { Victim } from './victim.js';

/* Strangers who watch one busy run, each by a selection of series of its own. */

const namespace = '/dashboard';
const watchers = 250;
const seriesOfRun = Array.from({ length: 215 }, (_, i) => `drift/language_model.layers.${i}.mlp.up_proj`);
const busyMs = 8000;
const stepsPerBatch = 10;

const watchedBy = (what: string, series: (watcher: number) => readonly string[]): Attack => ({
  name: `watchers: ${watchers} of one run, each with ${what}`,
  run: async (victim: Victim) => {
    const trainer = await BusyTrainer.start(victim, seriesOfRun);
    const { runId } = trainer;
    const sockets = await inLanes(watchers, 25, async () => {
      const socket = await RawSocket.open(victim.port);
      await socket.join(namespace);
      return socket;
    });
    const watch = (i: number) => sockets[i]!.ask(namespace, 'watch', JSON.stringify({ runId, series: series(i) }));
    const replies = await inLanes(watchers, 25, watch);
    let fault: string | null = null;
    for (const endMs = performance.now() + busyMs; !fault && performance.now() < endMs;)
      fault = await trainer.send(stepsPerBatch);
    sockets.forEach((socket) => socket.close());
    trainer.close();
    return firstOf(...replies.map(neither), fault);
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
