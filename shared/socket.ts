import { z } from 'zod';
import {
  maxBusyMs,
  maxLineLength,
  maxListedWords,
  maxMetricNameLength,
  maxSecretLength,
  maxTokenTextLength,
  maxWordLength,
  minSecretLength,
} from './limits.js';
import type { LargeEventNotice } from './large-event-notice.js';
import type { AskedCommand, Command, CommandRecord } from './command.js';
import type { ControlEvent, MetricEvent } from './trainer-event.js';
import type { EventBatch, EventProblem } from './wire-event.js';

import { maxWatchedNames, maxWatchedPrefixes } from './request-limits.js';
import type { RuleState } from './rule.js';
import { RunId, RunParent, type RunProgress, type RunSummary } from './run.js';
import { RunDescription } from './run-description.js';

/**
 * The version of the trainer protocol. The hub refuses any other version and says which one it speaks. Trainers of version
 * 1 do not describe the roles of parameters.
 */
export const protocolVersion = 2;

/**
 * The optional parts of the protocol that this hub supports: `busy` messages, lists of supported commands, examples, token
 * shifts, and segments.
 */
export const hubCapabilities = ['busy', 'commands', 'examples', 'segments', 'token_shift'] as const;

/** The handshake's `auth` on namespace `/trainer`. */
export const TrainerAuth = z.object({
  token: z.string().min(1).max(maxTokenTextLength),
  protocol: z.number().int(),
  /** The capabilities that the trainer requires. A hub that lacks one refuses the connection. */
  capabilities: z.array(z.string().min(1).max(maxWordLength)).max(maxListedWords).default([]),
});
export type TrainerAuth = z.infer<typeof TrainerAuth>;

/** Proves that a run belongs to its trainer; at least 128 random bits. */
export const TrainerSecret = z
  .string()
  .min(minSecretLength, `a secret is ${minSecretLength} to ${maxSecretLength} characters`)
  .max(maxSecretLength);

/** The codes of refusals, for programs. The message says to people what to do. */
export const errorCodes = [
  'unauthorized',
  'forbidden',
  'not_found',
  'invalid',
  'conflict',
  'gap',
  'too_large',
  'rate_limited',
  'store_failed',
  'draining',
  'unsupported',
  'protocol_too_old',
  'protocol_too_new',
  'capability_missing',
  'internal',
] as const;
export type ErrorCode = (typeof errorCodes)[number];
export interface WireError {
  code: ErrorCode;
  message: string;
  /** Whether the same request may succeed later, unchanged. Absent in the answers of older hubs. */
  retry?: boolean;
}
export type Failure = { ok: false; error: WireError };
export type Result<T> = ({ ok: true } & T) | Failure;
export type Ack<T> = (result: Result<T>) => void;

/**
 * The first message of a trainer on a connection. The hub creates an unknown run with this description, and continues a
 * known one.
 *
 * A run belongs to the trainer that opened it. The trainer makes a secret, sends it with its first attach and with every
 * later one, and keeps it for as long as it may come back; the hub keeps a digest of it with the run. The trainer makes
 * it, not the hub, so that it is not lost with an answer that does not arrive. An attach with another secret, or without
 * one, is refused as `forbidden`. A run that was opened without a secret, by an older trainer or before there were
 * secrets, is open to whoever holds the trainer token, until a trainer attaches with one.
 */
export const Attach = z.object({
  runId: RunId,
  run: RunDescription,
  /** When the branch is opened, the hub must know this run and its checkpoint. */
  parent: RunParent.nullable(),
  secret: TrainerSecret.optional(),
  /** The highest event number that any hub has acknowledged to the trainer; 0 at the start. */
  acknowledgedSeq: z.number().int().nonnegative().default(0),
  /**
   * Continues a run that has ended or was lost: the next event is `segment_started`. Otherwise the hub answers the trainer
   * of an ended run with its last event number and takes no more events.
   */
  newSegment: z.boolean().default(false),
  /** The kinds of commands that the trainer takes; if absent, all. The hub rejects all others, and pages do not offer them. */
  commands: z.array(z.string().min(1).max(maxWordLength)).max(maxListedWords).optional(),
});
export type Attach = z.infer<typeof Attach>;

