'use client';
import { useEffect, useState } from 'react';
import type { AskedAction, CommandId, CommandRecord } from '@plumbline/shared/command';
import { hasEnded } from '@plumbline/shared/run';
import { checkpointsOf } from '@plumbline/shared/segments';
import { useConnection, useReadOnlyReason } from '../../lib/use-hub';
import { useRun } from '../live/use-run';
import { controlsOffWords } from './controls-off';
import { untilOverdueMs } from './overdue-stop';

export interface CommandControl {
  give: (action: AskedAction) => void;
  /** The last command of this control, with its current state. */
  record: CommandRecord | undefined;
  isPending: boolean;
}

/** One control's commands: gives them and follows the last one from pending to its end. */
export function useCommand(): CommandControl {
  const { runId, store, desk } = useRun();
  const [last, setLast] = useState<CommandId | null>(null);
  const record = last ? store.commandRecords.get(last) : undefined;
  return { give: (action) => setLast(desk.give(runId, action)), record, isPending: record?.state === 'pending' };
}

/** Why all commands are off; empty if they are on. */
export function useControlsOff(): string {
  const { store } = useRun();
  const readOnlyReason = useReadOnlyReason();
  const isHubDown = useConnection().state === 'down';
  const run = store.runSummary;
  // Nothing is known of checkpoints before the run's history arrives.
  const isRead = store.feedPhase === 'live' || store.feedPhase === 'catching_up';
  const hasCheckpoint =
    run && hasEnded(run.state) && isRead ? checkpointsOf(store.controlEvents).length > 0 : undefined;
  return readOnlyReason || controlsOffWords(run, isHubDown, hasCheckpoint);
}

/** Whether a stop or the trainer's connection is overdue: the run may be ended without its trainer. */
export function useStopOverdue(): boolean {
  const { store } = useRun();
  const [, setNowMs] = useState(0);
  const waitMs = untilOverdueMs(store.commandRecords.values(), Date.now(), store.runSummary);
  const isWaiting = waitMs > 0 && Number.isFinite(waitMs);
  useEffect(() => {
    if (!isWaiting) return;
    const timer = setTimeout(() => setNowMs(Date.now()), waitMs);
    return () => clearTimeout(timer);
  }, [isWaiting]);
  return waitMs === 0;
}
