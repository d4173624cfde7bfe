import type { ModelInfo, TrainableSelection } from '@plumbline/shared/parameter';
import { eventsInForce } from '@plumbline/shared/segments';
import type { ControlEvent } from '@plumbline/shared/trainer-event';

/** What a run trains now. */
export interface CurrentTraining {
  model: ModelInfo;
  selection: TrainableSelection;
  /** Names of the trained tensors. */
  trainable: readonly string[];
}

/**
 * What a run trains now, by the events that no later segment has undone.
 * @param events all of the run's control events, ascending by seq
 * @returns null before the run has started
 */
export function currentTraining(events: readonly ControlEvent[]): CurrentTraining | null {
  const started = events.findLast((event) => event.type === 'run_started');
  if (!started) return null;
  const { selection, trainable } =
    eventsInForce(events).findLast((event) => event.type === 'run_started' || event.type === 'trainable_changed') ??
    started;
  return { model: started.model, selection, trainable };
}
