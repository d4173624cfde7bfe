'use client';
import { useEffect, useState, useSyncExternalStore } from 'react';
import { metrics, targetAccuracy } from '@plumbline/shared/metric';
import type { RunId } from '@plumbline/shared/run';
import type { ChartSource } from '../../charts/chart-types';
import { energyMetrics } from '../../lib/energy-reading';
import { hubSocket } from '../../lib/hub-socket';
import { RunFeed } from '../../lib/run-feed';
import { RunStore } from '../../lib/run-store';

/** The series that the page tabulates. @param targets the names of the target tasks */
export const comparedMetrics = (targets: readonly string[]): readonly string[] => [
  metrics.loss,
  metrics.heldOutMean,
  metrics.kl,
  metrics.numberTokensHeldOut,
  ...new Set(targets.map(targetAccuracy)),
  ...energyMetrics,
];

/** Several runs as one source of charts. */
class ComparedRuns implements ChartSource {
  constructor(readonly stores: readonly RunStore[]) {}
  get version(): number {
    return this.stores.reduce((sum, store) => sum + store.version, 0);
  }
  isLoading = (names: readonly string[]): boolean => this.stores.some((store) => store.isLoading(names));
  draw = (names: readonly string[]): (() => void) => stopAll(this.stores.map((store) => store.draw(names)));
  onData = (listener: () => void): (() => void) => stopAll(this.stores.map((store) => store.onData(listener)));
  onChange = (listener: () => void): (() => void) => stopAll(this.stores.map((store) => store.onChange(listener)));
}
const stopAll = (stops: readonly (() => void)[]) => (): void => stops.forEach((stop) => stop());
const noRuns = new ComparedRuns([]);

/** Follows several runs live while the component is mounted. Renders again when one of them changes. */
export function useCompared(runIds: readonly RunId[], metricNames: readonly string[], isOpen: boolean): ComparedRuns {
  const [compared, setCompared] = useState(noRuns);
  useEffect(() => {
    if (!isOpen) return;
    const stores = runIds.map(() => new RunStore());
    const feeds = runIds.map((runId, index) => new RunFeed(runId, hubSocket, stores[index]!));
    for (const { demand } of stores) {
      demand.showLast(metricNames);
      // The table shows the worst value so far.
      demand.draw([metrics.heldOutMean]);
    }
    setCompared(new ComparedRuns(stores));
    return () => feeds.forEach((feed) => feed.close());
  }, [runIds.join(), metricNames.join(), isOpen]);
  useSyncExternalStore(
    compared.onChange,
    () => compared.version,
    () => 0,
  );
  return compared;
}
