import { describe, expect, it } from 'vitest';
import { PublishWatch } from './publish-watch.js';

describe('messages to other hubs that fail', () => {
  it('are all counted, and reported at the beginning and the end of each series', async () => {
    const watch = new PublishWatch();
    const heard: unknown[] = [];
    let lost = 0;
    watch.on('lost', () => lost++);
    watch.on('began', (error) => heard.push(error));
    watch.on('ended', (count) => heard.push(count));
    const full = new Error('OOM command not allowed');
    const [ok, fail] = [() => watch.over(Promise.resolve('id'), ''), () => watch.over(Promise.reject(full), '')];
    expect([await ok(), await fail(), await fail(), await ok(), await ok(), await fail()]).toEqual([
      ...['id', '', '', 'id', 'id', ''],
    ]);
    expect(heard).toEqual([full, 2, full]);
    expect(lost).toBe(3);
  });
});
