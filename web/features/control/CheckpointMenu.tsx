'use client';
import { useRouter } from 'next/navigation';
import { useEffect, useRef, useState } from 'react';
import { trainerTakes } from '@plumbline/shared/taken-commands';
import { metrics } from '@plumbline/shared/metric';
import { builtInConfig } from '@plumbline/shared/built-in/described-run';
import { hasEnded, type CheckpointId } from '@plumbline/shared/run';
import { checkpointsOf } from '@plumbline/shared/segments';
import type { CheckpointSaved } from '@plumbline/shared/trainer-event';
import { formatClock, formatStep, formatValue } from '../../charts/format';
import { api } from '../../lib/api';
import { configAt } from '../../lib/changes';
import type { RunStore } from '../../lib/run-store';
import { useConnection, useReadOnlyReason } from '../../lib/use-hub';
import { stateWords } from '../../lib/words';
import { useRun } from '../live/use-run';
import { useFamilies } from '../runs/use-runs';
import { NewRunDialog } from '../runs/lazy-new-run-dialog';
import type { StartingPoint } from '../runs/NewRunDialog';
import { useControlsOff, type CommandControl } from './use-command';

/** Restores a checkpoint: a branch starts there and this page opens it. The old curves stay. */
export function CheckpointMenu({ command }: { command: CommandControl }): React.ReactNode {
  const { runId, store } = useRun();
  const router = useRouter();
  const dialog = useRef<HTMLDialogElement>(null);
  const list = useRef<HTMLUListElement>(null);
  const { give, record, isPending } = command;
  const off = useControlsOff();
  const readOnlyReason = useReadOnlyReason();
  const isHubDown = useConnection().state === 'down';
  const [from, setFrom] = useState<StartingPoint | null>(null);
  const [asked, setAsked] = useState<CheckpointSaved | null>(null);
  /** The rows of the open dialog. They are fixed, so that nothing moves under the pointer while checkpoints come and go. */
  const [listed, setListed] = useState<readonly CheckpointSaved[]>([]);
  /** Checkpoints of an ended run that no new run can start from here: those of an imported run lie where it was trained. */
  const [elsewhere, setElsewhere] = useState<ReadonlySet<CheckpointId>>(new Set());
  const [problem, setProblem] = useState('');
  const close = (): void => {
    dialog.current?.close();
    setAsked(null);
  };
  /** The pressed button disappears: the list takes the focus. */
  const askNoMore = (): void => {
    setAsked(null);
    list.current?.focus();
  };
  const run = store.runSummary;
  const ended = run ? hasEnded(run.state) : false;
  const config = run && builtInConfig(run.description);
  const checkpoints = checkpointsOf(store.controlEvents).reverse();
  const newer = checkpoints.filter((one) => !listed.some(({ seq }) => seq >= one.seq)).length;
  const open = (): void => {
    setListed(checkpoints);
    dialog.current?.showModal();
    if (!ended) return;
    api.checkpoints(runId).then(
      (all) => {
        setProblem('');
        setElsewhere(new Set(all.flatMap(({ checkpointId, isHere }) => (isHere ? [] : [checkpointId]))));
      },
      (error: unknown) => setProblem(error instanceof Error ? error.message : String(error)),
    );
  };

  // The hub names the branch when it accepts the command. The branch exists once the trainer has begun it.
  const action = record?.state === 'applied' ? record.action : undefined;
  const branchRunId = action?.kind === 'restore_checkpoint' ? action.branchRunId : undefined;
  const { runs: branches } = useFamilies(branchRunId === undefined ? [] : [branchRunId]);
  const branchIsThere = branches?.some((one) => one.runId === branchRunId) ?? false;
  useEffect(() => {
    if (branchIsThere) router.push(`/runs/?run=${branchRunId}`);
  }, [branchIsThere, branchRunId, router]);

  const restore = ({ checkpointId, step }: CheckpointSaved): void => {
    close();
    // An ended run has no trainer to command: a new run starts from its checkpoint, possibly with other settings.
    if (!ended) give({ kind: 'restore_checkpoint', checkpointId });
    else if (config) setFrom({ runId, checkpointId, step, config: configAt(config, store.changesInForce, step) });
  };
  const takes = ended || trainerTakes(run ?? {}, 'restore_checkpoint');
  const why =
    (ended && !isHubDown ? readOnlyReason : off) ||
    (takes ? '' : 'The trainer of this run does not restore checkpoints.') ||
    (checkpoints.length === 0 ? (ended ? 'This run has no checkpoint.' : 'No checkpoint yet.') : '') ||
    (ended && !config ? 'Its checkpoints are with its trainer; this page starts built-in trainers only.' : '');
  return (
    <>
      <button
        type="button"
        className="button"
        disabled={why !== '' || isPending}
        title={why}
        onClick={open}
        data-testid="control-restore"
      >
        Restore …
      </button>
      {from && <NewRunDialog from={from} onClose={() => setFrom(null)} />}
      <dialog ref={dialog} className="sheet narrow" onClose={() => setAsked(null)} aria-labelledby="restore-title">
        <header className="sheet-head">
          <h2 id="restore-title">Restore a checkpoint</h2>
          <p aria-live="polite" data-testid="restore-says">
            {run && ended
              ? `This run has ended (${stateWords[run.state].toLowerCase()}): a new run starts from a checkpoint as a ` +
                'branch. Its form has the guard rules of this one; they begin armed.'
              : 'This run ends and goes on as a branch from there. Its guard rules go along as they are now: one that has ' +
                'not been changed since stands as it stood then, armed or fired; the others begin armed.'}{' '}
            The curves of this run stay.
          </p>
          {ended && listed.length > 0 && listed.every(({ checkpointId }) => elsewhere.has(checkpointId)) && (
            <p role="status" data-testid="restore-elsewhere">
              None of its checkpoints is on this machine: an imported run comes without them.
            </p>
          )}
        </header>
        <ul className="checkpoint-list" ref={list} tabIndex={-1}>
          {listed.map((event) => {
            const isGone = !checkpoints.some(({ checkpointId }) => checkpointId === event.checkpointId);
            const isElsewhere = ended && elsewhere.has(event.checkpointId);
            return (
              <li key={event.seq} data-gone={isGone || isElsewhere}>
                <span>
                  <b>step {formatStep(event.step)}</b>
                  <span>{heldOutAt(store, event)}</span>
                  <span className="dim">
                    {event.checkpointId} · {(event.bytes / 1e6).toFixed(1)} MB · {formatClock(event.wallTimeMs)}
                  </span>
                </span>
                {asked === event && !ended ? (
                  <span className="checkpoint-ask" role="alert">
                    <span>
                      {isGone
                        ? 'This checkpoint was removed meanwhile.'
                        : `This ends the run at step ${formatStep(run?.lastStep ?? 0)}.`}
                    </span>
                    {/* A button of its own where the checkpoint is gone: it takes the focus from the one that is off then. */}
                    <button key={String(isGone)} type="button" className="button small" autoFocus onClick={askNoMore}>
                      {run?.state === 'paused' ? 'Keep it paused' : 'Keep running'}
                    </button>
                    <button
                      type="button"
                      className="button small danger"
                      disabled={isGone}
                      onClick={() => restore(event)}
                      data-testid="restore-confirm"
                    >
                      End it and branch
                    </button>
                  </span>
                ) : (
                  <button
                    type="button"
                    className="button small"
                    disabled={isGone || isElsewhere}
                    onClick={() => (ended ? restore(event) : setAsked(event))}
                    data-testid={`restore-${event.checkpointId}`}
                  >
                    {isGone
                      ? 'Removed meanwhile'
                      : isElsewhere
                        ? 'Not on this machine'
                        : ended
                          ? 'New run from here …'
                          : 'Branch from here'}
                  </button>
                )}
              </li>
            );
          })}
        </ul>
        <footer className="sheet-foot">
          <span className="push">
            {problem && (
              <span className="field-error" role="alert">
                {problem}
              </span>
            )}
            {newer > 0 && (
              <button
                type="button"
                className="button small"
                onClick={() => {
                  askNoMore();
                  setListed(checkpoints);
                }}
                data-testid="restore-newer"
              >
                Show {newer} newer
              </button>
            )}
          </span>
          <button type="button" className="button" onClick={close}>
            Cancel
          </button>
        </footer>
      </dialog>
    </>
  );
}

/** Held-out accuracy of the last probe up to a checkpoint, in words. */
function heldOutAt(store: RunStore, checkpoint: CheckpointSaved): string {
  const measured = store.buffer(metrics.heldOutMean);
  const after = measured.seqs.subarray(0, measured.length).findIndex((seq) => seq > checkpoint.seq);
  const index = (after < 0 ? measured.length : after) - 1;
  if (index < 0) return 'held-out accuracy not measured';
  const step = measured.steps[index]!;
  const words = `held-out accuracy ${formatValue(measured.values[index], 'percent')}`;
  return step === checkpoint.step ? words : `${words}, measured at step ${formatStep(step)}`;
}
