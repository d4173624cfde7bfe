'use client';
import { useState } from 'react';
import type { AskedAction, CommandId, CommandRecord } from '@plumbline/shared/command';
import { useConnection, useReadOnlyReason } from '../../lib/use-hub';
import { useRun } from '../live/use-run';

export interface CommandControl {
  give: (action: AskedAction) => void;
  /** The last command given with this control, as far as it has come. */
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

/** Why commands are off altogether; empty where they are on. */
export function useControlsOff(): string {
  const { store } = useRun();
  const readOnlyReason = useReadOnlyReason();
  const connection = useConnection();
  if (readOnlyReason) return readOnlyReason;
  if (connection.state === 'down') return 'The hub is not reachable; controls work again when it is back.';
  const run = store.runSummary;
  if (!run) return 'The run is being loaded.';
  if (run.state === 'created') return 'The run is starting; controls work once the trainer is connected.';
  if (run.state === 'finished' || run.state === 'stopped' || run.state === 'failed')
    return 'This run has ended. A checkpoint can be continued as a branch.';
  return '';
}
