'use client';
import { useRef, type CSSProperties } from 'react';
import { formatDelta, formatStep, formatValue } from '../../charts/format';
import { useInSight } from '../../charts/use-in-sight';
import { awaitedWords } from '../../lib/words';
import { useLastValues, useRun } from '../live/use-run';
import { blockName } from '../../lib/model-map';
import { contributionView } from './contribution-view';
import './contribution.css';

/** With more layers than this, cells are too narrow for a number. */
const mostWithNumbers = 12;
const shownGroups = ['contribution/*'];

/** Where the shift comes from: how far each block's part in the logits has moved, and whether it pushes number tokens. */
export function ContributionStrip(): React.ReactNode {
  const { store } = useRun();
  const panel = useRef<HTMLElement>(null);
  useLastValues(shownGroups, useInSight(panel));
  const view = contributionView(store);
  return (
    <section ref={panel} className="panel contribution" data-testid="contribution">
      <header className="chart-head">
        <h3 title="Per layer and block: how far its update of the residual stream, seen through the final norm and output head, has moved from the base model's (root mean square over vocabulary and held-out answers). Bar up: it pushes number tokens more than in the base; down: less.">
          Layer contribution<span className="chart-unit">logits</span>
        </h3>
        {view && (
          <p className="contribution-key">
            <span>
              <span className="key-ramp" /> change 0 to {formatValue(view.mostChange, '')}
            </span>
            <span>
              <i className="push-key" data-sign="up" /> pushes number tokens,{' '}
              <i className="push-key" data-sign="down" /> away, up to {formatValue(view.mostPush, '')}
            </span>
            <span>step {formatStep(view.step)}</span>
          </p>
        )}
      </header>
      {view ? (
        <table className="contribution-map" data-compact={view.layers.length > mostWithNumbers}>
          <thead>
            <tr>
              <th scope="col">layer</th>
              {view.layers.map((layer) => (
                <th key={layer} scope="col">
                  {layer}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {view.rows.map(({ block, cells }) => (
              <tr key={block}>
                <th scope="row">{blockName(block)}</th>
                {cells.map(({ layer, change, push, isBad, changeShare, pushShare }) => (
                  <td
                    key={layer}
                    title={`layer ${layer}, ${blockName(block)}: change ${formatValue(change, '')}, number tokens ${formatDelta(push, '')} logits`}
                    data-deep={changeShare > 0.68}
                    data-bad={isBad}
                    style={{ '--share': changeShare, '--push': Math.abs(pushShare) } as CSSProperties}
                  >
                    <span>{formatValue(change, '')}</span>
                    <i className="token-push" data-sign={pushShare < 0 ? 'down' : 'up'} />
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      ) : (
        <p className="contribution-empty">{awaitedWords(store.runSummary?.description)}</p>
      )}
    </section>
  );
}
