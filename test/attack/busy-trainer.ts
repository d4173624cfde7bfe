import { newId } from './attacked-run.js';
import { HostileTrainer } from './hostile-trainer.js';
import type { Victim } from './victim.js';

/** An honest trainer that sends values of many series as fast as they are acknowledged, in a run of its own. */
export class BusyTrainer {
  #seq = 2;

  private constructor(
    readonly victim: Victim,
    readonly trainer: HostileTrainer,
    readonly runId: string,
    readonly series: readonly string[],
  ) {}

  static async start(victim: Victim, series: readonly string[]): Promise<BusyTrainer> {
    const [trainer, runId] = [await HostileTrainer.open(victim), newId()];
    await trainer.attach(runId);
    const [started] = trainer.whole();
    await trainer.events([started, trainer.declares(2, series)]);
    return new BusyTrainer(victim, trainer, runId, series);
  }

  /**
   * Sends a batch and waits for its acknowledgement; the victim counts the wait.
   * @returns the fault, or null
   */
  async send(steps: number): Promise<string | null> {
    const events = Array.from({ length: steps }, () => {
      const seq = ++this.#seq;
      return this.trainer.step(seq, Object.fromEntries(this.series.map((name, i) => [name, seq * i])));
    });
    const sentMs = performance.now();
    const reply = await this.trainer.events(events);
    this.victim.acknowledgedAfter(performance.now() - sentMs);
    return reply.kind === 'answer' && reply.ok ? null : `an honest batch is answered ${JSON.stringify(reply)}`;
  }

  close(): void {
    this.trainer.close();
  }
}
