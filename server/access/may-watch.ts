import type { Caller } from './caller.js';

/**
 * Who may watch: everybody who reaches the hub's port (`open`), or browsers with a session and programs with the trainer
 * token (`session`).
 */
export const watchSettings = ['open', 'session'] as const;
export type WatchSetting = (typeof watchSettings)[number];

export const mayWatch = (setting: WatchSetting, kind: Caller['kind']): boolean =>
  setting === 'open' || kind !== 'address';
