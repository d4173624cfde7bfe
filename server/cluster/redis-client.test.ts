import { expect, it } from 'vitest';
import { redisName } from './redis-client.js';

it.each([
  ['redis://127.0.0.1:6379', 'redis://127.0.0.1:6379'],
  ['rediss://hub:s3cret%40@redis.example.org:6380/2', 'rediss://redis.example.org:6380/2'],
  ['redis://:s3cret@redis', 'redis://redis'],
])('%s is named without its secrets', (url, name) => expect(redisName(url)).toBe(name));
