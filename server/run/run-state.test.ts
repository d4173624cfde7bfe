import { describe, expect, it } from 'vitest';
import { hasEnded, runStates, type RunSummary } from '@plumbline/shared/run';
import { isControlEvent, TrainerEvent, type ControlEvent } from '@plumbline/shared/trainer-event';
import { refusalReason } from './command-states.js';
import { afterEvent, nextState, summaryTypes, type StateChange } from './run-state.js';

describe('run states', () => {
  it.each([
    ['created', 'run_started', 'running'],
    ['created', 'run_finished', 'finished'],
    ['created', 'trainer_lost', 'failed'],
    ['running', 'run_paused', 'paused'],
    ['running', 'run_finished', 'finished'],
    ['running', 'run_stopped', 'stopped'],
    ['paused', 'run_resumed', 'running'],
    ['paused', 'run_stopped', 'stopped'],
    ['paused', 'trainer_lost', 'failed'],
    // What means nothing in a state leaves it.
    ['running', 'run_resumed', 'running'],
    ['paused', 'checkpoint_saved', 'paused'],
  ] as const)('%s, %s -> %s', (state, change, next) => expect(nextState(state, change)).toBe(next));

  it('an ended run keeps its state, whatever comes', () => {
    const changes: StateChange[] = ['run_started', 'run_resumed', 'run_failed', 'trainer_lost', 'run_finished'];
    for (const state of runStates.filter(hasEnded))
      for (const change of changes) expect(nextState(state, change)).toBe(state);
  });
});

describe('a summary', () => {
  const others = TrainerEvent.options
    .map(({ shape }) => ({
      ...{ type: shape.type.value, seq: 7, step: 7, wallTimeMs: 7 },
      ...('reason' in shape && { reason: 'other' }),
    }))
    .filter((event) => isControlEvent(event) && !(summaryTypes as readonly string[]).includes(event.type));

  it.each(others)('stays the same at $type', (event) => {
    for (const state of runStates) {
      const run = { state, reason: 'before', endedMs: null } as RunSummary;
      expect(afterEvent(run, event as unknown as ControlEvent)).toEqual(run);
    }
  });
});

describe('what a state allows', () => {
  it.each([
    ['pause', 'running', true],
    ['pause', 'paused', false],
    ['resume', 'paused', true],
    ['resume', 'running', false],
    ['step_once', 'paused', true],
    ['step_once', 'running', false],
    ['set_trainable', 'paused', true],
    ['set_learning_rate', 'running', true],
    ['restore_checkpoint', 'paused', true],
    ['restore_checkpoint', 'created', false],
    ['save_checkpoint', 'finished', false],
    ['evaluate_now', 'stopped', false],
    ['stop', 'failed', false],
    ['stop', 'created', true],
  ] as const)('%s while %s: %s', (kind, state, allowed) => {
    const reason = refusalReason(kind, state, true);
    if (allowed) expect(reason).toBeNull();
    else expect(reason).toMatch(/\w{3}/);
  });

  it('an ended run names a way on from its checkpoints that its trainer has', () => {
    expect(refusalReason('restore_checkpoint', 'failed', true)).toMatch(/start a new run from it instead/);
    const foreign = refusalReason('restore_best_checkpoint', 'finished', false);
    expect(foreign).toMatch(/^The run has ended \(finished\)\. .*if it saved any.*with its trainer.*`parent`/);
    expect(foreign).not.toMatch(/new run/);
  });
});
