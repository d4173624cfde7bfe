import { describe, expect, it } from 'vitest';
import { builtInSeries } from './built-in/series.js';
import { unknownWords } from './known-series.js';
import { RunConfig } from './built-in/run-config.js';

const names = builtInSeries(RunConfig.parse({ name: 'x' }));

describe('unknownWords', () => {
  it('say which name was probably meant', () => {
    expect(unknownWords(' held_out/mean/acuracy', { names, areAll: true })).toBe(
      'No run of these tasks has the series “held_out/mean/acuracy”: did you mean held_out/mean/accuracy?',
    );
    expect(unknownWords('my/own', { names, areAll: false })).toBe('This run has had no value of “my/own” so far.');
  });
  it('say nothing of a series that is known, nor while none is', () => {
    expect(unknownWords('train/loss ', { names, areAll: true })).toBe('');
    expect(unknownWords('my/own', { names: [], areAll: false })).toBe('');
  });
});
