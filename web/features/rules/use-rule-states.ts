'use client';
import { useEffect, useState } from 'react';
import type { RuleState } from '@plumbline/shared/rule';
import type { RunId } from '@plumbline/shared/run';
import { api } from '../../lib/api';
import { hubSocket } from '../../lib/hub-socket';
import { useConnection } from '../../lib/use-hub';

/** The rules of a run with their states, live: fetched at each connection, then updated by messages; null before. */
export function useRuleStates(runId: RunId): { states: RuleState[] | null; problem: string } {
  const [states, setStates] = useState<RuleState[] | null>(null);
  const [problem, setProblem] = useState('');
  const { state: connection } = useConnection();
  useEffect(() => {
    if (connection !== 'connected') return;
    let gone = false;
    let told = false;
    const stop = hubSocket.onRules((message) => {
      if (message.runId !== runId) return;
      told = true;
      setStates(message.rules);
    });
    api.rules(runId).then(
      (fetched) => {
        if (gone) return;
        setProblem('');
        // A live message that came meanwhile is newer.
        if (!told) setStates(fetched);
      },
      (error: unknown) => !gone && setProblem(error instanceof Error ? error.message : String(error)),
    );
    return () => {
      gone = true;
      stop();
    };
  }, [runId, connection]);
  return { states, problem };
}