/**
 * Announces that the trainer's process will block, and so be silent: loading, writing a checkpoint, a long step. If the
 * connection breaks meanwhile, the grace period begins only after that time. The next events or attach end it.
 */
export const Busy = z.object({
  forMs: z
    .number()
    .int()
    .positive()
    .max(maxBusyMs, `a trainer is busy for at most ${maxBusyMs / 60_000} minutes`),
  /** For people: `writing a checkpoint`. */
  why: z.string().trim().min(1).max(maxLineLength),
});
export type Busy = z.infer<typeof Busy>;

export interface TrainerToHub {
  /** Answers with the highest stored event number and the lowest number above all declared series. */
  attach: (attach: z.input<typeof Attach>, ack: Ack<{ lastSeq: number; nextSeries: number }>) => void;
  /** The acknowledgement is optional: it says only whether the message is valid. */
  busy: (busy: Busy, ack?: Ack<object>) => void;
  /**
   * Answers with the highest stored event number, once the events are durable. After `gap` the trainer resends from
   * `lastSeq + 1`. `problems` lists the first few omissions from accepted events.
   */
  events: (
    batch: EventBatch,
    ack: (result: { ok: true; lastSeq: number; problems?: EventProblem[] } | (Failure & { lastSeq?: number })) => void,
  ) => void;
}
export interface HubToTrainer {
  /** Acknowledged when the trainer has queued it; its outcome comes as an event. Repeats of an id are ignored. */
  command: (command: Command, ack: (result: { ok: true }) => void) => void;
}
/** Names of series, or prefixes with a `*` at the end: `drift/*` is a group, `*` is all. */
export const SeriesNames = z
  .array(
    z
      .string()
      .min(1)
      .max(maxMetricNameLength + 1),
  )
  .max(maxWatchedNames, `at most ${maxWatchedNames} names; a beginning with * behind it names a group`)
  .refine(
    (names) => names.filter((name) => name.endsWith('*')).length <= maxWatchedPrefixes,
    `at most ${maxWatchedPrefixes} prefixes with a * at the end; * alone names all series`,
  );

export const Watch = z.object({
  runId: RunId,
  /** The series to send live; if absent, all. It replaces the connection's earlier choice for this run. */
  series: SeriesNames.optional(),
});
export type Watch = z.infer<typeof Watch>;
/** Ends a watch. */
export const Unwatch = z.object({ runId: RunId });
export type Unwatch = z.infer<typeof Unwatch>;

export interface DashboardToHub {
  /**
   * Joins the run's room: from the answer on, every event above `lastSeq` comes live, with the values of the watched
   * series; history up to it is at the REST API.
   */
  watch: (watch: Watch, ack: Ack<{ run: RunSummary; lastSeq: number }>) => void;
  unwatch: (watch: Unwatch) => void;
  command: (command: AskedCommand, ack: Ack<{ record: CommandRecord }>) => void;
}

/** Consecutive metric events of one run. Control events come separately. Events without a value of a watched series are left out. */
export interface MetricBatch {
  runId: RunId;
  /** All events of the run in (fromSeq, toSeq] are in this batch or were control events: a jump in fromSeq is a gap. */
  fromSeq: number;
  toSeq: number;
  events: MetricEvent[];
}
export interface HubToDashboard {
  metrics: (batch: MetricBatch) => void;
  /** A control event, or the notice of a large event, whose content is at the REST API. */
  control: (message: { runId: RunId; event: ControlEvent | LargeEventNotice }) => void;
  /** A run appeared or changed; sent to everybody. Two summaries of a run may come out of order: see `revision`. */
  run: (run: RunSummary) => void;
  /** The progress of a run; sent to everybody about once a second, less often for many runs. */
  progress: (progress: RunProgress) => void;
  /**
   * A run was deleted for good; sent to everybody. A later `run` with the same `createdMs`, from another hub, is stale; with
   * another `createdMs` it is a new run under the same id.
   */
  run_deleted: (message: Pick<RunSummary, 'runId' | 'createdMs'>) => void;
  command: (record: CommandRecord) => void;
  /** The rules of a run changed, or the state of one: it fired, or is armed again. */
  rules: (message: { runId: RunId; rules: RuleState[] }) => void;
  /** The client was too slow and missed live data: fetch the history again from here. */
  lagged: (message: { runId: RunId; lastSeq: number }) => void;
}
